"""Estimates of a recording's brightness and geometry from the spikes in a part of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.spikes.dat import PackedSpikes

_RUN = 32  # successive frames that are read together: pixels fire at even intervals, so a run gives their rates
# A survey reads at most so many frames, or as many as fit into so many bytes if these are more.
_FRAMES, _BYTES = 512, 1 << 24
_BRIGHT = 99.5  # percentile of the firing rates; hot (defective) pixels are fewer than the 0.5 % above it
DARK, _WHITE = 16, 247  # mean grey, of 255, below or above which pictures look black or white


@dataclass(frozen=True)
class Survey:
    """Spike counts of a recording's pixels.

    Attributes
    ----------
    counts
        H x W uint32: number of spikes of each pixel in the frames that were read.
    frames
        Number of the frames that were read.
    """

    counts: np.ndarray
    frames: int

    @property
    def rate(self) -> float:
        """Spikes per frame of the brightest pixels: the 99.5th percentile of the pixels that fire; 0 if none does."""
        fired = self.counts[self.counts > 0]
        if not fired.size:
            return 0.0
        return float(f"{np.percentile(fired, _BRIGHT, method='higher') / self.frames:.4g}")

    def grey(self, rate: float) -> float:
        """Mean grey, of 255, of pictures that are reconstructed with `rate` spikes per frame for unit luminance."""
        return float(255 * np.minimum(self.counts / (self.frames * rate), 1).mean())

    def exposure(self, rate: float) -> str:
        """A warning that pictures at a rate (see `grey`) are nearly black or nearly white; empty if they are not."""
        if not self.counts.any():
            return f"no pixel fires in the {self.frames} frames that were looked at: its pictures are black"
        grey = self.grey(rate)
        if DARK <= grey <= _WHITE:
            return ""
        colour = "black" if grey < DARK else "white"
        other = f"; its own brightest pixels fire {self.rate:g}" if self.rate != rate else ""
        return f"at {rate:g} spikes per frame its pictures are nearly {colour}, mean grey {grey:.1f} of 255{other}"


def survey(packed: PackedSpikes) -> Survey:
    """Count the spikes of a recording: in all frames if it is short, else in runs of frames spread evenly over it."""
    frame_bytes = packed.height * packed.row_bits // 8
    most = max(_FRAMES, _BYTES // frame_bytes)
    if len(packed) <= most:
        starts = np.arange(0, len(packed), _RUN)
    else:
        starts = np.linspace(0, len(packed) - _RUN, most // _RUN).astype(int)
    counts = np.zeros(packed.shape[1:], np.uint32)
    frames = 0
    for start in starts:
        run = packed[int(start) : int(start) + _RUN]
        counts += run.sum(axis=0, dtype=np.uint8)
        frames += len(run)
    return Survey(counts, frames)


def likeness_of_rows(counts: np.ndarray) -> float:
    """Correlation of the H x W counts' rows with the rows below them, in [-1, 1].

    It is near 1 where the recording is read in its true geometry, and near 0 where rows are cut at the wrong places.
    """
    if len(counts) < 2:
        return 0.0
    above, below = (part - part.mean() for part in (counts[:-1].astype(np.float64), counts[1:].astype(np.float64)))
    scale = np.sqrt((above**2).sum() * (below**2).sum())
    return float((above * below).sum() / scale) if scale else 0.0
