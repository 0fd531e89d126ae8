"""Motion search: where the blocks of a frame were in the one before.

Only encoders and analyzers run it, so nothing that is decoded depends on it. A small network that learns motion along
with everything else from an hour of examples does not find it: warping by what it finds leaves the last frame about as
far from the next as it was. A search finds it in a hundredth of a second, and needs no training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import halve, kept, warp
from baselines.neural.small import BLOCK, block_motion, slope_of

# Full search at a quarter of the size over +-8 places: +-32 pixels. Then +-2 around it at half size, and +-1/2 at full.
_REACH = 8
# Bits that a block's motion is taken to cost for each pixel that it differs from a neighbour's.
_BITS = 4.0
# What moving costs, per place at a quarter of the size, in absolute difference: it settles flat blocks.
_PENALTY = 0.01
# Of the smoothing: steps, and the difference in pixels below which neighbours count as moving together.
_ROUNDS, _SAME = 16, 0.1


def motion_latent(now: Tensor, past: Tensor, rate: Tensor, encoder: nn.Module, channels: int) -> Tensor:
    """What an encoder makes of the motion between two frames, N x C x h x w, before quantisation.

    Block motion, searched at the price of its bits, is the first two channels; a network on it adds to all.
    """
    found = search_motion(now, past, _BITS / BLOCK**2 * slope_of(rate))
    return F.pad(found, (0, 0, 0, 0, 0, channels - 2)) + encoder(block_motion(found / 4, False))


def search_motion(now: Tensor, past: Tensor, price: Tensor | float) -> Tensor:
    """Motion of 16x16 blocks, to a fraction of a pixel.

    Parameters
    ----------
    now, past
        N x 1 x H x W frames in [0, 1], H and W multiples of 16.
    price
        What a block may lose to move like a neighbour, in squared error for each pixel of difference between them: a
        number, or N of them.

    Returns
    -------
    Tensor
        N x 2 x H/16 x W/16 in pixels, x then y: a block of `now` at p is in `past` at p + motion. No gradient.
    """
    with torch.no_grad():
        prices = torch.as_tensor(price, dtype=now.dtype, device=now.device).reshape(-1, 1, 1, 1)
        half_now, half_past = halve(now), halve(past)
        motion = 2 * _full_search(halve(half_now), halve(half_past))
        flow = motion.repeat_interleave(BLOCK // 2, 2).repeat_interleave(BLOCK // 2, 3)
        motion, curvature = _refined(half_now, half_past, motion, flow, 2, 1.0)
        # From half to full size: pixels are twice as many, and the error rises a quarter as fast.
        motion = _smoothed(2 * motion, curvature / 4, prices)
        # Now as it will be used: a surface, not one displacement for each block.
        return _smoothed(*_refined(now, past, motion, 4 * block_motion(motion / 4, False), 1, 0.5), prices)


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


def _refined(now: Tensor, past: Tensor, motion: Tensor, flow: Tensor, reach: int, step: float) -> tuple[Tensor, Tensor]:
    """Best displacement of each block around a given one: the vertex of the parabola through its neighbours.

    Parameters
    ----------
    motion, flow
        The given displacements, of blocks N x 2 x h x w and of pixels N x 2 x H x W.
    reach, step
        How many steps to each side are tried, and how long one is.

    Returns
    -------
    tuple
        The displacements and the parabolas' second derivatives, N x 2 x h x w each.
    """
    batch, _, height, width = now.shape
    shifts, side = _shifts(reach, now.device) * step, 2 * reach + 1
    flows = (flow[:, None] + shifts.view(1, -1, 2, 1, 1)).flatten(0, 1)
    moved = warp(past.repeat_interleave(len(shifts), 0), flows).view(batch, len(shifts), height, width)
    cost = _block_means((moved - now).square(), height // motion.shape[2])
    best = cost.argmin(1)
    # The parabola needs a neighbour on each side.
    row, column = (best // side).clamp(1, side - 2), (best % side).clamp(1, side - 2)

    def cost_at(row: Tensor, column: Tensor) -> Tensor:
        return cost.gather(1, (row * side + column)[:, None])[:, 0]

    middle = cost_at(row, column)

    def vertex(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        curvature = (before - 2 * middle + after).clamp_min(1e-6)
        return (0.5 * (before - after) / curvature).clamp(-1, 1), curvature

    x, along = vertex(cost_at(row, column - 1), cost_at(row, column + 1))
    y, down = vertex(cost_at(row - 1, column), cost_at(row + 1, column))
    found = torch.stack((column - reach + x, row - reach + y), 1)
    return motion + step * found, torch.stack((along, down), 1) / step**2


def _smoothed(found: Tensor, curvature: Tensor, price: Tensor) -> Tensor:
    """The field that loses least: squared error by the parabolas, and the price of differences between neighbours.

    Differences cost what they are long, not their square: a field may break where an object ends. Solved by weighted
    means of neighbours over and over, closer ones weighing more.
    """
    field = found
    for _ in range(_ROUNDS):
        padded = F.pad(field, (1, 1, 1, 1), mode="replicate")
        around = torch.stack(
            (padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1], padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:])
        )
        weight = price / ((around - field).norm(dim=2, keepdim=True) + _SAME)
        field = (curvature * found + (weight * around).sum(0)) / (curvature + weight.sum(0))
    return field


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
