"""The four-step ("quadtree") spatial prior of DCVC-DC, which codes a latent in four interleaved parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from baselines.neural.entropy import Family
from baselines.neural.latents import LatentCoder

# Channel group g is coded at step s where the pixel's place in its 2x2 block is g XOR _ORDER[s].
_ORDER = (0, 3, 2, 1)


def code_quadtree(
    coder: LatentCoder,
    name: str,
    family: Family,
    latent: Tensor | None,
    common: Tensor,
    adaptors: Sequence[Callable[[Tensor], Tensor]],
    trunk: Callable[[Tensor], Tensor],
) -> Tensor:
    """Code a latent in four steps, each quarter of its symbols conditioned on those before.

    Parameters
    ----------
    latent
        N x C x h x w; None when decoding.
    common
        N x 3C x h x w: quantisation steps, scales and means from the fused priors.
    adaptors, trunk
        One 1x1 layer for each step after the first, and the network after it that all share, to scales and means.

    Returns
    -------
    Tensor
        The decoded latent, N x C x h x w.
    """
    step, scales, means = common.chunk(3, 1)
    step = step.clamp_min(0.5)
    scaled = None if latent is None else latent / step
    masks = _masks(scales.shape[2], scales.shape[3], scales)
    decoded = torch.zeros_like(means)
    for i, mask in enumerate(masks):
        if i:
            scales, means = trunk(adaptors[i - 1](torch.cat((decoded, common), 1))).chunk(2, 1)
        residual = None if scaled is None else _gather(scaled - means, mask)
        symbols = coder.conditional(name, family, residual, _gather(scales, mask))
        decoded = decoded + (symbols.repeat(1, 4, 1, 1) + means) * mask
    return decoded * step


def _masks(height: int, width: int, like: Tensor) -> list[Tensor]:
    """For each step, 1 x C x h x w with ones at the symbols that it codes."""
    rows = torch.arange(height, device=like.device)[:, None] % 2
    columns = torch.arange(width, device=like.device)[None, :] % 2
    place = 2 * rows + columns
    groups = torch.arange(4, device=like.device).repeat_interleave(like.shape[1] // 4)
    return [((groups[:, None, None] ^ order) == place).to(like)[None] for order in _ORDER]


def _gather(x: Tensor, mask: Tensor) -> Tensor:
    """The values that a step codes, N x C/4 x h x w: at every place exactly one of the four groups is in its mask."""
    return sum((x * mask).chunk(4, 1), start=torch.zeros(()).to(x))
