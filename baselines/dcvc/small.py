"""The small DCVC: luma only, one variable-rate network each for intra and inter frames, in fixed-point arithmetic.

The architecture is that of `image.py` and `video.py` with fewer channels: divisive normalisation, hyperpriors with a
serial 5x5 spatial prior, one context at full size from the warped features of the previous frame, and a temporal prior
from that context. The linear paths of `baselines.neural.small` run beside its transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from baselines.neural.codec import SmallModel
from baselines.neural.fixed import (
    FixedConv,
    FixedGdn,
    FixedLayer,
    FixedSubpel,
    add,
    snap,
    snap_motion,
    warp_fixed,
)  # fmt: skip
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import Gdn, conv
from baselines.neural.motion import motion_latent
from baselines.neural.serial import SerialPrior
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
_MOTION = 16


class Synthesis(nn.Module):
    """Branch of the decoder: from coefficients, and the context if there is one, to the full frame's detail."""

    def __init__(self, channels: int, context: int = 0) -> None:
        super().__init__()
        self.up = nn.Sequential(
            FixedSubpel(channels, _EIGHTH), FixedGdn(_EIGHTH, inverse=True), FixedSubpel(_EIGHTH, _QUARTER),
            FixedGdn(_QUARTER, inverse=True), Residual(_QUARTER), FixedSubpel(_QUARTER, _HALF),
            FixedGdn(_HALF, inverse=True), Residual(_HALF), FixedSubpel(_HALF, _FULL),
        )  # fmt: skip
        self.first = FixedConv(_FULL + context, _FULL, activation="leaky")
        self.blocks = nn.Sequential(Residual(_FULL), Residual(_FULL))
        self.last = FixedConv(_FULL, 1, zero=True)

    def forward(self, coefficients: Tensor, context: Sequence[Tensor] = ()) -> Tensor:
        # Coefficients are small compared with the fixed-point range: times eight, they are on a grid of 1/512.
        x = self.up(snap(8 * coefficients.to(self.last.conv.weight), self.last.frozen))
        return self.last(self.blocks(self.first(torch.cat((x, *context), 1)))) / FRAME_GAIN


class SmallImageNetwork(FixedLayer):
    """Codes intra frames, after cheng2020-anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(1, _HALF, 5, 2), Gdn(_HALF), conv(_HALF, _QUARTER, 3, 2), Gdn(_QUARTER),
            conv(_QUARTER, _EIGHTH, 3, 2), Gdn(_EIGHTH), zeroed(conv(_EIGHTH, LATENT, 3, 2)),
        )  # fmt: skip
        self.prior = SerialPrior(LATENT, 64, 16, 0)
        self.decoder = Synthesis(LATENT)

    def code(self, coder: LatentCoder, frame: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code frames N x 1 x H x W; see `SmallModel.code_intra`."""
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = (self.transform(frame - 0.5) + self.encoder(frame - 0.5)) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // 16, width // 16))
        coefficients = (decoded.double() if self.frozen else decoded) * steps
        return to_frame(self.transform.invert(coefficients) + self.decoder(coefficients), self.frozen)

    def calibrate(self, frames: Tensor) -> None:
        """Set the prior's starting scales from the transform of these frames, N x 1 x H x W."""
        self.prior.calibrate(self.transform(frames - 0.5), STEPS)


