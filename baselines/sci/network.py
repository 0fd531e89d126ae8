"""Feature compression (paper section IV-B): one variable-rate network for intra and one for inter frames.

All that decoding needs is fixed-point arithmetic. Networks on pixels work on blocks of pixels as channels, where they
are cheap; most parameters are in the priors, on the grid of the latent, where they cost next to nothing. The linear
paths of `baselines.neural.small` (block motion, block transform) run beside them: training starts from a working codec.

Context is mined twice: the last decoded frame, warped by the decoded motion, is refined into the prediction, and the
decoded difference to it is refined into the frame. What each refinement knows is handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.fixed import (
    STEP,
    FixedConv,
    FixedLayer,
    FixedSubpel,
    add,
    snap,
    snap_motion,
    warp_fixed,
)  # fmt: skip
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv
from baselines.neural.motion import quartered_latent
from baselines.neural.quadtree import QuadPrior
from baselines.neural.small import (
    BLOCK,
    FRAME_GAIN,
    FRAME_STEP,
    LATENT,
    MOTION_STEPS,
    STEPS,
    DctTransform,
    Rates,
    Residual,
    motion_surface,
    quarter_motion,
    to_frame,
    to_network,
    zeroed,
)  # fmt: skip

_MOTION = 16


@dataclass(frozen=True)
class CodecSize:
    """How large the feature codec is.

    Attributes
    ----------
    unshuffle
        Side of the blocks of pixels that are channels of the refinements.
    width, kept
        Channels of the refinements, and of what they hand on to the next frame.
    predict, reconstruct
        Residual blocks of the two refinements.
    encoder
        Channels inside the encoder's branch.
    hidden, hyper, motion
        Channels inside the frame's prior, of its hyper-latent, and inside the motion's prior.
    """

    unshuffle: int
    width: int
    kept: int
    predict: int
    reconstruct: int
    encoder: int
    hidden: int
    hyper: int
    motion: int


def _halvings(unshuffle: int) -> int:
    """How often maps of the refinements are halved to reach the grid of the latent."""
    return (BLOCK // unshuffle).bit_length() - 1


class Refinement(FixedLayer):
    """Maps of what is known of a frame to the detail that it lacks, for every rate point.

    Parameters
    ----------
    inputs
        Channels, blocks of pixels among them.
    """

    def __init__(self, size: CodecSize, inputs: int, blocks: int) -> None:
        super().__init__()
        self.first = FixedConv(inputs, size.width)
        self.rate_bias = nn.Parameter(torch.zeros(len(STEPS), size.width, 1, 1))
        self.blocks = nn.Sequential(*(Residual(size.width) for _ in range(blocks)))
        self.last = FixedConv(size.width, size.unshuffle**2, zero=True)
        self.shuffle = nn.PixelShuffle(size.unshuffle)

    def forward(self, x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Detail N x 1 x H x W in units of the frame, and maps N x width x h x w."""
        maps = self.blocks(F.leaky_relu(add(self.first(x), self.rate_bias[rate]), 1 / 8))
        return self.shuffle(self.last(maps)) / FRAME_GAIN, maps

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.rate_bias.copy_(torch.round(self.rate_bias / STEP) * STEP)


def _encoder(inputs: int, width: int, halvings: int) -> nn.Sequential:
    """Branch of an encoder: from the refinements' grid to the latent's. It starts at zero."""
    widths = [inputs, *(width for _ in range(halvings - 1))]
    layers: list[nn.Module] = []
    for channels in widths[:-1]:
        layers += [conv(channels, width, 3, 2), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, zeroed(conv(widths[-1], LATENT, 3, 2)))


class ImageNetwork(FixedLayer):
    """Intra frames."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        pixels = size.unshuffle**2
        self.unshuffle = nn.PixelUnshuffle(size.unshuffle)
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder = _encoder(pixels, size.encoder, _halvings(size.unshuffle))
        self.prior = QuadPrior(LATENT, size.hidden, size.hyper, 0, len(STEPS))
        self.refine = Refinement(size, pixels, size.reconstruct)

    def code(self, coder: LatentCoder, frame: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code frames N x 1 x H x W; returns them decoded. `shape` is (N, H, W)."""
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = (self.transform(frame - 0.5) + self.encoder(4 * self.unshuffle(frame - 0.5))) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // BLOCK, width // BLOCK))
        plain = to_frame(self.transform.invert(decoded * steps), self.frozen)
        detail, _ = self.refine(self.unshuffle(to_network(plain)), rate)
        return to_frame(plain - 0.5 + detail, self.frozen)

    def calibrate(self, frames: Tensor) -> None:
        """Fit the prior's first scales to what the transform gives for these frames."""
        with torch.no_grad():
            deviation = self.transform(frames - 0.5).std((0, 2, 3))
            self.prior.calibrate(deviation / torch.tensor(STEPS)[:, None].to(deviation))


@dataclass(frozen=True)
class State:
    """What one decoded frame leaves for the next; after an intra frame only the frame is set.

    Attributes
    ----------
    frame
        N x 1 x H x W.
    maps
        N x kept x H/u x W/u, of the last refinement.
    y, mv_y
        Latents on their grids.
    motion
        N x 2 x H x W in pixels, from the frame before.
    """

    frame: Tensor
    maps: Tensor | None = None
    y: Tensor | None = None
    mv_y: Tensor | None = None
    motion: Tensor | None = None


