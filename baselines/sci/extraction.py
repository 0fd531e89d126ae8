"""Short-term feature extraction, on the camera (paper section IV-A, Figs. 4a and 5).

Two pathways see the spikes around one instant. The ventral one integrates over 7, 9, 11 and 13 spike frames around it,
which gives structure; the dorsal one looks through four windows of 10 frames that slide backward, which gives motion.
Their first layers have weights of one bit: on spikes that is addition and nothing else. Pathway fusion units let motion
steer structure, and the feature is one channel in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.sci.analysis import Residual

# Spike frames around the instant t that extraction sees: t - 20 .. t + 19.
REACH = 20
RECEPTIVE = (7, 9, 11, 13)
WINDOW, WINDOWS = 10, 4


@dataclass(frozen=True)
class ExtractionSize:
    """How large an extraction module is.

    Attributes
    ----------
    filters
        Channels of each temporal sub-filter.
    stride, kernel
        Of the sub-filters in space: all that follows works at 1 / stride of the size.
    ventral, dorsal
        Channels of the pathways.
    blocks
        Residual blocks of the ventral pathway.
    fusions
        Pathway fusion units; 0 leaves the ventral pathway alone.
    fused
        Channels that the fusion units work on, at half of the pathways' size where `shrink`.
    """

    filters: int
    stride: int
    kernel: int
    ventral: int
    dorsal: int
    blocks: int
    fusions: int
    fused: int
    shrink: bool


class BinaryConv(nn.Conv2d):
    """Convolution whose weights are the signs of its parameters, times one scale per output channel.

    Gradients pass straight through the sign (Rastegari et al. 2016); the scale is the parameters' mean magnitude.
    """

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        binary = torch.where(self.weight >= 0, scale, -scale)
        weight = binary.detach() + self.weight - self.weight.detach() if self.weight.requires_grad else binary
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Pathway(nn.Module):
    """Temporal sub-filters of one pathway, weighted against one another by self-attention at every place.

    Parameters
    ----------
    spans
        First and last spike frame (exclusive) that each sub-filter sees, relative to the first of the input.
    """

    def __init__(self, size: ExtractionSize, spans: tuple[tuple[int, int], ...], outputs: int) -> None:
        super().__init__()
        self.spans = spans
        padding = (size.kernel - size.stride + 1) // 2
        self.filters = nn.ModuleList(
            BinaryConv(last - first, size.filters, size.kernel, size.stride, padding) for first, last in spans
        )
        every = len(spans) * size.filters
        self.query = nn.Conv2d(every, len(spans), 1)
        self.out = nn.Conv2d(every, outputs, 1)

    def forward(self, spikes: Tensor) -> Tensor:
        found = [layer(spikes[:, first:last]) for layer, (first, last) in zip(self.filters, self.spans, strict=True)]
        # How much each sub-filter is listened to: a moving edge wants short windows, a still wall long ones.
        weights = torch.softmax(self.query(torch.cat(found, 1)), 1)
        weighted = [part * weights[:, i : i + 1] for i, part in enumerate(found)]
        return F.leaky_relu(self.out(torch.cat(weighted, 1)), 0.1)


class PathwayFusion(nn.Module):
    """PFU: the ventral pathway's structure updates motion, and motion gates what is added to structure."""

    def __init__(self, dorsal: int, ventral: int) -> None:
        super().__init__()
        self.motion = nn.Conv2d(dorsal + ventral, dorsal, 3, padding=1)
        self.gate = nn.Conv2d(dorsal, ventral, 1)
        self.structure = nn.Conv2d(dorsal + ventral, ventral, 1)

    def forward(self, dorsal: Tensor, ventral: Tensor) -> tuple[Tensor, Tensor]:
        dorsal = dorsal + F.leaky_relu(self.motion(torch.cat((dorsal, ventral), 1)), 0.1)
        update = self.structure(torch.cat((dorsal, ventral), 1))
        return dorsal, ventral + torch.sigmoid(self.gate(dorsal)) * update


class Extraction(nn.Module):
    """Spikes around an instant to the feature there: F_t = PFU^[N](F_D, F_V) + F_V (paper eq. 7)."""

    def __init__(self, size: ExtractionSize) -> None:
        super().__init__()
        self.size = size
        centre = REACH
        ventral = tuple((centre - span // 2, centre + span // 2 + 1) for span in RECEPTIVE)
        dorsal = tuple((2 * REACH - WINDOW * (i + 1), 2 * REACH - WINDOW * i) for i in range(WINDOWS))
        self.ventral = Pathway(size, ventral, size.ventral)
        self.blocks = nn.Sequential(*(Residual(size.ventral) for _ in range(size.blocks)))
        if size.fusions:
            self.dorsal = Pathway(size, dorsal, size.dorsal)
            scale = 2 if size.shrink else 1
            self.into = nn.Conv2d(size.ventral, size.fused, 3, scale, 1)
            self.fusions = nn.ModuleList(PathwayFusion(size.dorsal, size.fused) for _ in range(size.fusions))
            self.back = nn.Sequential(nn.Conv2d(size.fused, size.ventral * scale**2, 1), nn.PixelShuffle(scale))
        self.head = nn.Sequential(nn.Conv2d(size.ventral, size.stride**2, 3, padding=1), nn.PixelShuffle(size.stride))
        nn.init.zeros_(self.head[0].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[0].bias)  # type: ignore[arg-type]

    def forward(self, spikes: Tensor, rate: float = 1.0) -> Tensor:
        """Extract.

        Parameters
        ----------
        spikes
            N x 40 x H x W in {0, 1}, frames t - 20 .. t + 19; H and W multiples of 4.
        rate
            Spikes a frame of unit luminance.

        Returns
        -------
        Tensor
            N x 1 x H x W; in [0, 1] once clipped, which training leaves to the loss.
        """
        structure = self.blocks(self.ventral(spikes))
        if self.size.fusions:
            motion = self.dorsal(spikes)
            if self.size.shrink:
                motion = F.avg_pool2d(motion, 2)
            ventral = self.into(structure)
            for fusion in self.fusions:
                motion, ventral = fusion(motion, ventral)
            structure = structure + self.back(ventral)
        # What the networks add to is the plain firing rate over the longest ventral window.
        first, last = self.ventral.spans[-1]
        return (spikes[:, first:last].mean(1, keepdim=True) + self.head(structure)) / rate
