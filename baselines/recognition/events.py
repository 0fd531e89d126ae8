"""A simulated event camera for the same scenes, and the paper's three ways to make frames of events (Table VI)."""

from __future__ import annotations

import numpy as np

# Mean contrast threshold and its standard deviation over pixels: usual values of event-camera simulators.
THRESHOLD, SPREAD = 0.2, 0.03
# Number of events of one sign that makes a pixel white or black.
_FULL = 4


def events(luminance: np.ndarray, seed: int) -> np.ndarray:
    """Simulate events of a luminance sequence: log-intensity changes by a threshold (paper Table I).

    Parameters
    ----------
    luminance
        T x H x W, positive.
    seed
        Seeds the pixels' thresholds.

    Returns
    -------
    numpy.ndarray
        T x H x W int8: number of events in each frame, negative where the pixel got darker.
    """
    random = np.random.default_rng(seed)
    threshold = np.maximum(random.normal(THRESHOLD, SPREAD, luminance.shape[1:]), SPREAD)
    light = np.log(luminance)
    reference = light[0].copy()
    signs = np.zeros(luminance.shape, np.int8)
    for now, out in zip(light, signs, strict=True):
        count = np.trunc((now - reference) / threshold)
        reference += count * threshold
        out[:] = np.clip(count, -127, 127)
    return signs


def etof(stream: np.ndarray, count: int) -> np.ndarray:
    """Event to frame (EtoF): signed number of events in each of `count` equal intervals.

    Takes T x H x W int8 events, as `bei` and `sbne` do, and returns count x H x W float32 in [0, 1].
    """
    return _shade(np.stack([part.sum(0, dtype=np.int32) for part in np.array_split(stream, count)]))


def bei(stream: np.ndarray, count: int) -> np.ndarray:
    """Binary event image (BEI): whether there was an event in each of `count` equal intervals."""
    return np.stack([(part != 0).any(0) for part in np.array_split(stream, count)]).astype(np.float32)


def sbne(stream: np.ndarray, count: int) -> np.ndarray:
    """Stacking by number of events (SBNE): as `etof`, but in `count` intervals that hold equally many events."""
    height, width = stream.shape[1:]
    flat = stream.reshape(len(stream), -1)
    frame, pixel = np.nonzero(flat)  # in the order of time
    numbers = np.abs(flat[frame, pixel].astype(np.int64))
    pixels = np.repeat(pixel, numbers)
    signs = np.repeat(np.sign(flat[frame, pixel]), numbers)
    stacks = np.zeros((count, height * width), np.int32)
    for stack, part in zip(stacks, np.array_split(np.arange(len(pixels)), count), strict=True):
        np.add.at(stack, pixels[part], signs[part])
    return _shade(stacks.reshape(count, height, width))


def _shade(counts: np.ndarray) -> np.ndarray:
    """Grey where there are no events, lighter or darker with their signed number; float32 in [0, 1]."""
    return np.clip(0.5 + counts / (2 * _FULL), 0, 1).astype(np.float32)
