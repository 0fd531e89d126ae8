"""Layers that more than one learned codec uses, with parameter names as in the authors' checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.spectral import SpectralConv

_PEDESTAL = 2.0**-36
_T = TypeVar("_T")


def tensor_cache(make: Callable[..., _T]) -> Callable[..., _T]:
    """Cache a function's tensors by its arguments.

    The function runs outside inference mode, since training cannot use tensors that were made inside.
    """

    @lru_cache(maxsize=64)
    @wraps(make)
    def call(*arguments: Hashable) -> _T:
        with torch.inference_mode(False):
            return make(*arguments)

    return call


class Pointwise(nn.Conv2d):
    """1x1 convolution computed as a matrix product over places: on CPUs, in channels-last, it is twice as fast."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.on_places(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def on_places(self, x: Tensor) -> Tensor:
        """Apply it to places, ... x inputs to ... x outputs."""
        return F.linear(x, self.weight.flatten(1), self.bias)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Convolution that keeps H x W / stride (zero padding of half the kernel)."""
    if kernel == 1 and stride == 1:
        return Pointwise(inputs, outputs)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def in_parts(function: Callable[..., Tensor], *maps: Tensor, places: int = 2048) -> Tensor:
    """Apply a function of places to maps N x C x H x W, `places` of them at a time; returns N x D x H x W.

    The function takes P x C of each map and returns P x D. In parts, its intermediate values stay in the processor's
    cache: allocating a wide layer at full size takes longer than its arithmetic.
    """
    batch, _, height, width = maps[0].shape
    flat = [x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in maps]
    parts = zip(*(torch.split(x, places) for x in flat), strict=True)
    if torch.is_grad_enabled():
        out = torch.cat([function(*part) for part in parts])
    else:
        first = function(*next(parts))
        out = first.new_empty(len(flat[0]), first.shape[1])
        out[: len(first)] = first
        for start, part in enumerate(parts, 1):
            out[start * places : (start + 1) * places] = function(*part)
    return out.view(batch, height, width, -1).permute(0, 3, 1, 2)


def upconv(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    """Transposed convolution that doubles H and W."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, kernel // 2, output_padding=1)


def subpel(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Sub-pixel convolution: four times the channels, then pixel shuffle to twice the size."""
    return nn.Sequential(conv(inputs, 4 * outputs, kernel), nn.PixelShuffle(2))


class Gdn(nn.Module):
    """Generalised divisive normalisation (Balle et al. 2016): x / sqrt(beta + gamma x^2); inverse: x * sqrt(...).

    `beta` and `gamma` are stored as square roots above a small pedestal, so that training cannot make them negative.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.sqrt(torch.ones(channels) + _PEDESTAL))
        self.gamma = nn.Parameter(torch.sqrt(0.1 * torch.eye(channels) + _PEDESTAL))

    def forward(self, x: Tensor) -> Tensor:
        beta = self.beta.clamp_min((1e-6 + _PEDESTAL) ** 0.5) ** 2 - _PEDESTAL
        gamma = self.gamma.clamp_min(_PEDESTAL**0.5) ** 2 - _PEDESTAL
        norm = torch.sqrt(F.conv2d(x * x, gamma[:, :, None, None], beta))
        return x * norm if self.inverse else x / norm


class MaskedConv(nn.Conv2d):
    """Causal 5x5 convolution: it reads two rows above and two columns to the left, which raster order codes before.

    The mask multiplies the weights at every call, since checkpoints may hold values at the masked taps.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, padding=2)
        mask = torch.zeros_like(self.weight)
        mask[:, :, :2], mask[:, :, 2, :2] = 1, 1
        self.register_buffer("mask", mask)

    @property
    def causal_weight(self) -> Tensor:
        """The weights with every acausal tap at zero."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.causal_weight, self.bias, padding=2)


class SpyNet(nn.Module):
    """Optical flow from a frame to its reference over a pyramid (Ranjan and Black 2017).

    Parameters
    ----------
    frame
        Channels of a frame.
    widths
        Channels of the four hidden layers of each level.
    kernel
        Side of all kernels.
    levels
        Levels of the pyramid; each refines the flow at twice the size of the one before.
    """

    def __init__(
        self, frame: int = 3, widths: tuple[int, int, int, int] = (32, 64, 32, 16), kernel: int = 7, levels: int = 4
    ) -> None:
        super().__init__()
        sizes = (2 * frame + 2, *widths, 2)
        self.moduleBasic = nn.ModuleList(_FlowLevel(sizes, kernel) for _ in range(levels))

    def forward(self, frame: Tensor, reference: Tensor) -> Tensor:
        """Flow N x 2 x H x W in pixels, x then y, of frames N x C x H x W; H and W are multiples of 2^levels."""
        pyramid = [(frame, reference)]
        for _ in self.moduleBasic[1:]:
            pyramid.append((halve(pyramid[-1][0]), halve(pyramid[-1][1])))
        coarsest = pyramid[-1][0]
        flow = coarsest.new_zeros(len(coarsest), 2, coarsest.shape[2] // 2, coarsest.shape[3] // 2)
        for level, (current, past) in zip(self.moduleBasic, reversed(pyramid), strict=True):
            flow = 2.0 * double(flow)
            flow = flow + level(torch.cat((current, warp(past, flow), flow), 1))
        return flow


class _FlowLevel(nn.Module):
    def __init__(self, sizes: tuple[int, ...], kernel: int) -> None:
        super().__init__()
        for i in range(5):
            # The spectral form is faster only for kernels of 7 rows and more, and not from 8 channels or fewer.
            spectral = kernel >= 7 and sizes[i] > 8
            layer = SpectralConv(sizes[i], sizes[i + 1], kernel) if spectral else conv(sizes[i], sizes[i + 1], kernel)
            self.add_module(f"conv{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.children()
        for layer in hidden:
            x = F.relu_(layer(x))
        return last(x)


def double(x: Tensor) -> Tensor:
    """Upsample bilinearly to twice the size (pixel centres at half positions)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def halve(x: Tensor) -> Tensor:
    """Mean of each 2x2 block; H and W are even."""
    return F.avg_pool2d(x, 2)


def warp(image: Tensor, flow: Tensor, kind: str = "bilinear") -> Tensor:
    """Backward warp: out(p) = image(p + flow(p)), clamped at the border.

    Parameters
    ----------
    image
        N x C x H x W.
    flow
        N x 2 x H x W in pixels, x then y.
    kind
        ``bilinear`` or ``bicubic``.
    """
    height, width = flow.shape[2:]
    unit = flow.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)
    grid = (flow / unit).add_(_unit_grid(height, width, flow.device).to(flow.dtype))
    return F.grid_sample(image, grid.permute(0, 2, 3, 1), kind, "border", align_corners=True)


@tensor_cache
def _unit_grid(height: int, width: int, device: torch.device) -> Tensor:
    # In float32 whatever the model's precision: the published figures of both DCVC codecs were computed so.
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device), indexing="ij"
    )
    return torch.stack((x, y))[None]


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """Pad N x C x H x W by repeating the last row and column until H and W are multiples."""
    height, width = x.shape[2:]
    right, bottom = -width % multiple, -height % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x
