"""Long-term feature analysis, in the cloud (paper section IV-C, Figs. 4b and 6).

The decoded features before and after an instant are brought to it: motion vectors, refined by the features themselves,
warp what moved far, deformable convolution finds the rest, and both are fused. From the aligned features comes the
luminance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import warp
from baselines.neural.motion import search_quarters
from baselines.neural.small import BLOCK, motion_surface

Align = Literal["afr", "dcn", "warp"]
# Neighbours on each side of an instant.
RADIUS = 2
OFFSETS = (-2, -1, 1, 2)
# What a block may lose to move like its neighbours, see `search_quarters`.
_PRICE = 3e-4


@dataclass(frozen=True)
class AnalysisSize:
    """How large an analysis module is.

    Attributes
    ----------
    unshuffle
        Side of the blocks of pixels that become channels: maps are 1 / unshuffle of the size.
    width, trunk
        Channels of a feature's maps, and of the network after fusion.
    hints, groups
        Convolutions that look for offsets, and offset groups of the deformable convolution.
    warped, blocks
        Residual blocks on warped maps (AFR alone), and after fusion.
    fmvr
        Channels inside the motion refinement.
    """

    unshuffle: int
    width: int
    trunk: int
    hints: int
    groups: int
    warped: int
    blocks: int
    fmvr: tuple[int, int]


class Fmvr(nn.Module):
    """Feature-level motion vector refinement (paper eq. 8): small kernels over motion and the two features it joins."""

    def __init__(self, widths: tuple[int, int]) -> None:
        super().__init__()
        first, second = widths
        self.layers = nn.Sequential(
            nn.Conv2d(4, first, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(first, second, 3, padding=1),
            nn.LeakyReLU(0.1), nn.Conv2d(second, 2, 3, padding=1),
        )  # fmt: skip
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, motion: Tensor, feature: Tensor, other: Tensor) -> Tensor:
        """Motion N x 2 x H x W in pixels, from `feature` to `other`, both N x 1 x H x W."""
        # Motion in units of eight pixels: all inputs are of the same order.
        return motion + 8 * self.layers(torch.cat((motion / 8, feature, warp(other, motion)), 1))


class Residual(nn.Module):
    """x plus two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), 0.1))


class Alignment(nn.Module):
    """AFR (paper eq. 9): maps of a neighbour brought to the instant, by warping, deformable convolution, or both."""

    def __init__(self, size: AnalysisSize, align: Align) -> None:
        super().__init__()
        width = size.width
        self.align, self.groups = align, size.groups
        if align != "warp":
            widths = (2 * width, *(width for _ in range(size.hints)))
            self.hints = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
            self.offsets = nn.Conv2d(width, 27 * size.groups, 3, padding=1)
            self.deform = nn.Conv2d(width, width, 3, padding=1)
            nn.init.zeros_(self.offsets.weight)
            nn.init.zeros_(self.offsets.bias)  # type: ignore[arg-type]
        if align == "afr":
            self.warped = nn.Sequential(*(Residual(width) for _ in range(size.warped)))
            self.fuse = nn.Conv2d(2 * width, width, 1)

    def forward(self, here: Tensor, there: Tensor) -> Tensor:
        """Maps N x C x h x w of the instant and of the neighbour, which is warped already unless the mode is dcn."""
        if self.align == "warp":
            return there
        found = torch.cat((here, there), 1)
        for layer in self.hints:
            found = F.leaky_relu(layer(found), 0.1)
        found = self.offsets(found)
        offsets, mask = found[:, : 18 * self.groups], 2 * torch.sigmoid(found[:, 18 * self.groups :])
        deformed = deform(there, offsets, mask, self.deform)
        return deformed if self.align == "dcn" else self.fuse(torch.cat((self.warped(there), deformed), 1))


