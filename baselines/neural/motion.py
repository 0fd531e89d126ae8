"""Motion search: where the blocks of a frame were in the frame before.

Only encoders and analyzers run it, so decoded frames do not depend on how it rounds. A small network that is trained
for an hour together with the rest of a codec does not learn motion: warped by its motion, the last frame predicts the
next one about as badly as unwarped. The search takes a hundredth of a second and needs no training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import halve, tensor_cache, warp
from baselines.neural.small import BLOCK, motion_surface, quarter_latent, slope_of, step_of

# The search covers +-8 places at a quarter of the size, which are +-32 pixels, then +-2 around the best at half size
# and +-1/2 at full size.
_REACH = 8
# Assumed bits of a block's motion for each pixel by which it differs from a neighbour's.
_BITS = 4.0
# Cost of a displacement in absolute difference, for each place at a quarter of the size: it keeps flat blocks still.
_PENALTY = 0.01
# Cost of a quarter that moves unlike its block, in pixels of difference: a constant, and a limit of the difference.
_LEAVING, _FAR = 0.25, 2.0
# Price of leaving the previous motion, as a share of the price of a difference between neighbours.
_GOING_ON = 0.25
# Price of a pixel of difference between neighbours' motion, in squared error, between frames of a video.
_BETWEEN = 6e-5
# Stands for an unlimited stake.
_NO_LIMIT = 1e9
# Pixels whose errors are computed at once.
_CACHED = 1 << 16
# Smoothing: iterations, and the difference in pixels below which neighbours count as moving together.
_ROUNDS, _SAME = 16, 0.1


def motion_latent(now: Tensor, past: Tensor, rate: Tensor, encoder: nn.Module, channels: int) -> Tensor:
    """The latent of the motion between two frames, before quantisation.

    Its first two channels are block motion, from a search that weighs squared error against bits. The network `encoder`
    adds to all channels.

    Parameters
    ----------
    now, past
        N x 1 x H x W frames in [0, 1], H and W multiples of 16.
    rate
        Rate point of each of the N items.
    encoder
        Network from motion of all pixels, N x 2 x H x W in units of four pixels, to N x C x H/16 x W/16.

    Returns
    -------
    Tensor
        N x C x H/16 x W/16.
    """
    motion = search_motion(now, past, _price(rate))
    return _latent(motion, motion_surface(motion, False), encoder, channels)


@dataclass(frozen=True)
class Known:
    """What is known of motion before the search.

    Attributes
    ----------
    motion
        N x 2 x H x W in pixels, from the last frame to the one before it; the search prefers to continue this motion.
    long_term, path
        Another frame that may predict this one, N x 1 x H x W, and motion N x 2 x H x W from the last frame to it.
    """

    motion: Tensor
    long_term: Tensor | None = None
    path: Tensor | None = None


def quartered_latent(
    now: Tensor, past: Tensor, rate: Tensor, encoder: nn.Module, channels: int, known: Known | None = None
) -> tuple[Tensor, Tensor]:
    """As `motion_latent`, but for the motion of 8x8 quarters of blocks, which fill the first eight channels.

    Returns
    -------
    latent, stake
        N x C x H/16 x W/16 each. An error of d pixels in a channel adds about ``stake * d ** 2`` to a block's squared
        error. For channels that only the network fills the stake is unknown, and counts as unlimited.
    """
    field, curvature = _searched_quarters(now, past, _price(rate), known)
    batch, _, height, width = field.shape
    # Each of the four channels of a direction moves every quarter by its own amount.
    bent = F.pixel_unshuffle(curvature, 2).view(batch, 2, 4, height // 2, width // 2).sum(2)
    stake = (BLOCK // 2) ** 2 / 2 * bent.repeat(1, 4, 1, 1)
    stake = F.pad(stake, (0, 0, 0, 0, 0, channels - stake.shape[1]), value=_NO_LIMIT)
    return _latent(quarter_latent(field), motion_surface(field, False, BLOCK // 2), encoder, channels), stake


def _price(rate: Tensor) -> Tensor:
    return _BITS / BLOCK**2 * slope_of(step_of(rate))


def _latent(known: Tensor, surface: Tensor, encoder: nn.Module, channels: int) -> Tensor:
    return F.pad(known, (0, 0, 0, 0, 0, channels - known.shape[1])) + encoder(surface / 4)


def search_motion(now: Tensor, past: Tensor, price: Tensor | float) -> Tensor:
    """Motion of 16x16 blocks, to a fraction of a pixel.

    Parameters
    ----------
    now, past
        N x 1 x H x W frames in [0, 1], H and W multiples of 16.
    price
        Squared error that a block may lose for each pixel by which its motion comes closer to a neighbour's: a number,
        or one for each of the N items.

    Returns
    -------
    Tensor
        N x 2 x H/16 x W/16 in pixels, x then y: a block of `now` at p is in `past` at p + motion. Without gradient.
    """
    with torch.no_grad():
        prices = _prices(price, now)
        motion = _half_search(halve(now), halve(past), prices)
        return _at_full_size(now, past, motion, prices)[0]


def search_quarters(now: Tensor, past: Tensor, price: Tensor | float) -> Tensor:
    """Motion of 8x8 quarters of blocks, N x 2 x H/8 x W/8; arguments are those of `search_motion`.

    A quarter has too few pixels for a search of its own: it takes the motion of its block or of a block around it. So
    the motion of an object ends where the object ends, to within eight pixels.
    """
    return _searched_quarters(now, past, price)[0]


def _searched_quarters(
    now: Tensor, past: Tensor, price: Tensor | float, known: Known | None = None
) -> tuple[Tensor, Tensor]:
    """Motion of quarters, and second derivatives of a pixel's squared error along it; N x 2 x H/8 x W/8 each."""
    with torch.no_grad():
        prices = _prices(price, now)
        half_now, half_past = halve(now), halve(past)
        # A quarter has a fourth of a block's pixels, so the price of a bit in error per pixel is four times as high.
        motion = _divided(half_now, half_past, _half_search(half_now, half_past, prices), 4 * prices)
        return _at_full_size(now, past, motion, 4 * prices, known)


