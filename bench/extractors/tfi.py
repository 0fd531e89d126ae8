"""TFI, texture from inter-spike intervals: luminance is proportional to one over the time between two spikes."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.interfaces import ComponentOptions, Extractor
from bench.spikes import interval_rate


class Tfi(Extractor):
    """One over the inter-spike interval around each instant, divided by the spike rate at unit luminance."""

    name = "tfi"

    class Options(ComponentOptions):
        """Options: `window`, the number of spike frames in which spikes are searched on each side of an instant."""

        window: int = Field(default=32, ge=1)
        """Spike frames in which spikes are searched on each side of an instant."""

    def extract(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
        """Estimate K x H x W float32 luminance in [0, 1] from T x H x W spikes; see `bench.spikes.interval_rate`."""
        features = interval_rate(spikes, instants, self.options.window)
        features /= np.float32(rate)
        return np.minimum(features, 1, out=features)
