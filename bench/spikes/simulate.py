"""The integrate-and-fire spike camera (paper eq. 1-5)."""

from __future__ import annotations

from typing import Literal

import numpy as np

Reset = Literal["soft", "hard"]


class SpikeCamera:
    """A simulated spike camera. It keeps its membrane potential between calls: long scenes can be simulated in pieces.

    v <- v + alpha * I (eq. 3); a spike where v >= theta (eq. 4); then v <- 0 (hard) or v <- v - theta (soft)
    (eq. 5). At most one spike per pixel and frame.

    Parameters
    ----------
    height, width
        Sensor size.
    alpha, theta
        Photoelectric conversion factor and firing threshold. Unit luminance fires alpha / theta spikes per frame.
    reset
        ``soft`` or ``hard``.
    seed
        Seed of the initial potential, which is uniform in [0, theta), and of the noise.
    initial
        Initial potential v_0 instead of the random one: a number or H x W.
    noise
        Standard deviation of Gaussian noise that is added to I in every frame; negative sums are set to 0.

    Notes
    -----
    With integer luminance, alpha = 1 and an integer theta, float32 arithmetic is exact while v stays below 2**24, so
    every machine gets the same spikes.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        alpha: float = 1.0,
        theta: float = 1.0,
        reset: Reset = "soft",
        seed: int = 0,
        initial: float | np.ndarray | None = None,
        noise: float = 0.0,
    ) -> None:
        self._random = np.random.default_rng(seed)
        if initial is None:
            initial = self._random.random((height, width)) * theta
            # With an integer theta, an integer initial potential keeps the arithmetic exact.
            initial = np.floor(initial) if theta > 1 and float(theta).is_integer() else initial
        # Potential and threshold are divided by alpha: then no frame has to be multiplied by it.
        self._potential = np.empty((height, width), np.float32)
        self._potential[:] = initial / np.float32(alpha)
        self._threshold = np.float32(theta / alpha)
        self._reset, self._noise = reset, noise

    def expose(self, luminance: np.ndarray) -> np.ndarray:
        """Integrate T x H x W luminance, of any real type, and return T x H x W uint8 spikes in {0, 1}."""
        spikes = np.empty(luminance.shape, np.uint8)
        fired = spikes.view(np.bool_)
        v, step = self._potential, np.empty_like(self._potential)
        for frame, out in zip(luminance, fired, strict=True):
            light = frame
            if self._noise:
                light = frame + self._noise * self._random.standard_normal(v.shape, np.float32)
                np.maximum(light, 0, out=light)
            np.add(v, light, out=v, casting="same_kind")
            np.greater_equal(v, self._threshold, out=out)
            if self._reset == "soft":
                np.multiply(out, self._threshold, out=step)
                np.subtract(v, step, out=v)
            else:
                np.multiply(v, ~out, out=v)
        return spikes


def simulate(luminance: np.ndarray, *, rate: float, **camera: object) -> np.ndarray:
    """Simulate a whole scene with a new camera.

    Parameters
    ----------
    luminance
        T x H x W in [0, 1].
    rate
        Spikes per frame of unit luminance (alpha; theta is 1).
    camera
        Further arguments of `SpikeCamera`.

    Returns
    -------
    numpy.ndarray
        T x H x W uint8 in {0, 1}.
    """
    sensor = SpikeCamera(*luminance.shape[1:], alpha=rate, theta=1.0, **camera)  # type: ignore[arg-type]
    return sensor.expose(luminance)
