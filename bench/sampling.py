"""The coding instants of a segment, and the spike frames that they need (docs/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Sampling:
    """The rule for coding instants: t_k = margin + k * stride, k = 0..K-1, as indices of a segment's spike frames.

    A segment of K instants has T = 2 * margin + (K - 1) * stride + 1 spike frames.

    Attributes
    ----------
    stride
        Spike frames from one coding instant to the next.
    margin
        Number of spike frames before the first instant, and after the last one.
    """

    stride: int = 8
    margin: int = 20

    def num_spikes(self, instants: int) -> int:
        """T, the number of spike frames of a segment with this number of instants."""
        return 2 * self.margin + (instants - 1) * self.stride + 1

    def count(self, num_spikes: int) -> int:
        """K, the number of instants that fit in this number of spike frames; 0 if none does."""
        return max((num_spikes - 2 * self.margin - 1) // self.stride + 1, 0)

    def instants(self, num_spikes: int) -> np.ndarray:
        """The instants that fit in this number of spike frames: K int64 indices of spike frames."""
        import numpy as np  # not at the top: the command line reads the defaults, and must start without numpy

        return self.margin + self.stride * np.arange(self.count(num_spikes))
