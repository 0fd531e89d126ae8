"""The identity analyzer, for features that are already estimates of the luminance."""

from __future__ import annotations

import numpy as np

from bench.interfaces import Analyzer


class Identity(Analyzer):
    """Returns the features unchanged as the reconstruction, so that ATC and CAAS code the same frames."""

    name = "identity"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Return the features themselves, K x H x W float32 luminance in [0, 1]; motion is not used."""
        return features
