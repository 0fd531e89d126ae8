"""SpikeCodec's networks: scene recovery, variational auto-encoder with attention, spike simulator.

::

    spikes around a scene's instant -> windows' rates -> recovery -> scene -> analysis -> y -> quantise -> y_hat
                                                                     y -> hyperprior, 5x5 context -> scales, means
    y_hat -> synthesis -> decoded scene -> integrate and fire -> spikes

What precedes the quantiser runs in floating point; the rest is exact (`baselines.neural.fixed`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from baselines.neural.fixed import FixedConv, FixedGdn, FixedLayer, FixedSubpel, add, snap
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import Gdn, conv
from baselines.neural.serial import SerialPrior
from baselines.neural.small import (
    FRAME_GAIN,
    FRAME_STEP,
    STEPS,
    DctTransform,
    Rates,
    Residual,
    to_frame,
    zeroed,
)  # fmt: skip
from bench.spikes import SpikeCamera

# Number of spike frames per scene, and lengths of the windows around it whose firing rates recovery reads.
GROUP = 8
WINDOWS = (4, 10, 20, 40)
_WEIGHTS = 2 * GROUP  # interpolation weights between two scenes are multiples of 1/16
_LEVELS = round(1 / FRAME_STEP)
# Number of a block's 256 coefficients that are coded.
_LATENT = 96


@dataclass(frozen=True)
class Sizes:
    """Channels of the network's parts.

    Attributes
    ----------
    recovery, depth
        Channels of scene recovery and its number of inner layers, all at full size.
    analysis, synthesis
        Channels at half, quarter and eighth size.
    last
        Channels of the synthesis at full size.
    hidden
        Channels inside the prior.
    """

    recovery: int = 16
    depth: int = 2
    analysis: tuple[int, int, int] = (16, 24, 32)
    synthesis: tuple[int, int, int] = (16, 24, 32)
    last: int = 8
    hidden: int = 64


SMALL = Sizes()
# Table X of the SCI paper states 6.11 million parameters before the channel and 42.88 million after it, but not the
# layers. These widths come within 1 % of both numbers.
FULL = Sizes(192, 10, (128, 192, 256), (256, 512, 760), 16, 208)


class SceneRecovery(nn.Module):
    """Luminance at an instant from firing rates around it: short windows for motion, long ones against noise."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(len(WINDOWS), width)]
        for _ in range(depth):
            layers += [nn.LeakyReLU(0.1), conv(width, width)]
        self.branch = nn.Sequential(*layers, nn.LeakyReLU(0.1), zeroed(conv(width, 1)))

    def forward(self, rates: Tensor) -> Tensor:
        """A scene N x 1 x H x W in [0, 1] from firing rates N x 4 x H x W, relative to the recording's largest."""
        return (rates[:, 2:3] + self.branch(rates - 0.5)).clamp(0, 1)


