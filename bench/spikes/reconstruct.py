"""Texture from spikes: TFP (mean firing rate in a window) and TFI (inter-spike interval)."""

from __future__ import annotations

import numpy as np


def firing_rate(spikes: np.ndarray, instants: np.ndarray, window: int) -> np.ndarray:
    """TFP: mean of the `window` spike frames centred on each instant; at the stream's ends, of those that exist.

    Parameters
    ----------
    spikes
        T x H x W uint8 in {0, 1}.
    instants
        K indices of spike frames.
    window
        Length of the window in spike frames. An even window has one frame more before the instant than after it.

    Returns
    -------
    numpy.ndarray
        K x H x W float32, spikes per frame.
    """
    rates = np.empty((len(instants), *spikes.shape[1:]), np.float32)
    for rate, instant in zip(rates, instants, strict=True):
        start = max(0, int(instant) - window // 2)
        window_frames = spikes[start : int(instant) - window // 2 + window]
        # Counts of up to 255 frames fit into 8 bits, and adding in 8 bits is several times faster.
        count = window_frames.sum(axis=0, dtype=np.uint8 if len(window_frames) < 256 else np.uint32)
        np.divide(count, np.float32(len(window_frames)), out=rate)
    return rates


def interval_rate(spikes: np.ndarray, instants: np.ndarray, window: int) -> np.ndarray:
    """TFI: one over the interval between the last spike at or before the instant and the first one after it.

    A spike that does not lie within `window` spike frames of the instant counts as lying just outside of them: the
    result is then an upper bound of the pixel's rate.

    Parameters
    ----------
    spikes
        T x H x W uint8 in {0, 1}.
    instants
        K indices of spike frames.
    window
        Number of spike frames that are searched on each side of the instant.

    Returns
    -------
    numpy.ndarray
        K x H x W float32, spikes per frame.
    """
    rates = np.empty((len(instants), *spikes.shape[1:]), np.float32)
    for rate, instant in zip(rates, instants, strict=True):
        before = spikes[max(0, int(instant) + 1 - window) : int(instant) + 1][::-1]
        after = spikes[int(instant) + 1 : int(instant) + 1 + window]
        interval = _first_spike(before) + _first_spike(after) + np.float32(1)
        np.divide(np.float32(1), np.maximum(interval, 1), out=rate)
    return rates


def _first_spike(spikes: np.ndarray) -> np.ndarray:
    """Number of frames before the first spike of each pixel, all of them where it has none; H x W float32."""
    # Spikes are weighted with weights that fall with time, so a pixel's largest weight belongs to its first spike. Two
    # passes of small integers over each frame are thirty times faster than argmax along the first axis.
    count = len(spikes)
    kind = np.uint8 if count < 256 else np.uint32
    nearest, weighted = np.zeros((2, *spikes.shape[1:]), kind)
    for index, frame in enumerate(spikes):
        np.multiply(frame, kind(count - index), out=weighted)
        np.maximum(nearest, weighted, out=nearest)
    return np.float32(count) - nearest
