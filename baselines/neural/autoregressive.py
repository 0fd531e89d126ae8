"""Spatial autoregressive priors: a latent coded in raster order, several places at a time.

A 5x5 causal convolution reads two rows above and two places to the left, so a place depends on those up to two columns
to the right in the row above. All places with the same ``column + 3 row`` can therefore be coded together: h x w places
take w + 3 (h - 1) steps instead of h w, and the decoded values are those of the serial scan.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.entropy import Family
from baselines.neural.fixed import FixedMasked
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import MaskedConv, tensor_cache

_TAPS = [(row, column) for row in range(3) for column in range(5) if row < 2 or column < 2]


def code_autoregressive(
    coder: LatentCoder,
    name: str,
    family: Family,
    latent: Tensor | None,
    hints: Tensor,
    context: MaskedConv | FixedMasked,
    parameters: Callable[[Tensor], tuple[Tensor, Tensor]],
    view: Callable[[Tensor], Tensor] | None = None,
    worth: Tensor | None = None,
) -> Tensor:
    """Code a latent, each place conditioned on those decoded before.

    Parameters
    ----------
    name, family
        Component whose bits are counted, and the family of the latent's densities.
    latent
        1 x C x h x w; None when decoding.
    hints
        Outputs of the hyperprior and the temporal prior, 1 x D x h x w.
    context
        Causal convolution over decoded values, C to E channels.
    parameters
        Maps hints and context of P places, P x (D + E), to their scales and means, P x C each.
    view
        Maps decoded values P x C to what the context reads; by default the values themselves.
    worth
        Bits that a squared unit of error is worth, for each of C channels; see `symbols_of`.

    Returns
    -------
    Tensor
        The decoded latent, ``round(latent - mean) + mean``.
    """
    channels = context.in_channels
    height, width = hints.shape[2:]
    # Decoded values by place and channel, padded with zeros as in the convolution: two rows above, two columns a side.
    seen = hints.new_zeros((height + 2) * (width + 4), channels)
    decoded = hints.new_empty(height * width, channels)
    taps = torch.stack([context.causal_weight[:, :, row, column] for row, column in _TAPS], 1).flatten(1)
    bias = context.bias
    known = hints[0].flatten(1).T.contiguous()
    target = None if latent is None else latent[0].flatten(1).T.contiguous()
    for places, around, here in _wavefronts(height, width, hints.device):
        near = F.linear(seen[around].flatten(1), taps, bias)
        scales, means = parameters(torch.cat((known[places], near), 1))
        residual = None if target is None else target[places] - means
        values = coder.conditional(name, family, residual, scales, worth) + means
        decoded[places] = values
        seen[here] = values if view is None else view(values)
    return decoded.T.reshape(1, channels, height, width)


def on_places(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Turn a network of 1x1 convolutions into a function of places, P x inputs to P x outputs."""

    def apply(x: Tensor) -> Tensor:
        return network(x.T[None, :, None])[0, :, 0].T

    return apply


@tensor_cache
def _wavefronts(height: int, width: int, device: torch.device) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """For each step the indices of its places, those of their taps in the padded array, and their own there."""
    steps = []
    for step in range(width + 3 * (height - 1)):
        rows = torch.arange(max(0, -(-(step - width + 1) // 3)), min(height - 1, step // 3) + 1, device=device)
        if len(rows):
            columns = step - 3 * rows
            around = torch.stack([(rows + row) * (width + 4) + columns + column for row, column in _TAPS], 1)
            steps.append((rows * width + columns, around, (rows + 2) * (width + 4) + columns + 2))
    return tuple(steps)
