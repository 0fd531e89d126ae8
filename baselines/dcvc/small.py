"""DCVC in small: luma, one variable-rate network for intra and one for inter frames, in fixed-point arithmetic.

The architecture is that of `image.py` and `video.py`, narrow: divisive normalisation, hyperpriors with a serial 5x5
spatial prior, one context at full size from the warped features of the last frame, and a temporal prior from that
context. Beside its transforms stand the linear paths of `baselines.neural.small`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.autoregressive import code_autoregressive
from baselines.neural.fixed import (
    STEP,
    FixedConv,
    FixedGdn,
    FixedLayer,
    FixedMasked,
    FixedSubpel,
    add,
    snap,
    snap_motion,
    warp_fixed,
)  # fmt: skip
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import Gdn, SpyNet, conv, pad_to
from baselines.neural.small import (
    FRAME_GAIN,
    FRAME_STEP,
    MOTION_STEPS,
    SCALES,
    STEPS,
    DctTransform,
    FixedPrior,
    Rates,
    Residual,
    block_motion,
    frequency_gain,
    output_of,
    scale_of,
    to_frame,
    to_network,
    zeroed,
)  # fmt: skip

_FULL, _HALF, _QUARTER, _EIGHTH = 8, 16, 24, 32
_LATENT, _MOTION = 96, 16


class SerialPrior(FixedLayer):
    """Hyperprior and serial spatial prior of one latent, conditioned on what else is known.

    Parameters
    ----------
    channels, hidden, hyper
        Of the latent, inside, and of the hyper-latent.
    known
        Channels of the condition (0 for none).
    """

    def __init__(self, channels: int, hidden: int, hyper: int, known: int) -> None:
        super().__init__()
        self.register_buffer("gain", frequency_gain(channels) if channels == _LATENT else torch.ones(1, 1, 1, 1))
        self.prior = FixedPrior(hyper)
        self.hyper_encoder = nn.Sequential(
            conv(channels, hidden), nn.LeakyReLU(), conv(hidden, hidden, 5, 2), nn.LeakyReLU(),
            conv(hidden, hyper, 5, 2),
        )  # fmt: skip
        self.hyper_decoder = nn.Sequential(
            FixedSubpel(hyper, hidden, 3, "leaky"), FixedSubpel(hidden, hidden, 3, "leaky"),
            FixedConv(hidden, hidden),
        )  # fmt: skip
        self.context = FixedMasked(channels, hidden)
        self.parameters_net = nn.Sequential(
            FixedConv(2 * hidden + known, 2 * hidden, 1, activation="leaky"),
            FixedConv(2 * hidden, 2 * hidden, 1, activation="leaky"),
            FixedConv(2 * hidden, 2 * channels, 1, zero=True),
        )
        self.rate_bias = nn.Parameter(torch.zeros(len(STEPS), 2 * channels, 1, 1))
        self.hyper = hyper

    def code(
        self, coder: LatentCoder, name: str, latent: Tensor | None, known: Sequence[Tensor], rate: Tensor,
        shape: tuple[int, int, int],
    ) -> Tensor:  # fmt: skip
        """Code a latent; see `baselines.dcvc_dc.small.QuadPrior.code`."""
        batch, height, width = shape
        gain = self.get_buffer("gain")
        z = None if latent is None else self.hyper_encoder(pad_to(latent / gain, 4))
        z_hat = coder.factorized(f"{name}_z", self.prior, z, (batch, self.hyper, -(-height // 4), -(-width // 4)))
        hyper = self.hyper_decoder(snap(z_hat, self.frozen))[:, :, :height, :width]
        hints, bias = torch.cat((hyper, *known), 1), self.rate_bias[rate]

        def parameters(x: Tensor) -> tuple[Tensor, Tensor]:
            # The context comes unrounded from the serial walk; what is on the grid stays.
            scales, means = (self.parameters_net(snap(x, self.frozen)) + bias).chunk(2, 1)
            return scale_of(scales, self.frozen), means * gain

        def view(values: Tensor) -> Tensor:
            return snap(values / gain, self.frozen)

        if self.training and latent is not None:
            # All places at once: the context sees what rounding without means would give.
            rounded = latent + (torch.round(latent) - latent).detach()
            scales, means = parameters(torch.cat((hints, self.context(view(rounded))), 1))
            return coder.conditional(name, SCALES, latent - means, scales) + means
        return code_autoregressive(coder, name, SCALES, latent, hints, self.context, parameters, view)

    def calibrate(self, deviation: Tensor) -> None:
        """Start from Laplace scales that fit these standard deviations, rates x C."""
        with torch.no_grad():
            channels = deviation.shape[1]
            self.rate_bias[:, :channels, 0, 0] = output_of(deviation / 2**0.5).clamp(-7.5, 7.5)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.rate_bias.copy_(torch.round(self.rate_bias / STEP) * STEP)


class Synthesis(nn.Module):
    """Branch of the decoder: coefficients, and the context where there is one, to the full frame's detail."""

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
        # Coefficients are small beside the range: times eight, their grid is 1/512.
        x = self.up(snap(8 * coefficients.to(self.last.conv.weight), self.last.frozen))
        return self.last(self.blocks(self.first(torch.cat((x, *context), 1)))) / FRAME_GAIN


