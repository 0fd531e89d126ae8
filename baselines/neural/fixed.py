"""Fixed-point networks: layers that give the same results on every machine.

Floating-point sums depend on the order of additions, which depends on the number of threads, the kernel, the library
and the device. A decoder's networks select the entropy coder's tables and build the frame that the next one is
predicted from, so a difference in the last bit breaks decoding. Here every value that enters a convolution is a
multiple of 1/64 within +-16. Every weight is a multiple of a power of two, chosen for each output channel so that no
partial sum reaches 2^24 units. Within that bound float32 adds integers exactly, in any order, so all fast kernels give
the same bits.

While a network trains, its layers only clip to the range. `freeze` rounds the weights and turns rounding on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import MaskedConv, tensor_cache, warp

STEP = 1 / 64
LIMIT = 16.0
# Largest magnitude of a value, in units of STEP, and bound of a sum, in units of its smallest term.
_UNITS = round(LIMIT / STEP)
_EXACT = 2**24
# Motion is on a grid of 1/16 pixel, so bilinear weights are multiples of 1/256.
MOTION_STEP = 1 / 16
_SLOPE = 1 / 8
_GDN_STEP = 2.0**-16

Activation = Literal["none", "leaky"]


class FixedLayer(nn.Module):
    """Base of layers that compute exactly once they are frozen."""

    frozen = False

    def freeze_weights(self) -> None:
        """Round the parameters in place; by default there are none."""


def freeze(network: nn.Module) -> None:
    """Turn every fixed-point layer inside a network into its exact form."""
    for module in network.modules():
        if isinstance(module, FixedLayer) and not module.frozen:
            module.freeze_weights()
            module.frozen = True


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute float32 products in float32: no TF32 or bfloat16, and no Winograd or FFT convolutions.

    The settings that were there are restored on exit.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        # cuDNN chooses algorithms by speed; without it, convolutions on CUDA are plain matrix products.
        with torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def snap(x: Tensor, frozen: bool) -> Tensor:
    """Clip to the range, and round to the grid where frozen."""
    # The gradient of `hardtanh` is one operation, that of `clamp` four.
    return _round_in_place(x + _far(x)) if frozen else F.hardtanh(x, -LIMIT, LIMIT)


def _far(x: Tensor) -> float:
    """A number near which floats of x's dtype are STEP apart: adding it rounds to the grid, ties to even."""
    return 1.5 * STEP / torch.finfo(x.dtype).eps


def _round_in_place(moved: Tensor) -> Tensor:
    return moved.sub_(_far(moved)).clamp_(-LIMIT, LIMIT)


def add(x: Tensor, y: Tensor) -> Tensor:
    """Add two values on the grid, and clip to the range."""
    return F.hardtanh_(x + y, -LIMIT, LIMIT)


class FixedConv(FixedLayer):
    """Convolution, activation, rounding.

    Parameters
    ----------
    stride, groups
        As in `torch.nn.Conv2d`; padding of half the kernel keeps H x W / stride.
    activation
        ``leaky`` has slope 1/8, a power of two, so that it needs no rounding.
    zero
        Start with zero weights, for branches beside a transform that works without them.

    Attributes
    ----------
    reduced
        Whether training computes the products in bfloat16 (`train_in_bfloat16`).
    """

    reduced = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: Activation = "none",
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        self.activation = activation
        if zero:
            nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        # Channels-last is several times faster for few channels, and 25 times for depthwise kernels.
        x = x.contiguous(memory_format=torch.channels_last)
        if self.reduced and self.training and not self.frozen:
            with torch.autocast(x.device.type, torch.bfloat16):
                return self._finish(self.conv(x).float())
        return self._finish(self.conv(x))

    def pointwise(self, x: Tensor) -> Tensor:
        """Run a 1x1 layer on places instead of maps, P x inputs to P x outputs."""
        return self._finish(F.linear(x, self.conv.weight.flatten(1), self.conv.bias))

    def _finish(self, x: Tensor) -> Tensor:
        if not self.frozen:
            return snap(F.leaky_relu(x, _SLOPE) if self.activation == "leaky" else x, False)
        # In place: at full size, allocating memory takes longer than the arithmetic.
        x = F.leaky_relu_(x, _SLOPE) if self.activation == "leaky" else x
        return _round_in_place(x.add_(_far(x)))

    def freeze_weights(self) -> None:
        with torch.no_grad():
            weight, bias = round_weights(self.conv.weight.flatten(1), self.conv.bias)  # type: ignore[arg-type]
            self.conv.weight.copy_(weight.view_as(self.conv.weight))
            self.conv.bias.copy_(bias)  # type: ignore[union-attr]


