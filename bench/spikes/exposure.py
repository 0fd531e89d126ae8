"""What a recording itself tells of its brightness and its geometry, from a part of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.spikes.dat import PackedSpikes

_RUN = 32  # frames that are read together: a pixel fires at even intervals, so a run tells its rate well
_FRAMES, _BYTES = 512, 1 << 24  # as many frames as fit into so many bytes, or so many frames if that is more
_BRIGHT = 99.5  # percentile: hot pixels are fewer than the rest above it
_DARK, _WHITE = 16, 247  # mean grey, of 255


@dataclass(frozen=True)
class Survey:
    """Firing rates of a recording's pixels.

    Attributes
    ----------
    counts
        H x W spikes of each pixel in the frames that were read.
    frames
        How many those were.
    """

    counts: np.ndarray
    frames: int

    @property
    def rate(self) -> float:
        """Spikes per frame of the brightest pixels: 99.5 % of those that fire do so less; 0 where none fires."""
        fired = self.counts[self.counts > 0]
        if not fired.size:
            return 0.0
        return float(f"{np.percentile(fired, _BRIGHT, method='higher') / self.frames:.4g}")

    def grey(self, rate: float) -> float:
        """Mean grey, of 255, of the pictures that come out where unit luminance fires `rate` spikes per frame."""
        return float(255 * np.minimum(self.counts / (self.frames * rate), 1).mean())

    def exposure(self, rate: float) -> str:
        """What is wrong with a rate; empty where its pictures are neither black nor white."""
        if not self.counts.any():
            return f"no pixel fires in the {self.frames} frames that were looked at: its pictures are black"
        grey = self.grey(rate)
        if _DARK <= grey <= _WHITE:
            return ""
        colour = "black" if grey < _DARK else "white"
        other = f"; its own brightest pixels fire {self.rate:g}" if self.rate != rate else ""
        return f"at {rate:g} spikes per frame its pictures are nearly {colour}, mean grey {grey:.1f} of 255{other}"


def survey(packed: PackedSpikes) -> Survey:
    """Count spikes in runs of frames, spread evenly over the recording; all of a short one."""
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
    """Correlation of each row with the next one: near 1 in the true geometry, near 0 where rows begin elsewhere."""
    if len(counts) < 2:
        return 0.0
    above, below = (part - part.mean() for part in (counts[:-1].astype(np.float64), counts[1:].astype(np.float64)))
    scale = np.sqrt((above**2).sum() * (below**2).sum())
    return float((above * below).sum() / scale) if scale else 0.0