def _at_full_size(
    now: Tensor, past: Tensor, motion: Tensor, prices: Tensor, known: Known | None = None
) -> tuple[Tensor, Tensor]:
    """Motion refined as it will be used (as a surface, not as one displacement for each block), and its curvature.

    Where motion is `known`, a block continues it if that loses little, and follows the frame that predicts it best.
    """
    side = now.shape[2] // motion.shape[2]
    if known is not None:
        motion = _going_on(now, past, motion, F.avg_pool2d(known.motion, side), prices)
    surface = motion_surface(motion, False, side)
    vectors, curvature, loss = _refined(now, past, motion, surface, 1, 0.5)
    if known is not None and known.long_term is not None and known.path is not None:
        flow = surface + warp(known.path, surface)
        other, bent, least = _refined(now, known.long_term, motion, flow, 1, 0.5)
        better = least < loss
        vectors, curvature = torch.where(better, other, vectors), torch.where(better, bent, curvature)
    return _smoothed(vectors, curvature, prices), curvature


def _going_on(now: Tensor, past: Tensor, motion: Tensor, before: Tensor, prices: Tensor) -> Tensor:
    """The previous motion `before` in place of `motion`, where that loses little."""
    side = now.shape[2] // motion.shape[2]
    losses = [
        _block_means((warp(past, motion_surface(field, False, side)) - now).square(), side)
        for field in (motion, before)
    ]
    apart = motion - before
    differing = torch.hypot(apart[:, :1], apart[:, 1:]).clamp(max=_FAR)
    return torch.where(losses[1] <= losses[0] + _GOING_ON * prices * differing, before, motion)


def _prices(price: Tensor | float, frames: Tensor) -> Tensor:
    return torch.as_tensor(price, dtype=frames.dtype, device=frames.device).reshape(-1, 1, 1, 1)