class SmallImageNetwork(FixedLayer):
    """Intra frames, after cheng2020-anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = DctTransform(_LATENT)
        self.rates = Rates(_LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(1, _HALF, 5, 2), Gdn(_HALF), conv(_HALF, _QUARTER, 3, 2), Gdn(_QUARTER),
            conv(_QUARTER, _EIGHTH, 3, 2), Gdn(_EIGHTH), zeroed(conv(_EIGHTH, _LATENT, 3, 2)),
        )  # fmt: skip
        self.prior = SerialPrior(_LATENT, 64, 16, 0)
        self.decoder = Synthesis(_LATENT)

    def code(self, coder: LatentCoder, frame: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code frames N x 1 x H x W; returns them decoded. `shape` is (N, H, W)."""
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = (self.transform(frame - 0.5) + self.encoder(frame - 0.5)) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // 16, width // 16))
        coefficients = (decoded.double() if self.frozen else decoded) * steps
        return to_frame(self.transform.invert(coefficients) + self.decoder(coefficients), self.frozen)

    def calibrate(self, frames: Tensor) -> None:
        """Fit the prior's first scales to what the transform gives for these frames."""
        with torch.no_grad():
            deviation = self.transform(frames - 0.5).std((0, 2, 3))
            self.prior.calibrate(deviation / torch.tensor(STEPS)[:, None].to(deviation))


class SmallVideoNetwork(FixedLayer):
    """Inter frames."""

    def __init__(self) -> None:
        super().__init__()
        # Motion.
        self.optic_flow = SpyNet(1, (12, 16, 12, 8), 5)
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
        self.transform = DctTransform(_LATENT)
        self.rates = Rates(_LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(2 + _FULL, _HALF, 5, 2), Gdn(_HALF), conv(_HALF, _QUARTER, 5, 2), Gdn(_QUARTER),
            conv(_QUARTER, _EIGHTH, 3, 2), Gdn(_EIGHTH), zeroed(conv(_EIGHTH, _LATENT, 3, 2)),
        )  # fmt: skip
        self.temporal = nn.Sequential(
            FixedConv(_FULL, _HALF, 5, 2), FixedGdn(_HALF), FixedConv(_HALF, _QUARTER, 3, 2), FixedGdn(_QUARTER),
            FixedConv(_QUARTER, _EIGHTH, 3, 2), FixedGdn(_EIGHTH), FixedConv(_EIGHTH, 48, 3, 2),
        )  # fmt: skip
        self.prior = SerialPrior(_LATENT, 72, 16, 48)
        self.decoder = Synthesis(_LATENT, _FULL)

    def code(self, coder: LatentCoder, frame: Tensor | None, reference: Tensor, rate: Tensor) -> Tensor:
        """Code frames N x 1 x H x W given those decoded before."""
        motion = self._code_motion(coder, frame, reference, rate)
        # Motion compensation alone predicts the frame; what is left of it goes through the linear path.
        predicted = warp_fixed(reference, motion, self.frozen, FRAME_STEP)
        context = self.refine(warp_fixed(self.extract(to_network(reference)), motion, self.frozen))
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            seen = torch.cat((to_network(frame) / 4, FRAME_GAIN * (frame - predicted), context), 1)
            latent = (self.transform(frame - predicted) + self.encoder(seen)) / steps
        batch, _, height, width = reference.shape
        shape = (batch, height // 16, width // 16)
        decoded = self.prior.code(coder, "y", latent, (self.temporal(context),), rate, shape)
        coefficients = (decoded.double() if self.frozen else decoded) * steps
        detail = self.decoder(coefficients, (context,))
        return to_frame(predicted - 0.5 + self.transform.invert(coefficients) + detail, self.frozen)

    def _code_motion(self, coder: LatentCoder, frame: Tensor | None, reference: Tensor, rate: Tensor) -> Tensor:
        batch, _, height, width = reference.shape
        steps = self.motion_rates(rate, self.frozen)
        latent = None
        if frame is not None:
            flow = self.optic_flow(to_network(frame) / 4, to_network(reference) / 4)
            means = F.pad(F.avg_pool2d(flow, 16), (0, 0, 0, 0, 0, _MOTION - 2))
            latent = (means + self.mv_encoder(flow / 4)) / steps
        decoded = self.mv_prior.code(coder, "mv", latent, (), rate, (batch, height // 16, width // 16))
        exact = decoded.double() if self.frozen else decoded
        # In units of four pixels.
        coarse = snap((exact * steps / 4).to(reference), self.frozen)
        motion = add(block_motion(coarse, self.frozen), self.mv_decoder(coarse))
        motion = add(motion, self.mv_refine(torch.cat((motion, to_network(reference)), 1)))
        return snap_motion(4 * motion, self.frozen)

    def calibrate(self, frames: Tensor, past: Tensor) -> None:
        """Fit the prior's first scales to the differences of successive frames, motion ignored."""
        with torch.no_grad():
            deviation = self.transform(frames - past).std((0, 2, 3))
            self.prior.calibrate(deviation / torch.tensor(STEPS)[:, None].to(deviation))
