"""Base classes of recordings that are simulated from luminance which is known at every instant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from bench.interfaces import Recording
from bench.spikes import PackedSpikes, SpikeCamera

# Luminance is quantised to 16 bits before the camera integrates it: sums are then exact, and all machines get the same
# spikes.
LEVELS = 65535
_PIECE = 64  # spike frames that are simulated together


class SimulatedRecording(Recording):
    """A recording of the luminance that `render` returns.

    The whole stream is simulated when spikes are first read, and is kept packed in memory.

    Parameters
    ----------
    height, width, num_spikes
        Size of a frame in pixels, and number T of spike frames.
    rate
        Spikes per frame of unit luminance.
    noise
        Standard deviation of the camera's noise, in units of luminance (`bench.spikes.SpikeCamera`).
    seed
        Seed of the camera.
    """

    def __init__(self, height: int, width: int, num_spikes: int, rate: float, noise: float, seed: int) -> None:
        self.height, self.width, self.num_spikes = height, width, num_spikes
        self._rate, self._noise, self._seed = rate, noise, seed
        self._packed: PackedSpikes | None = None

    @abstractmethod
    def render(self, instants: Sequence[int]) -> np.ndarray:
        """Luminance at spike frames, len(instants) x H x W of any float type; it is cut to [0, 1]."""

    def truth(self, instants: Sequence[int]) -> np.ndarray:
        """Luminance as the camera gets it, quantised to 16 bits: len(instants) x H x W float32 in [0, 1]."""
        return self._levels(instants) / np.float32(LEVELS)

    def spikes(self, start: int, stop: int) -> np.ndarray:
        """Spike frames start..stop-1, (stop-start) x H x W uint8 in {0, 1}."""
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
    """Video frames, linearly interpolated in time: frame i lies at spike frame i * factor.

    Parameters
    ----------
    frames
        N x H x W uint8 or uint16.
    factor
        Spike frames from one video frame to the next.
    rate, noise, seed
        See `SimulatedRecording`.
    """

    def __init__(self, frames: np.ndarray, factor: int, rate: float, noise: float, seed: int) -> None:
        count, height, width = frames.shape
        super().__init__(height, width, (count - 1) * factor + 1, rate, noise, seed)
        self._frames, self._factor = frames, factor

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """Weighted mean of the two video frames around each instant, float32."""
        index, part = np.divmod(np.asarray(instants), self._factor)
        weight = (part / self._factor).astype(np.float32)[:, None, None]
        after = np.minimum(index + 1, len(self._frames) - 1)
        white = np.iinfo(self._frames.dtype).max
        first, second = (self._frames[i].astype(np.float32) / white for i in (index, after))
        return first + weight * (second - first)
