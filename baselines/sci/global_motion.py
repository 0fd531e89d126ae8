"""Motion of a whole frame in two or six numbers, in place of the motion of its blocks.

Where a camera shakes, pans or stands still, one field of few numbers predicts a frame as well as the motion of several
hundred blocks, at a twentieth of the bits. An encoder takes, frame by frame, the kind of motion that costs least. All
that a decoder computes here is whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import torch

from baselines.neural.fixed import MOTION_STEP, snap_motion, warp_fixed
from baselines.neural.latents import Estimator
from baselines.neural.layers import halve, tensor_cache, warp
from baselines.neural.small import SCALES, stream_bits
from bench.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from baselines.neural.entropy import Family, Prior
    from baselines.neural.latents import LatentCoder


class MotionKind(IntEnum):
    """What an inter frame's motion is.

    Attributes
    ----------
    BLOCKS
        That of 8x8 quarters of blocks.
    AFFINE
        A shift and its change across the frame and down it: six numbers.
    CARRIED
        The last frame's motion, which went on along itself, and a shift: two numbers.
    """

    BLOCKS = 0
    AFFINE = 1
    CARRIED = -1


# Laplace scales of the kind, and of each kind's numbers in units of 1/16 pixel: shifts, and changes from the middle of
# the frame to its edge.
_KIND_SCALE = 0.6
_SHIFT_SCALE, _CHANGE_SCALE, _ONWARD_SCALE = 24.0, 4.0, 3.0
_SCALES = {
    MotionKind.AFFINE: 2 * [_SHIFT_SCALE, _CHANGE_SCALE, _CHANGE_SCALE],
    MotionKind.CARRIED: 2 * [_ONWARD_SCALE],
}
# Motion is clipped to so many pixels.
_LARGEST = 64.0
# Of the encoder's fit: steps, and how many median errors make an error count half.
_STEPS, _OUTLIER = 5, 1.5


@dataclass(frozen=True)
class WholeMotion:
    """Motion of whole frames, of one kind.

    Attributes
    ----------
    kind
        `AFFINE` or `CARRIED`.
    numbers
        N x 6 or N x 2 in 1/16 pixel, x's then y's: the shift and, where affine, how far the motion at the right and at
        the lower edge differs from that in the middle.
    """

    kind: MotionKind
    numbers: Tensor

    def field(self, onward: Tensor) -> Tensor:
        """Motion of every pixel, N x 2 x H x W in pixels.

        Parameters
        ----------
        onward
            The last frames' motion as it went on (`carried`), N x 2 x H x W in pixels.
        """
        own = affine_field(self.numbers.view(len(self.numbers), 2, -1), (onward.shape[2], onward.shape[3]))
        return (own if self.kind is MotionKind.AFFINE else onward + own).clamp(-_LARGEST, _LARGEST)


def code_kind(coder: LatentCoder, kind: MotionKind | None, like: Tensor) -> MotionKind:
    """Code which kind of motion of one frame follows; `kind` is None when decoding.

    Raises
    ------
    StreamError
        If what is decoded is none.
    """
    residual = None if kind is None else like.new_tensor([float(kind)])
    value = int(coder.conditional("mv_whole", SCALES, residual, like.new_tensor([_KIND_SCALE])))
    try:
        return MotionKind(value)
    except ValueError:
        raise StreamError(f"no kind of motion has the number {value}; the stream is damaged") from None


def code_whole(coder: LatentCoder, kind: MotionKind, numbers: Tensor | None, like: Tensor) -> WholeMotion:
    """Code the numbers of the motion of one or more frames; they are None when one frame's are decoded."""
    scales = like.new_tensor([_SCALES[kind]])
    scales = scales if numbers is None else scales.expand_as(numbers)
    return WholeMotion(kind, coder.conditional("mv_whole", SCALES, numbers, scales))


def affine_field(numbers: Tensor, size: tuple[int, int]) -> Tensor:
    """Motion N x 2 x H x W in pixels of numbers N x 2 x 1 or N x 2 x 3 (`WholeMotion`), by whole numbers alone."""
    height, width = size
    units = torch.round(numbers).long()[..., None, None]
    field = units[:, :, 0].expand(-1, 2, height, width)
    if units.shape[2] > 1:
        # From -1 at one edge to 1 at the other, over a common denominator.
        across, down, scale = _places(height, width, numbers.device)
        change = units[:, :, 1] * across + units[:, :, 2] * down
        field = field + torch.div(2 * change + scale, 2 * scale, rounding_mode="floor")
    return field.float() * MOTION_STEP


