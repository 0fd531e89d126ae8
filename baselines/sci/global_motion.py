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
from baselines.neural.layers import halve, kept, warp
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
    """Motion of a whole frame.

    Attributes
    ----------
    kind
        `AFFINE` or `CARRIED`.
    numbers
        In 1/16 pixel, x's then y's: the shift and, where affine, how far the motion at the right and at
        the lower edge differs from that in the middle.
    """

    kind: MotionKind
    numbers: Tensor

    def field(self, onward: Tensor) -> Tensor:
        """Motion of every pixel, 1 x 2 x H x W in pixels.

        Parameters
        ----------
        onward
            The last frame's motion as it went on (`carried`), 1 x 2 x H x W in pixels.
        """
        own = affine_field(self.numbers.view(2, -1), (onward.shape[2], onward.shape[3]))
        return (own if self.kind is MotionKind.AFFINE else onward + own).clamp(-_LARGEST, _LARGEST)


def code_kind(coder: LatentCoder, kind: MotionKind | None, like: Tensor) -> MotionKind:
    """Code which kind of motion follows; `kind` is None when decoding.

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
    """Code the numbers of a frame's motion; they are None when decoding."""
    return WholeMotion(kind, coder.conditional("mv_whole", SCALES, numbers, like.new_tensor(_SCALES[kind])))


def affine_field(numbers: Tensor, size: tuple[int, int]) -> Tensor:
    """Motion 1 x 2 x H x W in pixels of numbers 2 x 1 or 2 x 3 (`WholeMotion`), by whole numbers alone."""
    height, width = size
    units = torch.round(numbers).long()[:, :, None, None]
    field = units[:, 0].expand(2, height, width)
    if units.shape[1] > 1:
        # From -1 at one edge to 1 at the other, over a common denominator.
        across, down, scale = _places(height, width, numbers.device)
        change = units[:, 1] * across + units[:, 2] * down
        field = field + torch.div(2 * change + scale, 2 * scale, rounding_mode="floor")
    return field[None].float() * MOTION_STEP


@kept
def _places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    across = (2 * torch.arange(width, device=device) - (width - 1)) * height
    down = (2 * torch.arange(height, device=device) - (height - 1)) * width
    return across[None], down[:, None], height * width


def carried(motion: Tensor) -> Tensor:
    """Motion where what moved goes on as it did: each place takes that of the place it came from, exactly."""
    return snap_motion(warp_fixed(motion, motion, True, MOTION_STEP), True)


def fitted(now: Tensor, past: Tensor, start: Tensor, base: Tensor | None = None) -> WholeMotion:
    """The numbers that bring the last frame nearest to this one; for encoders.

    Gauss-Newton steps on frames of half the size, along the gradient of the present frame. Places that do not follow
    count less, so that what moves by itself does not bend the rest.

    Parameters
    ----------
    now, past
        1 x 1 x H x W.
    start
        First guess of the shift in pixels, 2.
    base
        Motion that the shift is added to, 1 x 2 x H x W; without it, the motion is affine.
    """
    small, before = halve(now), halve(past)
    height, width = small.shape[2:]
    across, down, scale = _places(height, width, now.device)
    basis = [torch.ones_like(small[0, 0])]
    if base is None:
        basis += [(across / scale).expand(height, width), (down / scale).expand(height, width)]
    places = torch.stack(basis)
    own = torch.zeros(2, len(basis), device=now.device)
    own[:, 0] = start.to(own)
    # Pixels of half the size.
    half_base = torch.zeros_like(small).expand(-1, 2, -1, -1) if base is None else halve(base) / 2
    slopes = torch.stack(torch.gradient(small[0, 0])[::-1])  # across, then down
    directions = (slopes[:, None] * places).flatten(0, 1).flatten(1) / 2
    for _ in range(_STEPS):
        flow = half_base + torch.einsum("ck,khw->chw", own, places) / 2
        error = (small - warp(before, flow))[0, 0].flatten()
        weight = 1 / (1 + (error / (_OUTLIER * error.abs().median() + 1e-6)).square())
        weighted = directions * weight
        normal = weighted @ directions.T + 1e-6 * torch.eye(len(directions), device=now.device)
        own = own + torch.linalg.solve(normal, weighted @ error).view_as(own)
    numbers = torch.round(own.clamp(-_LARGEST, _LARGEST) / MOTION_STEP).flatten()
    return WholeMotion(MotionKind.AFFINE if base is None else MotionKind.CARRIED, numbers)


class Trial(Estimator):
    """Counts the bits of symbols that may or may not be sent, and keeps them for `replay`."""

    def __init__(self) -> None:
        super().__init__(stream_bits())
        self._calls: list[Callable[[LatentCoder], object]] = []

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """As an `Estimator`."""
        z_hat = super().factorized(name, prior, z, shape)
        self._calls.append(lambda coder: coder.factorized(name, prior, z_hat, shape))
        return z_hat

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """As an `Estimator`."""
        symbols = super().conditional(name, family, residual, sigma, worth)
        self._calls.append(lambda coder: coder.conditional(name, family, symbols, sigma))
        return symbols

    def replay(self, coder: LatentCoder) -> None:
        """Code the same symbols with another coder."""
        for call in self._calls:
            call(coder)


@dataclass(frozen=True)
class Candidate:
    """One way to say a frame's motion.

    Attributes
    ----------
    kind, trial
        The kind of motion, and the symbols that say the rest.
    motion, mv_y
        What a decoder makes of them: motion of pixels, 1 x 2 x H x W, and the last latent of motion of blocks.
    """

    kind: MotionKind
    trial: Trial
    motion: Tensor
    mv_y: Tensor
