"""Building blocks of DCVC-DC's two networks; parameter names are those of the authors' checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import Pointwise, conv, in_parts, subpel


class ResidualBlock(nn.Module):
    """x + conv2(act(conv1(act(x)))), optionally with half the channels inside and an activation at the end."""

    def __init__(self, channels: int, slope: float = 0.01, bottleneck: bool = False, end: bool = False) -> None:
        super().__init__()
        inside = channels // 2 if bottleneck else channels
        self.conv1 = conv(channels, inside)
        self.conv2 = conv(inside, channels)
        self.slope, self.end = slope, end

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.leaky_relu_(self.conv1(F.leaky_relu(x, self.slope)), self.slope))
        return (F.leaky_relu_(out, self.slope) if self.end else out).add_(x)


class ResidualDown(nn.Module):
    """Residual block that halves H and W."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, 2)
        self.conv2 = conv(outputs, outputs)
        self.downsample = conv(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu_(self.conv2(F.leaky_relu_(self.conv1(x), 0.01)), 0.1)
        return out.add_(self.downsample(x))


class ResidualUp(nn.Module):
    """Residual block that doubles H and W, by 1x1 sub-pixel convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.subpel_conv = subpel(inputs, outputs, 1)
        self.conv = conv(outputs, outputs)
        self.upsample = subpel(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu_(self.conv(F.leaky_relu_(self.subpel_conv(x), 0.01)), 0.1)
        return out.add_(self.upsample(x))


class DepthConv(nn.Module):
    """A 1x1, a depthwise 3x3 and a 1x1 convolution, added to the input or to its 1x1 adaptor."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(Pointwise(inputs, inputs), nn.LeakyReLU(0.01, inplace=True))
        self.depth_conv = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.conv2 = Pointwise(inputs, outputs)
        self.adaptor = Pointwise(inputs, outputs) if inputs != outputs else nn.Identity()

    def before(self, places: Tensor) -> Tensor:
        """Run the layers before the depthwise one on places, P x C."""
        first, activation = self.conv1
        return activation(first.on_places(places))  # type: ignore[operator]

    def after(self, deep: Tensor, places: Tensor) -> Tensor:
        """Run the layers after the depthwise one on its output and the block's input, P x C each."""
        beside = self.adaptor.on_places(places) if isinstance(self.adaptor, Pointwise) else places
        return self.conv2.on_places(deep).add_(beside)


class FeedForward(nn.Module):
    """Two 1x1 convolutions through a wide layer (video network)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = max(min(4 * channels, 1024), 2 * channels)
        self.conv = nn.ModuleDict({"0": Pointwise(channels, wide), "2": Pointwise(wide, channels)})

    def on_places(self, places: Tensor) -> Tensor:
        """P x C to P x C."""
        # Named as in a sequence with activations between.
        first, second = self.conv["0"], self.conv["2"]
        assert isinstance(first, Pointwise) and isinstance(second, Pointwise)  # noqa: S101 -- as made above
        inside = F.leaky_relu_(first.on_places(places), 0.1)
        return F.leaky_relu_(second.on_places(inside), 0.1).add_(places)


class GatedFeedForward(nn.Module):
    """1x1 convolutions around a gate: one half of the wide layer scales the other (image network)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Pointwise(channels, 4 * channels)
        self.conv_out = Pointwise(2 * channels, channels)

    def on_places(self, places: Tensor) -> Tensor:
        """P x C to P x C."""
        value, gate = self.conv.on_places(places).chunk(2, 1)
        return self.conv_out.on_places(value * F.leaky_relu(gate, 0.1)).add_(places)


class DepthConvBlock(nn.Module):
    """A depthwise convolution block and a feed-forward block."""

    def __init__(self, inputs: int, outputs: int, gated: bool = False) -> None:
        super().__init__()
        feed_forward = GatedFeedForward(outputs) if gated else FeedForward(outputs)
        self.block = nn.Sequential(DepthConv(inputs, outputs), feed_forward)

    def forward(self, *maps: Tensor) -> Tensor:
        """Join the maps N x C x H x W along the channels and run both blocks on them."""
        depth_conv, feed_forward = self.block
        assert isinstance(depth_conv, DepthConv)  # noqa: S101 -- as made above
        assert isinstance(feed_forward, FeedForward | GatedFeedForward)  # noqa: S101

        def after(deep: Tensor, *places: Tensor) -> Tensor:
            return feed_forward.on_places(depth_conv.after(deep, _joined(places)))

        deep = depth_conv.depth_conv(in_parts(lambda *places: depth_conv.before(_joined(places)), *maps))
        return in_parts(after, deep, *maps)


def _joined(places: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(places), 1) if len(places) > 1 else places[0]


class UNet(nn.Module):
    """Two-level U-Net of depthwise blocks; H and W are multiples of 4."""

    def __init__(self, inputs: int, outputs: int, gated: bool = False) -> None:
        super().__init__()

        def block(a: int, b: int) -> DepthConvBlock:
            return DepthConvBlock(a, b, gated)

        self.conv1 = block(inputs, 32)
        self.conv2 = block(32, 64)
        self.conv3 = block(64, 128)
        self.context_refine = nn.Sequential(*(block(128, 128) for _ in range(4)))
        self.up3 = subpel(128, 64, 1)
        self.up_conv3 = block(128, 64)
        self.up2 = subpel(64, 32, 1)
        self.up_conv2 = block(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        full = self.conv1(x)
        half = self.conv2(F.max_pool2d(full, 2))
        quarter = self.context_refine(self.conv3(F.max_pool2d(half, 2)))
        half = self.up_conv3(half, self.up3(quarter))
        return self.up_conv2(full, self.up2(half))