def deform(x: Tensor, offsets: Tensor, mask: Tensor, layer: nn.Conv2d) -> Tensor:
    """Modulated deformable 3x3 convolution: torchvision's, on CPUs by grid sampling.

    torchvision's CPU kernel takes three times as long, forward and backward; results are equal within rounding.

    Parameters
    ----------
    x
        N x C x H x W, H and W at least 2.
    offsets, mask
        N x 18 G x H x W (y, then x, of each group's taps) and N x 9 G x H x W.
    layer
        Holds weights and bias.
    """
    if x.is_cuda:
        from torchvision.ops import deform_conv2d

        moved: Tensor = deform_conv2d(x, offsets, layer.weight, layer.bias, padding=(1, 1), mask=mask)
        return moved
    (batch, channels, height, width), groups = x.shape, mask.shape[1] // 9
    way = torch.arange(-1, 2, device=x.device)
    shift = offsets.reshape(batch * groups, 9, 2, height, width)
    rows = shift[:, :, 0] + (torch.arange(height, device=x.device)[:, None] + way.repeat_interleave(3)[:, None, None])
    columns = shift[:, :, 1] + (torch.arange(width, device=x.device) + way.repeat(3)[:, None, None])
    grid = torch.stack((columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1), -1)
    planes = x.reshape(batch * groups, channels // groups, height, width)
    taps = F.grid_sample(planes, grid.flatten(1, 2), "bilinear", "zeros", align_corners=True)
    taps = (taps * mask.reshape(batch * groups, 1, 9 * height, width)).view(batch, 9 * channels, height * width)
    out = layer.weight.flatten(1) @ taps + layer.bias[:, None]  # type: ignore[index]
    return out.view(batch, -1, height, width)


class Analysis(nn.Module):
    """Features around an instant to the luminance there.

    Parameters
    ----------
    align
        What brings neighbours to the instant: ``afr``, or for ablation ``dcn`` or ``warp`` alone.
    refine
        Whether motion is refined (FMVR); deformable convolution alone has no use for motion.
    """

    def __init__(self, size: AnalysisSize, align: Align = "afr", refine: bool = True) -> None:
        super().__init__()
        self.size, self.align = size, align
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(size.unshuffle), nn.PixelShuffle(size.unshuffle)
        pixels = size.unshuffle**2
        self.fmvr = Fmvr(size.fmvr) if refine and align != "dcn" else None
        self.maps = nn.Conv2d(pixels, size.width, 3, padding=1)
        self.alignment = Alignment(size, align)
        self.join = nn.Conv2d((2 * RADIUS + 1) * size.width, size.trunk, 1)
        self.blocks = nn.Sequential(*(Residual(size.trunk) for _ in range(size.blocks)))
        self.last = nn.Conv2d(size.trunk, pixels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @staticmethod
    def estimate(features: Tensor) -> Tensor:
        """Motion of each feature of a sequence from the one before, searched by quarters of blocks; the first has none.

        Parameters
        ----------
        features
            N x K x H x W in [0, 1], H and W multiples of 16.

        Returns
        -------
        Tensor
            N x K x 2 x H x W in pixels, x then y: feature k at p is feature k - 1 at p + motion(p).
        """
        count, frames, height, width = features.shape
        if frames == 1:
            return features.new_zeros(count, 1, 2, height, width)
        now, past = (part.reshape(-1, 1, height, width) for part in (features[:, 1:], features[:, :-1]))
        flow = motion_surface(search_quarters(now, past, _PRICE), False, BLOCK // 2)
        return F.pad(flow.view(count, frames - 1, 2, height, width), (0, 0, 0, 0, 0, 0, 1, 0))

    def refined(self, features: Tensor, motion: Tensor) -> Tensor:
        """Motion by FMVR: each feature's from the one before (paper eq. 8)."""
        if self.fmvr is None or features.shape[1] == 1:
            return motion
        now, past = (part.reshape(-1, 1, *part.shape[2:]) for part in (features[:, 1:], features[:, :-1]))
        better = self.fmvr(motion[:, 1:].flatten(0, 1), now, past)
        return torch.cat((motion[:, :1], better.view_as(motion[:, 1:])), 1)

    def forward(self, features: Tensor, motion: Tensor, k: int) -> Tensor:
        """Luminance at instant k.

        Parameters
        ----------
        features
            N x K x H x W in [0, 1], H and W multiples of 16.
        motion
            N x K x 2 x H x W in pixels, refined.

        Returns
        -------
        Tensor
            N x 1 x H x W; in [0, 1] once clipped.
        """
        here = features[:, k : k + 1]
        neighbours = [self._neighbour(features, motion, k, offset) for offset in OFFSETS]
        maps = self.maps(self.unshuffle(torch.cat((here, *neighbours)) - 0.5))
        own, others = maps[: len(here)], maps[len(here) :]
        aligned = self.alignment(own.repeat(len(OFFSETS), 1, 1, 1), others).chunk(len(OFFSETS))
        joined = F.leaky_relu(self.join(torch.cat((own, *aligned), 1)), 0.1)
        return here + self.shuffle(self.last(self.blocks(joined)))

    def _neighbour(self, features: Tensor, motion: Tensor, k: int, offset: int) -> Tensor:
        """The feature at k + offset, warped to k unless deformable convolution does all of it; k's own at the ends."""
        if not 0 <= k + offset < features.shape[1]:
            return features[:, k : k + 1]
        there = features[:, k + offset : k + offset + 1]
        return there if self.align == "dcn" else warp(there, chain(motion, k, offset))


def chain(motion: Tensor, k: int, offset: int) -> Tensor:
    """Where the pixels of k lie in k + offset, N x 2 x H x W, from N x K x 2 x H x W between successive features.

    Backward in time motion vectors are followed. Forward they have to be inverted, which one step of a fixed-point
    iteration does: exact for constant motion, close where motion changes slowly.
    """
    path = torch.zeros_like(motion[:, 0])
    for step in range(abs(offset)):
        if offset < 0:
            path = path + (warp(motion[:, k - step], path) if step else motion[:, k])
            continue
        # The pixel that comes to lie here is not known yet: where this place's own motion came from is a first guess.
        ahead = -warp(motion[:, k + step + 1], path) if step else -motion[:, k + 1]
        path = path - warp(motion[:, k + step + 1], path + ahead)
    return path