@tensor_cache
def _places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    across = (2 * torch.arange(width, device=device) - (width - 1)) * height
    down = (2 * torch.arange(height, device=device) - (height - 1)) * width
    return across[None], down[:, None], height * width


def carried(motion: Tensor) -> Tensor:
    """Motion where what moved goes on as it did: each place takes that of the place it came from, exactly."""
    return snap_motion(warp_fixed(motion, motion, True, MOTION_STEP), True)


def fitted(now: Tensor, past: Tensor, start: Tensor, base: Tensor | None = None) -> WholeMotion:
    """The numbers that bring the last frames nearest to these; for encoders.

    Gauss-Newton steps on frames of half the size, along the gradient of the present frame. Places that do not follow
    count less, so that what moves by itself does not bend the rest.

    Parameters
    ----------
    now, past
        N x 1 x H x W.
    start
        First guess of the shift in pixels, N x 2.
    base
        Motion that the shift is added to, N x 2 x H x W; without it, the motion is affine.
    """
    small, before = halve(now), halve(past)
    count, _, height, width = small.shape
    across, down, scale = _places(height, width, now.device)
    basis = [torch.ones_like(small[0, 0])]
    if base is None:
        basis += [(across / scale).expand(height, width), (down / scale).expand(height, width)]
    places = torch.stack(basis)
    own = torch.zeros(count, 2, len(basis), device=now.device)
    own[:, :, 0] = start.to(own)
    # Pixels of half the size.
    half_base = torch.zeros_like(small).expand(-1, 2, -1, -1) if base is None else halve(base) / 2
    slopes = torch.stack(torch.gradient(small[:, 0], dim=(1, 2))[::-1], 1)  # across, then down
    directions = (slopes[:, :, None] * places).flatten(1, 2).flatten(2) / 2
    for _ in range(_STEPS):
        flow = half_base + torch.einsum("nck,khw->nchw", own, places) / 2
        error = (small - warp(before, flow)).flatten(1)
        weight = 1 / (1 + (error / (_OUTLIER * error.abs().median(1, True).values + 1e-6)).square())
        weighted = directions * weight[:, None]
        normal = weighted @ directions.mT + 1e-6 * torch.eye(directions.shape[1], device=now.device)
        own = own + torch.linalg.solve(normal, weighted @ error[..., None]).view_as(own)
    numbers = torch.round(own.clamp(-_LARGEST, _LARGEST) / MOTION_STEP).flatten(1)
    return WholeMotion(MotionKind.AFFINE if base is None else MotionKind.CARRIED, numbers)


class Trial(Estimator):
    """Counts the bits of symbols that may or may not be sent, and keeps them for `replay`.

    Parameters
    ----------
    items
        Number of items of a batch that are tried at once.

    Attributes
    ----------
    item_bits
        Estimated bits of each item.
    """

    def __init__(self, items: int = 1) -> None:
        super().__init__(stream_bits())
        self.item_bits = torch.zeros(items)
        self._calls: list[Callable[[LatentCoder, int], object]] = []

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """As an `Estimator`."""
        z_hat = super().factorized(name, prior, z, shape)
        parts = z_hat.chunk(len(self.item_bits))
        self._calls.append(lambda coder, item: coder.factorized(name, prior, parts[item], tuple(parts[item].shape)))
        return z_hat

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """As an `Estimator`."""
        symbols = super().conditional(name, family, residual, sigma, worth)
        parts, scales = symbols.chunk(len(self.item_bits)), sigma.chunk(len(self.item_bits))
        self._calls.append(lambda coder, item: coder.conditional(name, family, parts[item], scales[item]))
        return symbols

    def _add(self, name: str, bits: Tensor) -> None:
        self.item_bits = self.item_bits.to(bits) + bits.reshape(len(self.item_bits), -1).sum(1)

    def replay(self, coder: LatentCoder, item: int) -> None:
        """Code the symbols of an item with another coder."""
        for call in self._calls:
            call(coder, item)
