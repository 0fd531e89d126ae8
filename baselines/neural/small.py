"""What the small codecs share: a transform that works before training, motion, variable rate, and stored tables.

Before training, every small codec is a plain transform codec: a 16x16 DCT of the frame, or of its difference from the
motion-compensated prediction, and motion as block means. The networks of its architecture are branches beside these
linear paths, and start at zero. So an hour of training on two cores improves a codec that works already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.entropy import BitCount, FactorizedPrior, Laplace, Tables, channel_tables
from baselines.neural.fixed import FixedConv, FixedLayer, add, freeze, snap
from baselines.neural.layers import tensor_cache
from bench.weights import load_into

BLOCK = 16
# Number of a block's 256 coefficients that are coded. With half of them high rate points lose quality (docs/sci.md).
LATENT = 192
# Starting quantisation steps of the rate points, for the coefficients of an orthonormal transform and for motion in
# pixels.
STEPS = (0.9, 0.6, 0.4, 0.27, 0.18, 0.12, 0.08)
MOTION_STEPS = (1.5, 1.0, 0.65, 0.5, 0.4, 0.3, 0.25)
# Frames are on a grid of 1/1024. Centred at zero and times 16, they are values of a fixed-point network.
FRAME_STEP = 1 / 1024
FRAME_GAIN = 16.0
_COEFFICIENT_STEP = 2.0**-12
_BASIS_STEP = 2.0**-16
# A fixed-point network selects one of 64 scales: from 0.05 to 40, each 1.11 times the one before.
SCALES = Laplace(0.05, 40.0, 64)
_SCALE_TABLE = torch.tensor(SCALES.scales, dtype=torch.float32)
_LOG_FIRST, _LOG_RATIO = math.log(SCALES.scales[0]), math.log(SCALES.scales[1] / SCALES.scales[0])
_TABLE_REACH = 40
# An error in an inter frame costs this many times its cost in that frame alone; chosen on held-out scenes.
_LASTING = 3.0


class Rates(nn.Module):
    """Quantisation steps of a variable-rate latent: a factor per channel times one per rate point, both learned.

    Parameters
    ----------
    steps
        Starting step of each rate point, from the lowest rate to the highest.
    """

    def __init__(self, channels: int, steps: tuple[float, ...]) -> None:
        super().__init__()
        self.basic = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.tensor(steps).log().view(-1, 1, 1, 1))
        # Stored when training ends, so that decoders read numbers and compute no exponential.
        self.register_buffer("steps", torch.zeros(len(steps), channels, 1, 1))

    def forward(self, rate: Tensor, frozen: bool) -> Tensor:
        """Steps N x C x 1 x 1 at the rate point of each of N items."""
        if frozen:
            return self.get_buffer("steps")[rate]
        return (self.basic + self.scale[rate]).exp()

    def store(self) -> None:
        """Write the table that frozen networks use."""
        with torch.no_grad():
            self.get_buffer("steps").copy_((self.basic + self.scale).exp())


class DctTransform(FixedLayer):
    """Learned linear transform of 16x16 blocks that starts as the DCT's coefficients of lowest frequency.

    The analysis (encoder) runs in floating point. The synthesis (decoder) is exact: float64 sums of integers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        basis = dct_basis(BLOCK)[:channels].view(channels, 1, BLOCK, BLOCK)
        self.analysis = nn.Parameter(basis.clone())
        self.synthesis = nn.Parameter(basis.clone())

    def forward(self, frame: Tensor) -> Tensor:
        """N x 1 x H x W to N x C x H/16 x W/16."""
        return F.conv2d(frame, self.analysis, stride=BLOCK)

    def invert(self, coefficients: Tensor) -> Tensor:
        """N x C x h x w to N x 1 x 16 h x 16 w; in float64 where frozen."""
        kernel = self.synthesis.flatten(1)
        if self.frozen:
            coefficients = torch.round(coefficients.double() * (1 / _COEFFICIENT_STEP)) * _COEFFICIENT_STEP
            kernel = kernel.double()
        return F.pixel_shuffle(torch.einsum("nchw,cp->nphw", coefficients, kernel), BLOCK)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.synthesis.copy_(torch.round(self.synthesis / _BASIS_STEP) * _BASIS_STEP)


