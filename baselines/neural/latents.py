"""Where latents become symbols: one walk through a network serves estimating, encoding and decoding.

A network calls `factorized` and `conditional` on a coder for every group of symbols, in decoding order. An
`Estimator` rounds and counts bits; `baselines.neural.coding` has the coders that also write or read them. So the
encoder and the decoder run the same lines, and cannot drift apart.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import torch

from baselines.neural.entropy import BitCount

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.neural.entropy import Family, Prior


# Least probability that a choice among symbols reckons with: that of the shortest escape.
_LEAST = 2.0**-23


class LatentCoder(Protocol):
    """What a network needs of a coder; `None` for the latent where there is nothing yet but the stream."""

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Code hyper-latents channel by channel; returns z_hat of the given shape."""
        ...

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Code the rounded residual (latent minus mean) with a scale per symbol; returns the symbols.

        An encoder rounds by `symbols_of`, which has `worth`.
        """
        ...


def symbols_of(residual: Tensor, family: Family, sigma: Tensor, worth: Tensor | None = None) -> Tensor:
    """Round to the nearest symbols, or to those one nearer to zero where the bits saved are worth more than the error.

    Parameters
    ----------
    residual, sigma
        Latent minus mean, and a scale per symbol; of one shape.
    worth
        Bits that a squared unit of a symbol's error is worth, of the same shape or one that is expanded to it. Without
        it, symbols are the nearest ones (rate-distortion optimised quantisation, only in an encoder).

    Returns
    -------
    Tensor
        Whole numbers of the shape of `residual`, without gradient.
    """
    with torch.no_grad():
        symbols = torch.round(residual)
        if worth is None or symbols.is_meta:
            return symbols
        # Most are zero already, and stay it.
        places = symbols.nonzero(as_tuple=True)
        given, nearest, scale = residual[places], symbols[places], sigma[places]
        smaller = nearest - nearest.sign()
        likelihood = family.probability(torch.stack((smaller, nearest)), scale).clamp_min(_LEAST)
        saved = (likelihood[0] / likelihood[1]).log2()
        lost = worth.expand_as(residual)[places] * ((given - smaller).square() - (given - nearest).square())
        symbols[places] = torch.where(saved > lost, smaller, nearest)
        return symbols


class Estimator:
    """Counts the bits that a network's own likelihoods promise, and writes nothing.

    Attributes
    ----------
    count
        How a probability becomes bits.
    bits
        Estimated bits by component (z, y, mv_z, mv_y), float tensors that sum over the batch.
    """

    def __init__(self, count: BitCount | None = None) -> None:
        self.bits: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
        self.count = count or BitCount()

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Round around the channel's median."""
        assert z is not None and z.shape == shape  # noqa: S101 -- a programming error, not a user's
        medians = prior.medians
        z_hat = torch.round(z - medians) + medians
        self.bits[name] = self.bits[name].to(z) + self.count(prior.probability(z_hat)).sum()
        return z_hat

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Round by `symbols_of`."""
        assert residual is not None  # noqa: S101 -- a programming error, not a user's
        symbols = symbols_of(residual, family, sigma, worth)
        self.bits[name] = self.bits[name].to(sigma) + self.count(family.probability(symbols, sigma)).sum()
        return symbols
