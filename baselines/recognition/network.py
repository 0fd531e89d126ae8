"""The classifier's network: the same small backbone for all representations."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, cat, nn

from bench.weights import load_into

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from baselines.recognition.pretrained import Pretrained

# Maps at a half, a quarter and an eighth of the frame's size: what digits need, and what photographs need.
DIGITS_WIDTHS, PHOTOGRAPHS_WIDTHS = (24, 48, 96), (48, 96, 192)


def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """x plus two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_unit(channels, channels), _unit(channels, channels)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class SpirecoFront(nn.Module):
    """A front after SpiReco's two ideas (paper reference 11): learned denoising, and enhancement of motion."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.denoise = nn.Sequential(_unit(frames, 16), nn.Conv2d(16, frames, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """N x K x H x W to N x (2 K - 1) x H x W: clean frames, and their differences in time."""
        clean = x + self.denoise(x)
        return cat((clean, clean[:, 1:] - clean[:, :-1]), 1)


class Backbone(nn.Module):
    """Classifies K frames, which are its channels, into C classes.

    Parameters
    ----------
    frames, classes
        K and C.
    enhanced
        Whether `SpirecoFront` precedes it.
    widths
        Numbers of maps at a half, a quarter and an eighth of the frame's size.
    """

    def __init__(self, frames: int, classes: int, enhanced: bool, widths: tuple[int, int, int] = DIGITS_WIDTHS) -> None:
        super().__init__()
        first, second, third = widths
        self.frames = frames
        self.front = SpirecoFront(frames) if enhanced else nn.Identity()
        self.stem = _unit(2 * frames - 1 if enhanced else frames, first, 5, 2)
        self.blocks = nn.Sequential(
            _unit(first, second, 3, 2), Residual(second), _unit(second, third, 3, 2), Residual(third)
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(third, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Frames N x K x H x W in [0, 1] to logits N x C."""
        maps = self.blocks(self.stem(self.front(2 * x - 1)))
        logits: Tensor = self.head(self.dropout(maps.mean((2, 3))))
        return logits

    def shipped(self) -> dict[str, Tensor]:
        """The tensors that a file of its weights has: all."""
        return self.state_dict()

    def restore(self, weights: Mapping[str, Tensor], path: Path) -> None:
        """Load the tensors of a file, in place."""
        load_into(self, weights, path)


def network_of(backbone: str, photographs: bool) -> Callable[..., Backbone | Pretrained]:
    """What makes a network of a backbone: ``small``, which is wider for photographs, or ``lite0``, from ImageNet."""
    if backbone == "small":
        return functools.partial(Backbone, widths=PHOTOGRAPHS_WIDTHS if photographs else DIGITS_WIDTHS)
    from baselines.recognition.pretrained import Pretrained

    return Pretrained
