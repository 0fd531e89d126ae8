"""The integrate-and-fire spike camera (paper eq. 1-5)."""

from __future__ import annotations

from typing import Literal

import numpy as np

Reset = Literal["soft", "hard"]


class SpikeCamera:
    """A camera that keeps its membrane potential between calls, so that long scenes are simulated in pieces.

    v <- v + alpha * I (eq. 3); a spike where v >= theta (eq. 4); then v <- 0 (hard) or v <- v - theta (soft)
    (eq. 5). At most one spike per pixel and frame.

    Parameters
    ----------
    height, width
        Sensor size.
    alpha, theta
        Photoelectric conversion and threshold. alpha / theta is the spikes per frame of unit luminance.
    reset
        ``soft`` or ``hard``.
    seed
        Seeds the initial potential, uniform in [0, theta), and the noise.
    initial
        Initial potential v_0 instead of the random one: a number or H x W.
    noise
        Standard deviation of Gaussian noise that is added to I in every frame; the noisy I is cut at 0.

    Notes
    -----
    Integer luminance with alpha = 1 and an integer theta is exact in float32 while v stays below 2**24: the
    same spikes on every machine.
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
            # With an integer theta the potentials are integers too, and the arithmetic stays exact.
            initial = np.floor(initial) if theta > 1 and float(theta).is_integer() else initial
        # Potential and threshold are kept in units of luminance (divided by alpha): one product less a frame.
        self._potential = np.empty((height, width), np.float32)
        self._potential[:] = initial / np.float32(alpha)
        self._threshold = np.float32(theta / alpha)
        self._reset, self._noise = reset, noise

    def expose(self, luminance: np.ndarray) -> np.ndarray:
        """Integrate T x H x W luminance (any real type) and return T x H x W uint8 spikes."""
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
    """Simulate T x H x W luminance in [0, 1] at `rate` spikes per frame and unit luminance (theta = 1)."""
    sensor = SpikeCamera(*luminance.shape[1:], alpha=rate, theta=1.0, **camera)  # type: ignore[arg-type]
    return sensor.expose(luminance)
