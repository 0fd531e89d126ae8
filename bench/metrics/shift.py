"""Displacements of an object: how a result states one, and how far two are apart."""

from __future__ import annotations

import math

import numpy as np

from bench.errors import BenchError

# Displacements that a result can state, in pixels either way, and the smallest error that counts.
REACH = 8.0
_FINEST = 1 / 1024


def to_result(displacement: np.ndarray) -> np.ndarray:
    """A displacement in pixels, x then y, as a frame that any codec takes: 1 x 1 x 2 float32, 1/2 is no motion.

    Displacements beyond `REACH` are cut.
    """
    return np.clip(displacement / (2 * REACH) + 0.5, 0, 1).astype(np.float32).reshape(1, 1, 2)


def to_displacement(result: np.ndarray) -> np.ndarray:
    """The displacement in pixels, x then y, that a result states: the inverse of `to_result`, 2 float64."""
    displacement: np.ndarray = (result.reshape(-1).astype(float) - 0.5) * 2 * REACH
    return displacement


def evaluate_shift(result: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Compare a displacement with the true one.

    Parameters
    ----------
    result
        1 x 1 x 2 float32, as `to_result` makes it.
    truth
        In pixels, x then y.

    Returns
    -------
    dict
        ``shift_error``: length of the difference, in pixels. ``angle_error``: angle between both in degrees, 0 to 180;
        None where one is zero. ``shift_snr``: length of the true displacement over the error, in dB; an error below
        1/1024 pixel counts as 1/1024. None without motion.

    Raises
    ------
    BenchError
        If the result does not have two values.
    """
    if result.size != 2:
        raise BenchError(f"a displacement has two values, the result has {result.size}")
    displacement, true = to_displacement(result), truth.astype(float)
    error, length = float(np.hypot(*(displacement - true))), float(np.hypot(*true))
    turned = math.atan2(displacement[0] * true[1] - displacement[1] * true[0], float(displacement @ true))
    return {
        "shift_error": error,
        "angle_error": abs(math.degrees(turned)) if length and displacement.any() else None,
        "shift_snr": 20 * math.log10(length / max(error, _FINEST)) if length else None,
    }
