"""The small DCVC-DC: luma only, one variable-rate network each for intra and inter frames, in fixed-point arithmetic.

The architecture is that of `image.py` and `video.py` with fewer channels: depthwise blocks, four-step priors with
content-adaptive steps, motion with its own temporal prior, offset diversity, contexts at three scales from a propagated
feature, and quality that depends on the frame's place in groups of four. The linear paths of `baselines.neural.small`
run beside its transforms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.codec import SmallModel
from baselines.neural.fixed import (
    FixedConv,
    FixedLayer,
    FixedSubpel,
    add,
    snap,
    snap_motion,
    warp_fixed,
)  # fmt: skip
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv, halve
from baselines.neural.motion import motion_latent
from baselines.neural.quadtree import Block, QuadPrior
from baselines.neural.small import (
    FRAME_GAIN,
    FRAME_STEP,
    LATENT,
    MOTION_STEPS,
    STEPS,
    DctTransform,
    Rates,
    Residual,
    block_motion,
    coefficient_worth,
    to_frame,
    to_network,
    zeroed,
)  # fmt: skip

_FULL, _HALF, _QUARTER, _EIGHTH = 8, 16, 24, 32
_MOTION, _HIDDEN = 16, 64
_ADAPTOR = (0, 1, 0, 2)


class SmallImageNetwork(FixedLayer):
    """Codes intra frames."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(1, _HALF, 5, 2), nn.LeakyReLU(), conv(_HALF, _QUARTER, 3, 2), nn.LeakyReLU(),
            conv(_QUARTER, _EIGHTH, 3, 2), nn.LeakyReLU(), zeroed(conv(_EIGHTH, LATENT, 3, 2)),
        )  # fmt: skip
        self.prior = QuadPrior(LATENT, 80, 16, 0, len(STEPS))
        self.decoder = Synthesis(LATENT)

    def code(self, coder: LatentCoder, frame: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code frames N x 1 x H x W; see `SmallModel.code_intra`."""
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = (self.transform(frame - 0.5) + self.encoder(frame - 0.5)) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // 16, width // 16))
        coefficients = decoded * steps
        detail, _ = self.decoder(coefficients, None)
        return to_frame(self.transform.invert(coefficients) + detail, self.frozen)

    def calibrate(self, frames: Tensor) -> None:
        """Set the prior's starting scales from the transform of these frames, N x 1 x H x W."""
        self.prior.calibrate(self.transform(frames - 0.5), STEPS)


class Synthesis(nn.Module):
    """Branch of the decoder: from coefficients, and contexts if there are any, to the frame's detail and feature."""

    def __init__(self, channels: int, contexts: bool = False) -> None:
        super().__init__()
        more = (_FULL, _HALF, _QUARTER) if contexts else (0, 0, 0)
        self.up1 = FixedSubpel(channels, _EIGHTH, 3, "leaky")
        self.up2 = FixedSubpel(_EIGHTH, _QUARTER, 3, "leaky")
        self.res1 = Residual(_QUARTER + more[2], _QUARTER)
        self.up3 = FixedSubpel(_QUARTER + more[2], _HALF, 3, "leaky")
        self.res2 = Residual(_HALF + more[1], _HALF)
        self.up4 = FixedSubpel(_HALF + more[1], _FULL, 3, "leaky")
        self.first = FixedConv(_FULL + more[0], _FULL)
        self.unet = UNet()
        self.last = FixedConv(_FULL, 1, zero=True)

    def forward(self, coefficients: Tensor, contexts: tuple[Tensor, Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        frozen = self.first.frozen
        # Coefficients are small compared with the fixed-point range: times eight, they are on a grid of 1/512.
        x = self.up2(self.up1(snap(8 * coefficients.to(self.first.conv.weight.dtype), frozen)))
        x = self.up3(self.res1(x if contexts is None else torch.cat((x, contexts[2]), 1)))
        x = self.up4(self.res2(x if contexts is None else torch.cat((x, contexts[1]), 1)))
        feature = self.unet(self.first(x if contexts is None else torch.cat((x, contexts[0]), 1)))
        return self.last(feature) / FRAME_GAIN, feature


class UNet(nn.Module):
    """Two-level U-Net, see `blocks.UNet`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Block(_FULL, _FULL), Block(_FULL, _HALF), Block(_HALF, _QUARTER)
        self.refine = Block(_QUARTER, _QUARTER)
        self.up3, self.up_conv3 = FixedSubpel(_QUARTER, _HALF, 1), Block(2 * _HALF, _HALF)
        self.up2, self.up_conv2 = FixedSubpel(_HALF, _FULL, 1), Block(2 * _FULL, _FULL)

    def forward(self, x: Tensor) -> Tensor:
        full = self.conv1(x)
        half = self.conv2(F.max_pool2d(full, 2))
        quarter = self.refine(self.conv3(F.max_pool2d(half, 2)))
        half = self.up_conv3(torch.cat((half, self.up3(quarter)), 1))
        return self.up_conv2(torch.cat((full, self.up2(half)), 1))


@dataclass(frozen=True)
class SmallState:
    """State after a decoded frame, from which the next one is coded; see `video.State`."""

    frame: Tensor
    feature: Tensor | None = None
    mv_feature: Tensor | None = None
    y: Tensor | None = None
    mv_y: Tensor | None = None


class OffsetDiversity(nn.Module):
    """Context at full size: the feature warped by the motion and by two learned offsets per half of its channels."""

    groups, repeats = 2, 2

    def __init__(self) -> None:
        super().__init__()
        pairs = self.groups * self.repeats
        self.hints = nn.Sequential(
            FixedConv(_FULL + 3, _HALF, 3, 2, activation="leaky"), FixedConv(_HALF, _HALF, activation="leaky")
        )
        self.offsets = FixedConv(_HALF, 2 * pairs, zero=True)
        self.fusion = FixedConv(self.repeats * _FULL, _FULL, 1)

    def forward(self, feature: Tensor, hints: Tensor, motion: Tensor) -> Tensor:
        frozen = self.offsets.frozen
        batch, channels, height, width = feature.shape
        pairs = self.groups * self.repeats
        # Nearest instead of bilinear upsampling, and no masks: both would need another rounding.
        offsets = F.interpolate(self.offsets(self.hints(hints)), scale_factor=2.0, mode="nearest")
        flows = offsets.view(batch, pairs, 2, height, width) + motion[:, None]
        slices = feature.view(batch, self.groups, channels // self.groups, height, width).repeat(
            1, self.repeats, 1, 1, 1
        )
        moved = warp_fixed(slices.flatten(0, 1), snap_motion(flows.flatten(0, 1), frozen), frozen)
        return self.fusion(moved.reshape(batch, self.repeats * channels, height, width))


class SmallVideoNetwork(FixedLayer):
    """Codes inter frames."""

    def __init__(self) -> None:
        super().__init__()
        rates = len(STEPS)
        # Motion.
        self.motion_rates = Rates(_MOTION, MOTION_STEPS)
        self.mv_encoder = nn.Sequential(
            conv(2, 16, 3, 2), nn.LeakyReLU(), conv(16, 16, 3, 2), nn.LeakyReLU(), conv(16, 16, 3, 2), nn.LeakyReLU(),
            zeroed(conv(16, _MOTION, 3, 2)),
        )  # fmt: skip
        self.mv_prior = QuadPrior(_MOTION, 32, 8, _MOTION + 16, rates)
        self.mv_decoder = nn.Sequential(
            FixedSubpel(_MOTION, 16, 3, "leaky"), FixedSubpel(16, 16, 3, "leaky"), Block(16, 16)
        )
        self.mv_out = nn.Sequential(FixedSubpel(16, 8, 3, "leaky"), FixedSubpel(8, 2, 3, zero=True))
        self.mv_past = FixedConv(16, 16, 3, 2)
        self.mv_past2 = FixedConv(16, 16, 3, 2)
        # Contexts.
        self.feature_adaptor_intra = FixedConv(1, _FULL)
        self.feature_adaptor = nn.ModuleList(FixedConv(_FULL, _FULL, 1) for _ in range(3))
        self.extract1 = nn.Sequential(FixedConv(_FULL, _FULL), Residual(_FULL))
        self.extract2 = nn.Sequential(FixedConv(_FULL, _HALF, 3, 2), Residual(_HALF))
        self.extract3 = nn.Sequential(FixedConv(_HALF, _QUARTER, 3, 2), Residual(_QUARTER))
        self.align = OffsetDiversity()
        self.fuse3_up = nn.Sequential(FixedSubpel(_QUARTER, _HALF), Residual(_HALF))
        self.fuse3 = FixedConv(_QUARTER, _QUARTER)
        self.fuse2_up = nn.Sequential(FixedSubpel(2 * _HALF, _FULL), Residual(_FULL))
        self.fuse2 = FixedConv(2 * _HALF, _HALF)
        self.fuse1 = FixedConv(2 * _FULL, _FULL)
        # Frame.
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder1 = conv(2 + _FULL, _HALF, 3, 2)
        self.encoder2 = conv(2 * _HALF, _QUARTER, 3, 2)
        self.encoder3 = conv(2 * _QUARTER, _EIGHTH, 3, 2)
        self.encoder4 = zeroed(conv(_EIGHTH, LATENT, 3, 2))
        self.temporal = nn.Sequential(FixedConv(_QUARTER, 32, 3, 2, activation="leaky"), FixedConv(32, 32, 3, 2))
        self.prior = QuadPrior(LATENT, _HIDDEN, 16, 32 + LATENT, rates)
        self.decoder = Synthesis(LATENT, contexts=True)

    def code(self, coder: LatentCoder, frame: Tensor | None, state: SmallState, rate: Tensor, index: int) -> SmallState:
        """Code frames N x 1 x H x W in [0, 1], None when decoding; returns the state with the decoded frames.

        Parameters
        ----------
        state
            State after the previous frame.
        rate
            Rate point of each of the N items.
        index
            Number of the frame in the sequence: modulo 4 it selects the feature adaptor.
        """
        motion, mv_feature, mv_y = self._code_motion(coder, frame, state, rate)
        # Motion compensation alone predicts the frame; the linear path codes the difference.
        predicted = warp_fixed(state.frame, motion, self.frozen, FRAME_STEP)
        contexts = self._contexts(state, predicted, motion, index)
        steps = self.rates(rate, self.frozen)
        latent = worth = None
        if frame is not None:
            latent = (self.transform(frame - predicted) + self._encode(frame, predicted, contexts)) / steps
            worth = coefficient_worth(steps, rate)
        batch, _, height, width = state.frame.shape
        shape = (batch, height // 16, width // 16)
        past = torch.zeros(batch, LATENT, *shape[1:]).to(motion) if state.y is None else state.y
        known = self.temporal(contexts[2]), past
        decoded = self.prior.code(coder, "y", latent, known, rate, shape, worth)
        coefficients = decoded * steps
        detail, feature = self.decoder(coefficients, contexts)
        image = to_frame(predicted - 0.5 + self.transform.invert(coefficients) + detail, self.frozen)
        y = snap((decoded / self.prior.get_buffer("gain")).to(detail), self.frozen)
        return SmallState(image, feature, mv_feature, y, mv_y)

    def _code_motion(
        self, coder: LatentCoder, frame: Tensor | None, state: SmallState, rate: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, _, height, width = state.frame.shape
        steps = self.motion_rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = motion_latent(frame, state.frame, rate, self.mv_encoder, _MOTION) / steps
        shape = (batch, height // 16, width // 16)
        if state.mv_y is None or state.mv_feature is None:
            past = torch.zeros(batch, _MOTION + 16, *shape[1:]).to(state.frame)
        else:
            past = torch.cat((state.mv_y, self.mv_past2(self.mv_past(state.mv_feature))), 1)
        decoded = self.mv_prior.code(coder, "mv", latent, (past,), rate, shape)
        moved = snap((decoded * steps / 4).to(state.frame), self.frozen)
        feature = self.mv_decoder(moved)
        # In units of four pixels.
        motion = snap_motion(4 * add(block_motion(moved, self.frozen), self.mv_out(feature)), self.frozen)
        return motion, feature, snap(decoded.to(state.frame), self.frozen)

    def _contexts(
        self, state: SmallState, predicted: Tensor, motion: Tensor, index: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        frozen = self.frozen
        if state.feature is None:
            feature = self.feature_adaptor_intra(to_network(state.frame))
        else:
            feature = self.feature_adaptor[_ADAPTOR[index % 4]](state.feature)
        full = self.extract1(feature)
        half = self.extract2(full)
        quarter = self.extract3(half)
        hints = torch.cat((warp_fixed(full, motion, frozen), to_network(predicted), motion / 4), 1)
        half_motion = snap_motion(halve(motion) / 2, frozen)
        full = self.align(full, hints, motion)
        half = warp_fixed(half, half_motion, frozen)
        quarter = warp_fixed(quarter, snap_motion(halve(half_motion) / 2, frozen), frozen)
        up = self.fuse3_up(quarter)
        joined = torch.cat((up, half), 1)
        return (
            add(full, self.fuse1(torch.cat((self.fuse2_up(joined), full), 1))),
            add(half, self.fuse2(joined)),
            add(quarter, self.fuse3(quarter)),
        )

    def _encode(self, frame: Tensor, predicted: Tensor, contexts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        full, half, quarter = contexts
        x = F.leaky_relu(
            self.encoder1(torch.cat((to_network(frame) / 4, to_network(frame - predicted + 0.5), full), 1)), 0.1
        )
        x = F.leaky_relu(self.encoder2(torch.cat((x, half), 1)), 0.1)
        return self.encoder4(F.leaky_relu(self.encoder3(torch.cat((x, quarter), 1)), 0.1))

    def calibrate(self, frames: Tensor, past: Tensor) -> None:
        """Set the prior's starting scales from the differences of successive frames, without motion compensation."""
        self.prior.calibrate(self.transform(frames - past), STEPS)


class SmallDcvcDcModel(SmallModel):
    """The small networks as a `FrameModel`."""

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        if state is None:
            decoded = self.code_intra(coder, frame, size)
            return decoded, SmallState(decoded)
        after = self.video.code(coder, frame, state, self.rate, index)
        return after.frame, after
