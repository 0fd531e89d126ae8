"""Short-term feature extraction, on the camera (paper section IV-A, Figs. 4a and 5).

Two pathways read the spikes around one instant. The ventral pathway integrates over 7, 9, 11 and 13 spike frames around
it, for structure. The dorsal pathway has four windows of 10 frames that slide backward, for motion. Their first layers
have weights of one bit: on spikes they only add. Pathway fusion units let motion gate structure. The feature is one
channel in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.sci.analysis import Residual

# Extraction reads the spike frames t - 20 .. t + 19 around the instant t.
REACH = 20
RECEPTIVE = (7, 9, 11, 13)
WINDOW, WINDOWS = 10, 4


@dataclass(frozen=True)
class ExtractionSize:
    """Size of an extraction module.

    Attributes
    ----------
    filters
        Channels of each temporal sub-filter.
    stride, kernel
        Stride and kernel of the sub-filters in space; later layers have 1 / stride of the frame's height and width.
    ventral, dorsal
        Channels of the pathways.
    blocks
        Number of residual blocks of the ventral pathway.
    fusions
        Number of pathway fusion units; with 0 there is only the ventral pathway.
    fused
        Channels of structure in the fusion units.
    shrink
        Whether the fusion units work at half of the pathways' height and width.
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

    The scale is the parameters' mean magnitude. Gradients pass straight through the sign (Rastegari et al. 2016).
    """

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        binary = torch.where(self.weight >= 0, scale, -scale)
        weight = binary.detach() + self.weight - self.weight.detach() if self.weight.requires_grad else binary
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Pathway(nn.Module):
    """Temporal sub-filters of one pathway, weighted by self-attention at every place.

    Parameters
    ----------
    spans
        First and last (exclusive) input frame of each sub-filter.
    outputs
        Channels of the pathway.
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
        maps = [layer(spikes[:, first:last]) for layer, (first, last) in zip(self.filters, self.spans, strict=True)]
        # Weight of each sub-filter: short windows suit moving edges, long ones still surfaces.
        weights = torch.softmax(self.query(torch.cat(maps, 1)), 1)
        weighted = [part * weights[:, i : i + 1] for i, part in enumerate(maps)]
        return F.leaky_relu(self.out(torch.cat(weighted, 1)), 0.1)


class PathwayFusion(nn.Module):
    """Pathway fusion unit (PFU): structure updates motion, and motion gates what is added to structure."""

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
    """The feature at an instant from the spikes around it: F_t = PFU^[N](F_D, F_V) + F_V (paper eq. 7)."""

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
        """Extract the features of N instants.

        Parameters
        ----------
        spikes
            N x 40 x H x W float in {0, 1}, frames t - 20 .. t + 19; H and W multiples of 4.
        rate
            Spikes per frame that unit luminance fires.

        Returns
        -------
        Tensor
            N x 1 x H x W, not clipped to [0, 1].
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
        # The networks add to the firing rate over the longest ventral window.
        first, last = self.ventral.spans[-1]
        return (spikes[:, first:last].mean(1, keepdim=True) + self.head(structure)) / rate