def train_in_bfloat16(network: nn.Module) -> None:
    """Let the 3x3 convolutions inside a network compute products in bfloat16 while it trains.

    They are nearly all of the work. Other layers keep float32: the last ones of a prior give means and scales, which
    need more than eight bits. Frozen networks are not changed by it.
    """
    for module in network.modules():
        if isinstance(module, FixedConv):
            module.reduced = module.conv.kernel_size != (1, 1) and module.conv.groups == 1


class FixedSubpel(nn.Sequential):
    """Sub-pixel convolution: to four times the channels, then pixel shuffle to twice the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, activation: Activation = "none", zero: bool = False
    ) -> None:
        super().__init__(FixedConv(inputs, 4 * outputs, kernel, activation=activation, zero=zero), nn.PixelShuffle(2))


class FixedGdn(FixedLayer):
    """Generalised divisive normalisation, see `baselines.neural.layers.Gdn`.

    Where frozen it runs in float64: sums of integers below 2^53, then a square root and a product or quotient, which
    IEEE 754 rounds the same on every machine.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(0.1 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        exact = x.double() if self.frozen else x
        beta, gamma = self.beta.clamp_min(1e-3).to(exact), self.gamma.clamp_min(0).to(exact)
        norm = (torch.einsum("nchw,dc->ndhw", exact * exact, gamma) + beta[:, None, None]).sqrt()
        return snap((exact * norm if self.inverse else exact / norm).to(x), self.frozen)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.beta.copy_(torch.round(self.beta.clamp_min(1e-3) / _GDN_STEP) * _GDN_STEP)
            self.gamma.copy_(torch.round(self.gamma.clamp_min(0) / _GDN_STEP) * _GDN_STEP)


class FixedMasked(FixedLayer):
    """Causal 5x5 convolution, see `baselines.neural.layers.MaskedConv`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = MaskedConv(inputs, outputs)
        self.in_channels = inputs
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    @property
    def causal_weight(self) -> Tensor:
        """The weights with every acausal tap at zero."""
        return self.conv.causal_weight

    @property
    def bias(self) -> Tensor | None:
        """One value per output."""
        return self.conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return snap(self.conv(x), self.frozen)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            weight, bias = round_weights(self.causal_weight.flatten(1), self.conv.bias)  # type: ignore[arg-type]
            self.conv.weight.copy_(weight.view_as(self.conv.weight))
            self.conv.bias.copy_(bias)  # type: ignore[union-attr]


def round_weights(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to multiples of the finest power of two whose sums stay exact; the bias to the products' grid.

    Parameters
    ----------
    weight, bias
        outputs x fan-in, and outputs.

    Returns
    -------
    tuple
        Rounded weight and bias, float32.
    """
    exact_weight, exact_bias = weight.double(), bias.double()
    # At this fraction sums reach the bound. Rounding changes them by half a unit a weight, far less than a factor of 2.
    sums = (exact_weight.abs().sum(1) * _UNITS + exact_bias.abs() / STEP).clamp_min(2.0**-40)
    fraction = ((_EXACT / sums).log2().floor() + 1).clamp_max(20.0)
    for _ in range(40):
        scale = torch.exp2(fraction)[:, None]
        integer = torch.round(exact_weight * scale)
        biased = torch.round(exact_bias * scale[:, 0] / STEP)
        over = integer.abs().sum(1) * _UNITS + biased.abs() >= _EXACT
        if not over.any():
            break
        fraction = fraction - over.double()
    return (integer / scale).float(), (biased * STEP / scale[:, 0]).float()


def warp_fixed(image: Tensor, motion: Tensor, frozen: bool, step: float = STEP) -> Tensor:
    """Backward warp by motion on the grid of 1/16 pixel: bilinear, clamped at the border.

    Parameters
    ----------
    image
        N x C x H x W, multiples of `step` up to 2^12 of it.
    motion
        N x 2 x H x W in pixels, x then y.

    Returns
    -------
    Tensor
        N x C x H x W, rounded to `step` where frozen.
    """
    if not frozen:
        return warp(image, motion)
    height, width = image.shape[2:]
    rows = torch.arange(height, device=image.device, dtype=motion.dtype).view(-1, 1)
    columns = torch.arange(width, device=image.device, dtype=motion.dtype)
    # Item by item: four look-ups and three interpolations over whole planes.
    warped = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    for target, planes, moved in zip(warped, image.contiguous().flatten(2), motion, strict=True):
        x, y = (columns + moved[0]).clamp_(0, width - 1), (rows + moved[1]).clamp_(0, height - 1)
        left, top = x.floor(), y.floor()
        across, down = (x - left).flatten(), (y - top).flatten()
        corner = (top * width + left).int().flatten()
        # Beyond the last row or column the weight is zero, so any place will do.
        right = (left < width - 1).int().flatten()
        below = (top < height - 1).int().flatten() * width
        upper = torch.lerp(planes.index_select(1, corner), planes.index_select(1, corner + right), across)
        lower = torch.lerp(
            planes.index_select(1, corner + below), planes.index_select(1, corner + below + right), across
        )
        out = torch.lerp(upper, lower, down)
        target.copy_(out.mul_(1 / step).round_().mul_(step).view_as(target))
    return warped


def warp_cubic(image: Tensor, motion: Tensor, frozen: bool, step: float = STEP) -> Tensor:
    """Backward warp like `warp_fixed`, but by cubic convolution over 4x4 pixels (Keys 1981, a = -3/4).

    Weights are multiples of 1/64, as in video codecs: products of two of them with ten-bit values add up exactly in
    float32, in any order.

    Parameters
    ----------
    image
        N x C x H x W, multiples of `step` up to 2^10 of it.
    motion
        N x 2 x H x W in pixels, x then y.

    Returns
    -------
    Tensor
        N x C x H x W, rounded to `step` where frozen.
    """
    if not frozen:
        return warp(image, motion, "bicubic")
    height, width = image.shape[2:]
    rows = torch.arange(height, device=image.device, dtype=motion.dtype).view(-1, 1)
    columns = torch.arange(width, device=image.device, dtype=motion.dtype)
    weights = _cubic_weights(image.device)
    # Three pixels of padding on each side repeat the border, so that all taps lie at fixed distances from the first.
    wide = width + 6
    padded = F.pad(image, (3, 3, 3, 3), mode="replicate").flatten(2)
    warped = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    for target, planes, moved in zip(warped, padded, motion, strict=True):
        x, y = columns + moved[0], rows + moved[1]
        left, top = x.floor(), y.floor()
        places = (((at - first) / MOTION_STEP).int().flatten() for at, first in ((x, left), (y, top)))
        across, down = (weights.index_select(1, place) for place in places)
        corner = (top.clamp_(-2, height) + 2) * wide + left.clamp_(-2, width) + 2
        corner = corner.int().flatten()
        total = torch.zeros_like(planes[:, : height * width])
        for tap, weight in enumerate(down):
            line = torch.zeros_like(total)
            for place, other in enumerate(across):
                line.addcmul_(planes.index_select(1, corner + (tap * wide + place)), other)
            total.addcmul_(line, weight)
        target.copy_(total.mul_(1 / step).round_().mul_(step).view_as(target))
    return warped


@tensor_cache
def _cubic_weights(device: torch.device) -> Tensor:
    """Weights of the four taps at each sixteenth, 4 x 16 float32; they add up to 1."""
    part = torch.arange(0, 1, MOTION_STEP, dtype=torch.float64)

    def near(distance: Tensor) -> Tensor:
        return (1.25 * distance - 2.25) * distance**2 + 1

    def far(distance: Tensor) -> Tensor:
        return -0.75 * (((distance - 5) * distance + 8) * distance - 4)

    weights = torch.stack((far(1 + part), near(part), near(1 - part), far(2 - part)))
    units = torch.round(64 * weights)
    # The nearer of the middle taps gets the remainder of the rounding.
    rest = 64 - units.sum(0)
    units[1] += torch.where(part < 0.5, rest, 0)
    units[2] += torch.where(part < 0.5, 0, rest)
    return (units / 64).float().to(device)


def snap_motion(motion: Tensor, frozen: bool) -> Tensor:
    """Round motion to 1/16 pixel where frozen; while training it stays as it is."""
    if frozen:
        return torch.round(motion * (1 / MOTION_STEP)).mul_(MOTION_STEP)
    return motion