def dct_basis(size: int) -> Tensor:
    """Orthonormal 2-D DCT-II basis, size^2 x size x size, ordered by frequency (lowest first)."""
    k = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    basis = torch.einsum("iy,jx->ijyx", rows, rows).reshape(size * size, size, size)
    frequency = (k[:, None] ** 2 + k[None] ** 2).flatten() + 1e-3 * k.repeat(size)
    return basis[frequency.argsort()].float()


def latent_gain(channels: int) -> Tensor:
    """Powers of two, 1 x C x 1 x 1, that divide latents before they enter networks: low frequencies are large.

    For a latent of motion, which has no more than 16 channels, it is a single one.
    """
    if channels <= BLOCK:
        return torch.ones(1, 1, 1, 1)
    gain = torch.ones(channels)
    gain[:1], gain[1:6], gain[6:21] = 16, 4, 2
    return gain.view(1, -1, 1, 1)


class FixedPrior(FactorizedPrior):
    """A factorised prior whose coding tables are stored with the weights, as integers."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        # The last entry is the escape's.
        self.register_buffer("frequencies", torch.ones(channels, 2 * _TABLE_REACH + 2, dtype=torch.int32))

    def store(self) -> None:
        """Write the integer tables."""
        tables, stored = channel_tables(self), self.get_buffer("frequencies")
        stored.fill_(1)
        for row, frequencies, offset in zip(stored, tables.frequencies, tables.offsets, strict=True):
            for j, frequency in enumerate(frequencies[:-1]):
                if abs(symbol := int(offset) + j) <= _TABLE_REACH:
                    row[symbol + _TABLE_REACH] = int(frequency)
            row[-1] = int(frequencies[-1])

    @property
    def tables(self) -> Tables:
        """The stored tables."""
        rows = self.get_buffer("frequencies").cpu().numpy()
        return Tables(tuple(rows), np.full(len(rows), -_TABLE_REACH))


def store_tables(network: nn.Module) -> None:
    """Store what decoders read instead of computing: quantisation steps and coding tables. Call it before `freeze`."""
    for module in network.modules():
        if isinstance(module, Rates | FixedPrior):
            module.store()


def scale_of(output: Tensor, frozen: bool) -> Tensor:
    """Scale that a network's output selects: 0 is the middle of the table, and each 1/4 is one entry."""
    position = (4 * output + 31.5).clamp(0, 63)
    if not frozen:
        return (_LOG_FIRST + _LOG_RATIO * position).exp()
    return _SCALE_TABLE.to(output.device)[torch.round(position).long()]


def output_of(scale: Tensor) -> Tensor:
    """The output that selects a scale: the inverse of `scale_of`."""
    return ((scale.log() - _LOG_FIRST) / _LOG_RATIO - 31.5) / 4


def starting_outputs(latents: Tensor, steps: Sequence[float]) -> Tensor:
    """Outputs that select the scales of these latents at each rate point, rates x C, without gradient.

    Parameters
    ----------
    latents
        N x C x h x w, not yet divided by quantisation steps.
    steps
        Quantisation step of each rate point.
    """
    with torch.no_grad():
        deviation = latents.std((0, 2, 3))
        return output_of(deviation / torch.tensor(steps)[:, None].to(deviation) / 2**0.5).clamp(-7.5, 7.5)


def to_network(frame: Tensor) -> Tensor:
    """Frame in [0, 1] as values of a fixed-point network, within +-8."""
    return (frame - 0.5) * FRAME_GAIN


def to_frame(values: Tensor, frozen: bool) -> Tensor:
    """Values around zero as a float32 frame in [0, 1]; where frozen, rounded to the frames' grid."""
    frame = (values + 0.5).clamp(0, 1)
    return (torch.round(frame * (1 / FRAME_STEP)) * FRAME_STEP).float() if frozen else frame


