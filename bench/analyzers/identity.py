"""The identity analyzer, for features that already are estimates of the scene."""

from __future__ import annotations

import numpy as np

from bench.interfaces import Analyzer


class Identity(Analyzer):
    """Returns the features as the reconstruction. With it, ATC and CAAS code the same frames."""

    name = "identity"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Return the features, K x H x W luminance in [0, 1]."""
        return features