def _half_search(now: Tensor, past: Tensor, prices: Tensor) -> Tensor:
    """Smoothed motion of blocks from frames of half the size, in pixels of the full one."""
    motion = 2 * _full_search(halve(now), halve(past))
    flow = motion.repeat_interleave(BLOCK // 2, 2).repeat_interleave(BLOCK // 2, 3)
    motion, curvature, _ = _refined(now, past, motion, flow, 2, 1.0)
    # From half to full size a displacement counts twice as many pixels, so the error's second derivative is a fourth.
    return _smoothed(2 * motion, curvature / 4, prices)


def _divided(now: Tensor, past: Tensor, motion: Tensor, prices: Tensor) -> Tensor:
    """Motion for each quarter, its block's own or a neighbour's, from frames of half the size.

    Parameters
    ----------
    motion
        Motion of blocks, N x 2 x h x w in pixels of the full size.
    prices
        Squared error that a quarter must gain for each pixel of difference from its block's motion.
    """
    batch, _, height, width = now.shape
    rows, columns = motion.shape[2:]
    around = F.pad(motion, (1, 1, 1, 1), mode="replicate").unfold(2, rows, 1).unfold(3, columns, 1).flatten(2, 3)
    around = around.transpose(1, 2)  # N x 9 x 2 x h x w, the block's own in the middle
    flows = (around / 2).repeat_interleave(BLOCK // 2, 3).repeat_interleave(BLOCK // 2, 4).flatten(0, 1)
    moved = warp(past.repeat_interleave(9, 0), flows).view(batch, 9, height, width)
    cost = _block_means((moved - now).square(), BLOCK // 4)
    leaving = (around - motion[:, None]).norm(dim=2).clamp(max=_FAR)
    leaving = leaving + _LEAVING * (leaving > 0)
    cost = cost + prices * leaving.repeat_interleave(2, 2).repeat_interleave(2, 3)
    choices = around.repeat_interleave(2, 3).repeat_interleave(2, 4)
    return choices.take_along_dim(cost.argmin(1)[:, None, None], 1)[:, 0]


def _full_search(now: Tensor, past: Tensor) -> Tensor:
    """Best whole displacement of each 4x4 block; its neighbours' errors count as well, so that neighbours agree."""
    height, width = now.shape[2:]
    shifts = _shifts(_REACH, now.device)
    rows = F.pad(past, (_REACH,) * 4, mode="replicate").unfold(3, width, 1).transpose(3, 4)
    # One vertical displacement after another, whose errors stay in the processor's cache.
    costs = [
        _block_means((rows[:, 0, y : y + height].permute(0, 3, 1, 2) - now).abs_(), BLOCK // 4)
        for y in range(2 * _REACH + 1)
    ]
    cost = torch.cat(costs, 1)
    cost = cost + 0.5 * F.avg_pool2d(F.pad(cost, (1, 1, 1, 1), mode="replicate"), 3, 1)
    cost = cost + _PENALTY * shifts.norm(dim=1).view(1, -1, 1, 1)
    return shifts[cost.argmin(1)].permute(0, 3, 1, 2)


def _refined(
    now: Tensor, past: Tensor, motion: Tensor, flow: Tensor, reach: int, step: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Best displacement of each block near a given one: the vertex of a parabola through the errors around the best.

    Parameters
    ----------
    motion, flow
        The given displacements, of blocks N x 2 x h x w and of pixels N x 2 x H x W.
    reach, step
        Number of steps to each side that are tried, and the length of one.

    Returns
    -------
    tuple
        The displacements and the parabolas' second derivatives, N x 2 x h x w each, and the least squared error that
        was tried, N x 1 x h x w.
    """
    batch, _, height, width = now.shape
    shifts, side = _shifts(reach, now.device) * step, 2 * reach + 1
    block = height // motion.shape[2]
    # A few displacements after another, whose errors stay in the processor's cache.
    costs, few = [], max(1, _CACHED // now.numel())
    for first in range(0, len(shifts), few):
        some = shifts[first : first + few]
        flows = (flow[:, None] + some.view(1, -1, 2, 1, 1)).flatten(0, 1)
        moved = warp(past.repeat_interleave(len(some), 0), flows).view(batch, len(some), height, width)
        costs.append(_block_means((moved - now).square_(), block))
    cost = torch.cat(costs, 1)
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
    displacement = torch.stack((column - reach + x, row - reach + y), 1)
    return motion + step * displacement, torch.stack((along, down), 1) / step**2, cost.amin(1, True)


def _smoothed(vectors: Tensor, curvature: Tensor, price: Tensor) -> Tensor:
    """The field of least cost: squared error by the parabolas, and the price of differences between neighbours.

    A difference costs its length, not its square, so that the field may break where an object ends. It is solved by
    repeated weighted means over the neighbours; neighbours with similar motion weigh more.
    """
    field = vectors
    for _ in range(_ROUNDS):
        padded = F.pad(field, (1, 1, 1, 1), mode="replicate")
        around = torch.stack(
            (padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1], padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:])
        )
        apart = around - field
        # torch.norm over an axis of two is a hundred times slower.
        weight = price / (torch.hypot(apart[:, :, :1], apart[:, :, 1:]) + _SAME)
        field = (curvature * vectors + (weight * around).sum(0)) / (curvature + weight.sum(0))
    return field


def _block_means(error: Tensor, block: int) -> Tensor:
    """Mean over a window of twice a block's side around each block, so that neighbours agree."""
    reach = block // 2
    return F.avg_pool2d(F.pad(error, (reach,) * 4, mode="replicate"), 2 * block, block)


@tensor_cache
def _shifts(reach: int, device: torch.device) -> Tensor:
    """All displacements up to a reach, row by row, (2 reach + 1)^2 x 2, x then y."""
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((columns.flatten(), rows.flatten()), 1)


def frames_between(first: np.ndarray, second: np.ndarray, factor: int) -> np.ndarray:
    """Interpolate between two frames along the motion of 8x8 blocks.

    Each result is a weighted mean of both frames, each moved its part of the way, so that edges move instead of fading.

    Parameters
    ----------
    first, second
        H x W float32 frames in [0, 1], H and W multiples of 16.
    factor
        Number of steps from the first frame to the second.

    Returns
    -------
    numpy.ndarray
        factor x H x W float32: the first frame, and the ``factor - 1`` frames between the two.
    """
    before, after = (torch.from_numpy(frame)[None, None] for frame in (first, second))
    motion = motion_surface(search_quarters(after, before, _BETWEEN), False, BLOCK // 2)
    part = torch.arange(factor).view(-1, 1, 1, 1) / factor
    moved = warp(before.expand(factor, -1, -1, -1), part * motion)
    back = warp(after.expand(factor, -1, -1, -1), (part - 1) * motion)
    return ((1 - part) * moved + part * back)[:, 0].numpy()