class Residual(nn.Module):
    """x plus two convolutions, in fixed point."""

    def __init__(self, channels: int, inside: int = 0) -> None:
        super().__init__()
        self.conv1 = FixedConv(channels, inside or channels, activation="leaky")
        self.conv2 = FixedConv(inside or channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return add(x, self.conv2(self.conv1(x)))


def step_of(rate: Tensor) -> Tensor:
    """Starting quantisation step of each rate point."""
    return torch.tensor(STEPS, device=rate.device)[rate]


def slope_of(step: Tensor) -> Tensor:
    """Squared error that is worth one bit per pixel at quantisation step s: the slope -dD/dR.

    At high rates a step s gives distortion D = s^2 / 12, and -dD/dR = 2 ln(2) D.
    """
    return 2 * math.log(2) / 12 * step.square()


def bit_worth(rate: Tensor) -> Tensor:
    """Squared error that is worth one bit at the rate point of each of N items, N x 1 x 1 x 1."""
    return slope_of(step_of(rate)).view(-1, 1, 1, 1)


def coefficient_worth(steps: Tensor, rate: Tensor) -> Tensor:
    """Bits that a squared unit of error in an inter frame's symbols is worth (`symbols_of`), N x C x 1 x 1.

    An error costs more than its squared error in this frame, since later frames are predicted from it.

    Parameters
    ----------
    steps
        Quantisation steps, N x C x 1 x 1.
    """
    return _LASTING * steps.square() / bit_worth(rate)


def block_motion(latent: Tensor, frozen: bool) -> Tensor:
    """Motion of all pixels, N x 2 x H x W, from a latent's first two channels, the motion of 16x16 blocks."""
    return motion_surface(latent[:, :2], frozen)


def quarter_motion(latent: Tensor) -> Tensor:
    """Motion of 8x8 quarters of blocks, N x 2 x 2h x 2w, from a latent's first eight channels, N x 8 x h x w.

    The channels are the coefficients of a 2x2 Haar transform: mean, horizontal, vertical and diagonal difference.
    """
    mean, across, down, crossed = latent[:, :8].chunk(4, 1)
    left, right, other, another = mean + across, mean - across, down + crossed, down - crossed
    return F.pixel_shuffle(
        torch.stack((left + other, right + another, left - other, right - another), 2).flatten(1, 2), 2
    )


def quarter_latent(motion: Tensor) -> Tensor:
    """The eight channels for the motion of quarters N x 2 x 2h x 2w, N x 8 x h x w: inverse of `quarter_motion`."""
    batch, _, height, width = motion.shape
    quarters = F.pixel_unshuffle(motion, 2).view(batch, 2, 4, height // 2, width // 2)
    signs = motion.new_tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 4
    return torch.einsum("sq,ncqhw->nschw", signs, quarters).flatten(1, 2)


def motion_surface(motion: Tensor, frozen: bool, side: int = BLOCK) -> Tensor:
    """Motion of all pixels, N x 2 x side h x side w, from that of blocks, N x 2 x h x w.

    Each pixel gets the mean over a window of a block's size around it, which is bilinear interpolation between the
    blocks' centres.
    """
    height, width = motion.shape[2:]
    # Weights are multiples of 1 / side, so that both products are exact.
    down, across = _spread(height, side).to(motion), _spread(width, side).to(motion)
    return snap(down @ motion @ across.T, frozen)


@tensor_cache
def _spread(blocks: int, side: int) -> Tensor:
    """Weight of each block in each pixel along one direction, (side * blocks) x blocks."""
    half = side // 2
    nearest = torch.eye(blocks).repeat_interleave(side, 1)[None]
    return F.avg_pool1d(F.pad(nearest, (half, half - 1), mode="replicate"), side, 1)[0].T


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a layer's weights and bias to zero, for a branch that adds nothing at first; returns the layer."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def restore_small(network: nn.Module, weights: Mapping[str, Tensor], device: str) -> None:
    """Load shipped weights into a new network, bring it into its exact form, and move it to the device.

    Raises
    ------
    BenchError
        If the weights do not fit the network.
    """
    load_into(network, weights, "the small preset's weights")
    freeze(network)  # the weights are rounded already, and stay as they are
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def stream_bits() -> BitCount:
    """How bits are counted without a stream: by the density, bounded below by the shortest escape's probability."""
    return BitCount(bound=2.0**-23)
