"""Recordings that are simulated from a luminance that is known at every instant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from bench.interfaces import Recording
from bench.spikes import PackedSpikes, SpikeCamera

LEVELS = 65535  # luminance is quantised to 16 bits before it is integrated: exact sums, equal spikes everywhere
_PIECE = 64


class SimulatedRecording(Recording):
    """Integrates `render`'s luminance; the whole stream is simulated at the first need and kept packed."""

    def __init__(self, height: int, width: int, num_spikes: int, rate: float, noise: float, seed: int) -> None:
        self.height, self.width, self.num_spikes = height, width, num_spikes
        self._rate, self._noise, self._seed = rate, noise, seed
        self._packed: PackedSpikes | None = None

    @abstractmethod
    def render(self, instants: Sequence[int]) -> np.ndarray:
        """Luminance in [0, 1] at spike indices, len(instants) x H x W, any float type."""

    def truth(self, instants: Sequence[int]) -> np.ndarray:
        """The rendered luminance, as quantised for the camera; float32."""
        return self._levels(instants) / np.float32(LEVELS)

    def spikes(self, start: int, stop: int) -> np.ndarray:
        """Simulated spike frames start..stop-1."""
        if self._packed is None:
            self._packed = self._simulate()
        return self._packed[start:stop]

    def _levels(self, instants: Sequence[int]) -> np.ndarray:
        luminance = np.clip(self.render(instants), 0, 1)
        return np.floor(luminance * LEVELS + 0.5).astype(np.float32)

    def _simulate(self) -> PackedSpikes:
        camera = SpikeCamera(
            self.height,
            self.width,
            alpha=1.0,
            theta=float(round(LEVELS / self._rate)),
            seed=self._seed,
            noise=self._noise * LEVELS,
        )
        pieces = [
            PackedSpikes.pack(camera.expose(self._levels(range(start, min(start + _PIECE, self.num_spikes))))).data
            for start in range(0, self.num_spikes, _PIECE)
        ]
        return PackedSpikes(np.concatenate(pieces), self.height, self.width)


class InterpolatedRecording(SimulatedRecording):
    """Video frames of 8 or 16 bits, linearly interpolated: frame i lies at spike index i * factor."""

    def __init__(self, frames: np.ndarray, factor: int, rate: float, noise: float, seed: int) -> None:
        count, height, width = frames.shape
        super().__init__(height, width, (count - 1) * factor + 1, rate, noise, seed)
        self._frames, self._factor = frames, factor

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """Weighted mean of the two neighbouring frames."""
        index, part = np.divmod(np.asarray(instants), self._factor)
        weight = (part / self._factor).astype(np.float32)[:, None, None]
        after = np.minimum(index + 1, len(self._frames) - 1)
        white = np.iinfo(self._frames.dtype).max
        first, second = (self._frames[i].astype(np.float32) / white for i in (index, after))
        return first + weight * (second - first)
