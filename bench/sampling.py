"""Which instants of a recording are coded, and how many spike frames they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Sampling:
    """Coding instants at ``margin``, ``margin + stride`` and so on.

    K of them take ``2 margin + (K - 1) stride + 1`` spike frames.

    Attributes
    ----------
    stride
        Spike frames from one coding instant to the next.
    margin
        Spike frames before the first instant, and as many after the last.
    """

    stride: int = 8
    margin: int = 20

    def num_spikes(self, instants: int) -> int:
        """Spike frames T that so many instants take."""
        return 2 * self.margin + (instants - 1) * self.stride + 1

    def count(self, num_spikes: int) -> int:
        """How many instants fit into so many spike frames."""
        return max((num_spikes - 2 * self.margin - 1) // self.stride + 1, 0)

    def instants(self, num_spikes: int) -> np.ndarray:
        """The instants that fit into so many spike frames, as indices of spike frames."""
        import numpy as np  # the command line reads the defaults, and starts without

        return self.margin + self.stride * np.arange(self.count(num_spikes))
