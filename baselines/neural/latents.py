"""Coders: what turns a network's latents into symbols when it estimates, encodes or decodes.

A network calls `factorized` and `conditional` on a coder for every group of symbols, in decoding order. An `Estimator`
rounds and counts bits; the coders of `baselines.neural.coding` also write or read them. So the encoder and the decoder
run the same code of the network.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import torch

from baselines.neural.entropy import BitCount

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.neural.entropy import Family, Prior


# Lower bound of probabilities when symbols are chosen: about that of the shortest escape.
_LEAST = 2.0**-23


class LatentCoder(Protocol):
    """What a network needs of a coder. When decoding, it passes None for `z` and `residual`."""

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Code hyper-latents N x C x h x w channel by channel; returns them decoded, of the given shape."""
        ...

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Code the residual (latent minus mean) with one scale per symbol; returns the symbols.

        An encoder rounds by `symbols_of`, which explains `worth`.
        """
        ...


def symbols_of(residual: Tensor, family: Family, sigma: Tensor, worth: Tensor | None = None) -> Tensor:
    """Round to the nearest symbols, or one nearer to zero where the bits saved are worth more than the added error.

    This is rate-distortion optimised quantisation. Only encoders need it: decoders read the symbols.

    Parameters
    ----------
    residual, sigma
        Latent minus mean, and one scale per symbol; of one shape.
    worth
        Bits that a squared unit of a symbol's error is worth, of a shape that expands to the residual's. Without it,
        symbols are the nearest ones.

    Returns
    -------
    Tensor
        Whole numbers of the shape of `residual`, without gradient.
    """
    with torch.no_grad():
        symbols = torch.round(residual)
        if worth is None or symbols.is_meta:
            return symbols
        # Most symbols are zero already.
        places = symbols.nonzero(as_tuple=True)
        values, nearest, scale = residual[places], symbols[places], sigma[places]
        smaller = nearest - nearest.sign()
        likelihood = family.probability(torch.stack((smaller, nearest)), scale).clamp_min(_LEAST)
        saved = (likelihood[0] / likelihood[1]).log2()
        lost = worth.expand_as(residual)[places] * ((values - smaller).square() - (values - nearest).square())
        symbols[places] = torch.where(saved > lost, smaller, nearest)
        return symbols


class Estimator:
    """Rounds, counts the bits that the network's own likelihoods estimate, and writes nothing.

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

    @property
    def total_bits(self) -> float:
        """Estimated bits of all components."""
        return sum(map(float, self.bits.values()))

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Round hyper-latents around their channels' medians."""
        assert z is not None and z.shape == shape  # noqa: S101 -- a programming error, not a user's
        medians = prior.medians
        z_hat = torch.round(z - medians) + medians
        self._add(name, self.count(prior.probability(z_hat)))
        return z_hat

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Round by `symbols_of`."""
        assert residual is not None  # noqa: S101 -- a programming error, not a user's
        symbols = symbols_of(residual, family, sigma, worth)
        self._add(name, self.count(family.probability(symbols, sigma)))
        return symbols

    def _add(self, name: str, bits: Tensor) -> None:
        self.bits[name] = self.bits[name].to(bits) + bits.sum()
