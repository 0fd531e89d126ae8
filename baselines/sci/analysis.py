"""Long-term feature analysis, in the cloud (paper section IV-C, Figs. 4b and 6).

The decoded features before and after an instant are aligned to it. Motion vectors, refined from the features
themselves, warp them over large displacements; deformable convolution corrects the rest; both results are fused. A
network then computes the luminance from the aligned features.
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
# Price of motion in the search, see `search_quarters`.
_PRICE = 3e-4


@dataclass(frozen=True)
class AnalysisSize:
    """Size of an analysis module.

    Attributes
    ----------
    unshuffle
        Side of the blocks of pixels that become channels: maps have 1 / unshuffle of the frame's height and width.
    width, trunk
        Channels of a feature's maps, and of the network after the features are joined.
    hints, groups
        Number of convolutions that predict offsets, and offset groups of the deformable convolution.
    warped, blocks
        Number of residual blocks on warped maps (only for `afr`), and after the features are joined.
    fmvr
        Channels of the two hidden layers of the motion refinement.
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
    """Feature-level motion vector refinement (paper eq. 8): 3x3 convolutions on motion and its two features."""

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
        """Refine motion N x 2 x H x W in pixels from `feature` to `other`, both N x 1 x H x W."""
        # Motion is in units of eight pixels, so that all inputs are of the same order of magnitude.
        return motion + 8 * self.layers(torch.cat((motion / 8, feature, warp(other, motion)), 1))


class Residual(nn.Module):
    """x plus two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), 0.1))


class Alignment(nn.Module):
    """AFR (paper eq. 9): aligns a neighbour's maps to the instant by warping, deformable convolution, or both."""

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
        """Align maps `there` of the neighbour to maps `here` of the instant, N x C x h x w each.

        The neighbour's maps are those of a warped feature, except in the mode ``dcn``.
        """
        if self.align == "warp":
            return there
        maps = torch.cat((here, there), 1)
        for layer in self.hints:
            maps = F.leaky_relu(layer(maps), 0.1)
        maps = self.offsets(maps)
        offsets, mask = maps[:, : 18 * self.groups], 2 * torch.sigmoid(maps[:, 18 * self.groups :])
        deformed = deform(there, offsets, mask, self.deform)
        return deformed if self.align == "dcn" else self.fuse(torch.cat((self.warped(there), deformed), 1))


def deform(x: Tensor, offsets: Tensor, mask: Tensor, layer: nn.Conv2d) -> Tensor:
    """Modulated deformable 3x3 convolution: by torchvision on CUDA, by grid sampling on CPUs.

    On CPUs torchvision's kernel takes three times as long, forward and backward; results are equal within rounding.

    Parameters
    ----------
    x
        N x C x H x W, H and W at least 2.
    offsets, mask
        N x 18 G x H x W in pixels (y, then x, of each tap, group by group), and N x 9 G x H x W.
    layer
        The convolution's weights and bias.

    Returns
    -------
    Tensor
        N x C' x H x W.
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
    """Luminance at an instant from the features around it.

    Parameters
    ----------
    align
        How neighbours are aligned to the instant: ``afr``, or for ablations ``dcn`` or ``warp`` only.
    refine
        Whether motion is refined (FMVR); ``dcn`` does not use motion.
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
        """Estimate each feature's motion from the one before by `search_quarters`; the first feature's motion is 0.

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
        """Refine motion, N x K x 2 x H x W, by FMVR from the features, N x K x H x W (paper eq. 8)."""
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
        k
            Index of the instant, 0..K-1.

        Returns
        -------
        Tensor
            N x 1 x H x W, not clipped to [0, 1].
        """
        here = features[:, k : k + 1]
        neighbours = [self._neighbour(features, motion, k, offset) for offset in OFFSETS]
        maps = self.maps(self.unshuffle(torch.cat((here, *neighbours)) - 0.5))
        own, others = maps[: len(here)], maps[len(here) :]
        aligned = self.alignment(own.repeat(len(OFFSETS), 1, 1, 1), others).chunk(len(OFFSETS))
        joined = F.leaky_relu(self.join(torch.cat((own, *aligned), 1)), 0.1)
        return here + self.shuffle(self.last(self.blocks(joined)))

    def _neighbour(self, features: Tensor, motion: Tensor, k: int, offset: int) -> Tensor:
        """The feature at k + offset, warped to k except for ``dcn``; beyond the sequence's ends the feature at k."""
        if not 0 <= k + offset < features.shape[1]:
            return features[:, k : k + 1]
        there = features[:, k + offset : k + offset + 1]
        return there if self.align == "dcn" else warp(there, chain(motion, k, offset))


def chain(motion: Tensor, k: int, offset: int) -> Tensor:
    """Motion from feature k to feature k + offset, N x 2 x H x W, from motion between successive features.

    Backward in time it follows the motion vectors. Forward in time it inverts them by one step of a fixed-point
    iteration, which is exact for constant motion and close where motion changes slowly.

    Parameters
    ----------
    motion
        N x K x 2 x H x W in pixels, of each feature from the one before.
    """
    path = torch.zeros_like(motion[:, 0])
    for step in range(abs(offset)):
        if offset < 0:
            path = path + (warp(motion[:, k - step], path) if step else motion[:, k])
            continue
        # The pixel that moves here is not known yet; the first guess inverts the motion at this place.
        ahead = -warp(motion[:, k + step + 1], path) if step else -motion[:, k + 1]
        path = path - warp(motion[:, k + step + 1], path + ahead)
    return path
