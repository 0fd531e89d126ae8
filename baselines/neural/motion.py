"""Motion search: where the blocks of a frame were in the one before.

Only encoders and analyzers run it, so nothing that is decoded depends on it. A small network that learns motion along
with everything else from an hour of examples does not find it: warping by what it finds leaves the last frame about as
far from the next as it was. A search finds it in a hundredth of a second, and needs no training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.neural.layers import halve, kept, warp
from baselines.neural.small import BLOCK

# Full search at a quarter of the size over +-8 places: +-32 pixels. Then +-2 around it at half size.
_REACH, _REFINE = 8, 2
# What moving costs, per place at a quarter of the size, in absolute difference: it settles flat blocks.
_PENALTY = 0.01


def search_motion(now: Tensor, past: Tensor) -> Tensor:
    """Motion of 16x16 blocks, to a fraction of a pixel.

    Parameters
    ----------
    now, past
        N x 1 x H x W frames in [0, 1], H and W multiples of 16.

    Returns
    -------
    Tensor
        N x 2 x H/16 x W/16 in pixels, x then y: a block of `now` at p is in `past` at p + motion. No gradient.
    """
    with torch.no_grad():
        half_now, half_past = halve(now), halve(past)
        coarse = _full_search(halve(half_now), halve(half_past))
        return 2 * _refined(half_now, half_past, 2 * coarse)


def _full_search(now: Tensor, past: Tensor) -> Tensor:
    """Best whole displacement of each 4x4 block, with that of its neighbours in mind."""
    batch, _, height, width = now.shape
    shifts = _shifts(_REACH, now.device)
    padded = F.pad(past, (_REACH,) * 4, mode="replicate")
    moved = padded.unfold(2, height, 1).unfold(3, width, 1).reshape(batch, len(shifts), height, width)
    cost = _block_means((moved - now).abs(), BLOCK // 4)
    cost = cost + 0.5 * F.avg_pool2d(F.pad(cost, (1, 1, 1, 1), mode="replicate"), 3, 1)
    cost = cost + _PENALTY * shifts.norm(dim=1).view(1, -1, 1, 1)
    return shifts[cost.argmin(1)].permute(0, 3, 1, 2)


def _refined(now: Tensor, past: Tensor, motion: Tensor) -> Tensor:
    """Best displacement of each 8x8 block around a given one, and the vertex of the parabola through its neighbours."""
    batch, _, height, width = now.shape
    shifts, side = _shifts(_REFINE, now.device), 2 * _REFINE + 1
    flow = motion.repeat_interleave(BLOCK // 2, 2).repeat_interleave(BLOCK // 2, 3)
    flows = (flow[:, None] + shifts.view(1, -1, 2, 1, 1)).flatten(0, 1)
    moved = warp(past.repeat_interleave(len(shifts), 0), flows).view(batch, len(shifts), height, width)
    cost = _block_means((moved - now).square(), BLOCK // 2)
    best = cost.argmin(1)
    row, column = best // side, best % side
    # The parabola needs a neighbour on each side.
    row, column = row.clamp(1, side - 2), column.clamp(1, side - 2)

    def cost_at(row: Tensor, column: Tensor) -> Tensor:
        return cost.gather(1, (row * side + column)[:, None])[:, 0]

    middle = cost_at(row, column)

    def vertex(before: Tensor, after: Tensor) -> Tensor:
        return (0.5 * (before - after) / (before - 2 * middle + after).clamp_min(1e-6)).clamp(-1, 1)

    x = column - _REFINE + vertex(cost_at(row, column - 1), cost_at(row, column + 1))
    y = row - _REFINE + vertex(cost_at(row - 1, column), cost_at(row + 1, column))
    return motion + torch.stack((x, y), 1)


def _block_means(error: Tensor, block: int) -> Tensor:
    """Mean over windows of twice a block's side around each block, so that neighbours agree."""
    reach = block // 2
    return F.avg_pool2d(F.pad(error, (reach,) * 4, mode="replicate"), 2 * block, block)


@kept
def _shifts(reach: int, device: torch.device) -> Tensor:
    """All displacements up to a reach, row by row, (2 reach + 1)^2 x 2, x then y."""
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((columns.flatten(), rows.flatten()), 1)