class Attention(FixedLayer):
    """x plus a branch that is weighted by a gate between 0 and 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = Residual(channels, channels // 2)
        self.gate = nn.Sequential(Residual(channels, channels // 2), FixedConv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        # The gate is piecewise linear, so that its product with values on the grid stays far below 2^24 units.
        gate = (0.5 + self.gate(x) / 4).clamp(0, 1)
        return add(x, snap(self.body(x) * gate, self.frozen))


class SceneNetwork(FixedLayer):
    """Scene recovery, and the auto-encoder of scenes."""

    def __init__(self, sizes: Sizes = SMALL) -> None:
        super().__init__()
        half, quarter, eighth = sizes.analysis
        self.recovery = SceneRecovery(sizes.recovery, sizes.depth)
        self.transform = DctTransform(_LATENT)
        self.rates = Rates(_LATENT, STEPS)
        self.encoder = nn.Sequential(
            conv(1, half, 5, 2), Gdn(half), conv(half, quarter, 5, 2), Gdn(quarter),
            conv(quarter, eighth, 3, 2), Gdn(eighth), zeroed(conv(eighth, _LATENT, 3, 2)),
        )  # fmt: skip
        self.prior = SerialPrior(_LATENT, sizes.hidden, 16, 0)
        half, quarter, eighth = sizes.synthesis
        self.decoder = nn.Sequential(
            FixedSubpel(_LATENT, eighth), FixedGdn(eighth, inverse=True), Attention(eighth),
            FixedSubpel(eighth, quarter), FixedGdn(quarter, inverse=True), Attention(quarter),
            FixedSubpel(quarter, half), FixedGdn(half, inverse=True), Residual(half), FixedSubpel(half, sizes.last),
            Residual(sizes.last), FixedConv(sizes.last, 1, zero=True),
        )  # fmt: skip

    def code(self, coder: LatentCoder, scene: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code scenes N x 1 x H x W in [0, 1], None when decoding; returns them decoded.

        Parameters
        ----------
        rate
            Rate point of each of the N scenes.
        shape
            (N, H, W), H and W multiples of 16.
        """
        steps = self.rates(rate, self.frozen)
        latent = None
        if scene is not None:
            latent = (self.transform(scene - 0.5) + self.encoder(scene - 0.5)) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // 16, width // 16))
        coefficients = (decoded.double() if self.frozen else decoded) * steps
        # Coefficients are small compared with the fixed-point range: times eight, they are on a grid of 1/512.
        detail = self.decoder(snap(8 * coefficients.to(steps), self.frozen)) / FRAME_GAIN
        return to_frame(self.transform.invert(coefficients) + detail, self.frozen)

    def calibrate(self, scenes: Tensor) -> None:
        """Set the prior's starting scales from the transform of these scenes, N x 1 x H x W."""
        self.prior.calibrate(self.transform(scenes - 0.5), STEPS)


def window_rates(spikes: np.ndarray) -> np.ndarray:
    """Firing rates in four windows around every scene's instant.

    Parameters
    ----------
    spikes
        T x H x W uint8 in {0, 1}. Scene j is in the middle of frames 8 j .. 8 j + 7.

    Returns
    -------
    numpy.ndarray
        ceil(T / 8) x 4 x H x W float32, spikes per frame; windows end at the recording's ends.
    """
    count = -(-len(spikes) // GROUP)
    # With cumulative sums a window of any length takes two look-ups.
    sums = np.zeros((len(spikes) + 1, *spikes.shape[1:]), np.uint32)
    np.cumsum(spikes, axis=0, dtype=np.uint32, out=sums[1:])
    rates = np.empty((count, len(WINDOWS), *spikes.shape[1:]), np.float32)
    for j in range(count):
        middle = min(j * GROUP + GROUP // 2, len(spikes))
        for channel, window in enumerate(WINDOWS):
            first, last = max(0, middle - window // 2), min(len(spikes), middle + window // 2)
            rates[j, channel] = (sums[last] - sums[first]).astype(np.float32) / np.float32(last - first)
    return rates


def fire(scenes: np.ndarray, largest: int, count: int) -> np.ndarray:
    """Fire the spikes of decoded scenes: interpolate luminance between them, integrate it, fire at the threshold.

    Parameters
    ----------
    scenes
        J x H x W float32, multiples of 1/1024 in [0, 1].
    largest
        Firing rate of luminance 1, in units of 1/255 spikes per frame.
    count
        Number of spike frames T.

    Returns
    -------
    numpy.ndarray
        T x H x W uint8 in {0, 1}.
    """
    height, width = scenes.shape[1:]
    levels = np.rint(scenes * _LEVELS).astype(np.float32) * np.float32(largest)
    threshold = _LEVELS * 255 * _WEIGHTS
    # Pixels start at phases that are spread evenly over the plane (an R2 sequence in 16-bit integers, from one half).
    rows, columns = np.mgrid[0:height, 0:width]
    phase = (32768 + 49472 * columns + 37345 * rows) % 65536
    camera = SpikeCamera(height, width, theta=float(threshold), initial=np.floor(phase * (threshold / 65536)))
    spikes = np.empty((count, height, width), np.uint8)
    for index in range(count):
        # In units of 1/16 of a group, frame i is at 2 i + 1 + 8 from the instant of a scene before the first.
        position = 2 * index + 1 + GROUP
        before, weight = divmod(position, _WEIGHTS)
        first, second = (levels[min(max(j, 0), len(levels) - 1)] for j in (before - 1, before))
        spikes[index] = camera.expose((first * (_WEIGHTS - weight) + second * weight)[None])[0]
    return spikes