class SmallVideoNetwork(FixedLayer):
    """Codes inter frames."""

    def __init__(self) -> None:
        super().__init__()
        # Motion.
        self.motion_rates = Rates(_MOTION, MOTION_STEPS)
        self.mv_encoder = nn.Sequential(
            conv(2, 16, 3, 2), Gdn(16), conv(16, 16, 3, 2), Gdn(16), conv(16, 16, 3, 2), Gdn(16),
            zeroed(conv(16, _MOTION, 3, 2)),
        )  # fmt: skip
        self.mv_prior = SerialPrior(_MOTION, 32, 8, 0)
        self.mv_decoder = nn.Sequential(
            FixedSubpel(_MOTION, 16), FixedGdn(16, inverse=True), FixedSubpel(16, 16), FixedGdn(16, inverse=True),
            FixedSubpel(16, 8), FixedGdn(8, inverse=True), FixedSubpel(8, 2, zero=True),
        )  # fmt: skip
        self.mv_refine = nn.Sequential(
            FixedConv(3, 8, activation="leaky"), FixedConv(8, 8, activation="leaky"), FixedConv(8, 2, zero=True)
        )
        # Context.
        self.extract = nn.Sequential(FixedConv(1, _FULL), Residual(_FULL))
        self.refine = nn.Sequential(Residual(_FULL), FixedConv(_FULL, _FULL))
        # Frame.
        self.transform = DctTransform(LATENT)
        self.rates = Rates(LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(2 + _FULL, _HALF, 5, 2), Gdn(_HALF), conv(_HALF, _QUARTER, 5, 2), Gdn(_QUARTER),
            conv(_QUARTER, _EIGHTH, 3, 2), Gdn(_EIGHTH), zeroed(conv(_EIGHTH, LATENT, 3, 2)),
        )  # fmt: skip
        self.temporal = nn.Sequential(
            FixedConv(_FULL, _HALF, 5, 2), FixedGdn(_HALF), FixedConv(_HALF, _QUARTER, 3, 2), FixedGdn(_QUARTER),
            FixedConv(_QUARTER, _EIGHTH, 3, 2), FixedGdn(_EIGHTH), FixedConv(_EIGHTH, 48, 3, 2),
        )  # fmt: skip
        self.prior = SerialPrior(LATENT, 72, 16, 48)
        self.decoder = Synthesis(LATENT, _FULL)

    def code(self, coder: LatentCoder, frame: Tensor | None, reference: Tensor, rate: Tensor) -> Tensor:
        """Code frames N x 1 x H x W in [0, 1], None when decoding; returns them decoded.

        Parameters
        ----------
        reference
            The frames decoded before, N x 1 x H x W.
        rate
            Rate point of each of the N items.
        """
        motion = self._code_motion(coder, frame, reference, rate)
        # Motion compensation alone predicts the frame; the linear path codes the difference.
        predicted = warp_fixed(reference, motion, self.frozen, FRAME_STEP)
        context = self.refine(warp_fixed(self.extract(to_network(reference)), motion, self.frozen))
        steps = self.rates(rate, self.frozen)
        latent = worth = None
        if frame is not None:
            seen = torch.cat((to_network(frame) / 4, FRAME_GAIN * (frame - predicted), context), 1)
            latent = (self.transform(frame - predicted) + self.encoder(seen)) / steps
            worth = coefficient_worth(steps, rate)
        batch, _, height, width = reference.shape
        shape = (batch, height // 16, width // 16)
        decoded = self.prior.code(coder, "y", latent, (self.temporal(context),), rate, shape, worth)
        coefficients = (decoded.double() if self.frozen else decoded) * steps
        detail = self.decoder(coefficients, (context,))
        return to_frame(predicted - 0.5 + self.transform.invert(coefficients) + detail, self.frozen)

    def _code_motion(self, coder: LatentCoder, frame: Tensor | None, reference: Tensor, rate: Tensor) -> Tensor:
        batch, _, height, width = reference.shape
        steps = self.motion_rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = motion_latent(frame, reference, rate, self.mv_encoder, _MOTION) / steps
        decoded = self.mv_prior.code(coder, "mv", latent, (), rate, (batch, height // 16, width // 16))
        exact = decoded.double() if self.frozen else decoded
        # In units of four pixels.
        coarse = snap((exact * steps / 4).to(reference), self.frozen)
        motion = add(block_motion(coarse, self.frozen), self.mv_decoder(coarse))
        motion = add(motion, self.mv_refine(torch.cat((motion, to_network(reference)), 1)))
        return snap_motion(4 * motion, self.frozen)

    def calibrate(self, frames: Tensor, past: Tensor) -> None:
        """Set the prior's starting scales from the differences of successive frames, without motion compensation."""
        self.prior.calibrate(self.transform(frames - past), STEPS)


class SmallDcvcModel(SmallModel):
    """The small networks as a `FrameModel`."""

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        if state is None:
            decoded = self.code_intra(coder, frame, size)
        else:
            decoded = self.video.code(coder, frame, state, self.rate)
        return decoded, decoded