class VideoNetwork(FixedLayer):
    """Inter frames."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        pixels, halvings = size.unshuffle**2, _halvings(size.unshuffle)
        self.size = size
        self.unshuffle = nn.PixelUnshuffle(size.unshuffle)
        # Motion.
        self.motion_rates = Rates(_MOTION, MOTION_STEPS)
        self.mv_encoder = nn.Sequential(
            conv(2, 16, 3, 2), nn.LeakyReLU(0.1), conv(16, 16, 3, 2), nn.LeakyReLU(0.1), conv(16, 16, 3, 2),
            nn.LeakyReLU(0.1), zeroed(conv(16, _MOTION, 3, 2)),
        )  # fmt: skip
        self.mv_prior = QuadPrior(_MOTION, size.motion, 8, _MOTION, len(STEPS))
        self.mv_decoder = nn.Sequential(
            FixedSubpel(_MOTION, 16, 3, "leaky"), FixedSubpel(16, 16, 3, "leaky"), Residual(16),
            FixedConv(16, 32, zero=True), nn.PixelShuffle(4),
        )  # fmt: skip
        # Prediction.
        self.entry = FixedConv(pixels, size.kept)
        self.predict = Refinement(size, pixels + size.kept, size.predict)
        # Frame.
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder = _encoder(2 * pixels + size.width, size.encoder, halvings)
        widths = [size.width, *(size.encoder for _ in range(halvings))]
        self.temporal = nn.Sequential(*(FixedConv(a, b, 3, 2, activation="leaky") for a, b in pairwise(widths)))
        self.prior = QuadPrior(LATENT, size.hidden, size.hyper, size.encoder + LATENT, len(STEPS))
        self.refine = Refinement(size, 2 * pixels + size.width, size.reconstruct)
        self.keep = FixedConv(size.width, size.kept, 1)

    def code(self, coder: LatentCoder, frame: Tensor | None, state: State, rate: Tensor) -> State:
        """Code frames N x 1 x H x W given what the frames before left."""
        motion, mv_y = self._code_motion(coder, frame, state, rate)
        predicted, context = self._predict(state, motion, rate)
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            difference = frame - predicted
            seen = torch.cat((16 * self.unshuffle(difference), 4 * self.unshuffle(frame - 0.5), context), 1)
            latent = (self.transform(difference) + self.encoder(seen)) / steps
        batch, _, height, width = state.frame.shape
        shape = (batch, height // BLOCK, width // BLOCK)
        past = torch.zeros(batch, LATENT, *shape[1:]).to(motion) if state.y is None else state.y
        decoded = self.prior.code(coder, "y", latent, (self.temporal(context), past), rate, shape)
        plain = to_frame(predicted - 0.5 + self.transform.invert(decoded * steps), self.frozen)
        blocks = self.unshuffle(torch.cat((to_network(plain), to_network(plain) - to_network(predicted)), 1))
        detail, maps = self.refine(torch.cat((snap(blocks, self.frozen), context), 1), rate)
        image = to_frame(plain - 0.5 + detail, self.frozen)
        kept = snap((decoded / self.prior.get_buffer("gain")).to(detail), self.frozen)
        return State(image, self.keep(maps), kept, mv_y, motion)

    def _code_motion(
        self, coder: LatentCoder, frame: Tensor | None, state: State, rate: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch, _, height, width = state.frame.shape
        steps = self.motion_rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = quartered_latent(frame, state.frame, rate, self.mv_encoder, _MOTION) / steps
        shape = (batch, height // BLOCK, width // BLOCK)
        known = torch.zeros(batch, _MOTION, *shape[1:]).to(state.frame) if state.mv_y is None else state.mv_y
        decoded = self.mv_prior.code(coder, "mv", latent, (known,), rate, shape)
        # In units of four pixels.
        moved = snap((decoded * steps / 4).to(state.frame), self.frozen)
        surface = motion_surface(quarter_motion(moved), self.frozen, BLOCK // 2)
        motion = snap_motion(4 * add(surface, self.mv_decoder(moved)), self.frozen)
        return motion, snap(decoded.to(state.frame), self.frozen)

    def _predict(self, state: State, motion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """The frame as motion and memory tell it, N x 1 x H x W, and maps of the context."""
        warped = warp_fixed(state.frame, motion, self.frozen, FRAME_STEP)
        maps = self.entry(self.unshuffle(to_network(state.frame))) if state.maps is None else state.maps
        side = self.size.unshuffle
        slow = snap_motion(F.avg_pool2d(motion, side) / side, self.frozen)
        moved = warp_fixed(maps, slow, self.frozen)
        detail, context = self.predict(torch.cat((self.unshuffle(to_network(warped)), moved), 1), rate)
        return to_frame(warped - 0.5 + detail, self.frozen), context

    def calibrate(self, frames: Tensor, past: Tensor) -> None:
        """Fit the priors' first scales to the differences of successive frames, motion ignored."""
        with torch.no_grad():
            deviation = self.transform(frames - past).std((0, 2, 3))
            self.prior.calibrate(deviation / torch.tensor(STEPS)[:, None].to(deviation))
