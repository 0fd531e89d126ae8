"""What a learned codec says about its training; `bench.train` does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Recipe(ABC):
    """What a codec says about its training.

    Attributes
    ----------
    network
        Everything that is trained.
    pace
        Steps a minute on two cores, which turns a budget of minutes into steps.
    rate, batch, crop
        Largest learning rate, sequences in a batch, and their side in pixels.
    """

    network: nn.Module
    pace: float
    rate: float = 4e-4
    batch: int = 8
    crop: int = 64

    @abstractmethod
    def start(self, frames: Tensor) -> None:
        """Fit starting values to the first batch, N x K x S x S in [0, 1]."""

    @abstractmethod
    def loss(self, frames: Tensor, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Loss of a batch at a share of the training in [0, 1), and what to log: at least ``bpp`` and ``psnr``."""

    @abstractmethod
    def finish(self, network: nn.Module) -> Mapping[str, Tensor]:
        """Bring a trained network into its shipped form, in place, and return its weights."""

    @abstractmethod
    def evaluate(self, network: nn.Module, frames: np.ndarray) -> list[dict[str, float]]:
        """Rate (``bpf``) and quality (``psnr``) at every ``rate_point``, on sequences N x K x S x S in [0, 1]."""
