"""Spatial autoregressive priors: a latent coded in raster order, several places at a time.

A 5x5 causal convolution sees two rows above and two places to the left, so a place needs the ones up to two columns
to the right in the row above. All places with the same ``column + 3 row`` can therefore be coded together: h x w
latents take w + 3 (h - 1) steps instead of h w, and the decoded values are those of the serial scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.neural.entropy import Family
from baselines.neural.fixed import FixedMasked
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import MaskedConv

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
) -> Tensor:
    """Code a latent place by place, each conditioned on those decoded before.

    Parameters
    ----------
    latent
        1 x C x h x w; None when decoding.
    hints
        1 x D x h x w, what hyper and temporal priors say.
    context
        The causal convolution over decoded values.
    parameters
        From hints and context, 1 x (D + E) x 1 x P, to scales and means of P places.
    view
        What the context sees of decoded values, 1 x C x 1 x P; by default the values themselves.

    Returns
    -------
    Tensor
        The decoded latent, ``round(latent - mean) + mean``.
    """
    channels = context.in_channels
    height, width = hints.shape[2:]
    # Channels last, two rows above and two columns on both sides at zero, as the convolution's padding has them.
    seen = hints.new_zeros((height + 2) * (width + 4), channels)
    decoded = hints.new_empty(1, channels, height * width)
    taps = torch.stack([context.causal_weight[:, :, row, column] for row, column in _TAPS], 1).flatten(1)
    flat_hints = hints[0].flatten(1)
    flat_latent = None if latent is None else latent[0].flatten(1)
    for rows, columns in _wavefronts(height, width):
        places = rows * width + columns
        near = torch.stack([(rows + row) * (width + 4) + columns + column for row, column in _TAPS], 1)
        around = F.linear(seen[near].flatten(1), taps, context.bias)
        scales, means = parameters(torch.cat((flat_hints[:, places], around.T))[None, :, None])
        residual = None if flat_latent is None else flat_latent[:, places][None, :, None] - means
        values = coder.conditional(name, family, residual, scales) + means
        decoded[:, :, places] = values[:, :, 0]
        seen[(rows + 2) * (width + 4) + columns + 2] = (values if view is None else view(values))[0, :, 0].T
    return decoded.view(1, channels, height, width)


def _wavefronts(height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and columns of the places of each step."""
    for step in range(width + 3 * (height - 1)):
        rows = torch.arange(max(0, -(-(step - width + 1) // 3)), min(height - 1, step // 3) + 1)
        if len(rows):
            yield rows, step - 3 * rows
