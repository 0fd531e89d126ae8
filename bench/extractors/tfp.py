"""TFP, texture from playback: luminance is proportional to the firing rate in a window."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.interfaces import ComponentOptions, Extractor
from bench.spikes import firing_rate


class Tfp(Extractor):
    """Mean firing rate over `window` spike frames around each instant, divided by the spike rate at unit luminance."""

    name = "tfp"

    class Options(ComponentOptions):
        """Options: `window`, its length in spike frames."""

        window: int = Field(default=21, ge=1)
        """Length of the window in spike frames."""

    def extract(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
        """Estimate K x H x W float32 luminance in [0, 1] from T x H x W spikes; see `bench.spikes.firing_rate`."""
        features = firing_rate(spikes, instants, self.options.window)
        features /= np.float32(rate)
        return np.minimum(features, 1, out=features)
