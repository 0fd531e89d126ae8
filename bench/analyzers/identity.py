"""The identity analyzer: a feature frame is already an estimate of the scene."""

from __future__ import annotations

import numpy as np

from bench.interfaces import Analyzer


class Identity(Analyzer):
    """Gives the features back as the reconstruction. Under it, ATC and CAAS code the same frames."""

    name = "identity"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """K x H x W luminance in [0, 1], the features themselves."""
        return features
