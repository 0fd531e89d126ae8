"""The analyzer interface: features to a task's result, in the cloud (CTA, CAAS) or on the camera (ATC)."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from bench.interfaces.component import Component


class Analyzer(Component):
    """Turns K feature frames into the result of one task.

    Subclass it, set `name` and `task`, write `analyze`, and name it in the entry points, group
    ``bench.analyzers``.
    """

    task: ClassVar[str] = "reconstruction"

    @property
    def classes(self) -> int | None:
        """Number of classes that its result has; None where results are no classes."""
        return None

    @abstractmethod
    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Compute the result.

        Parameters
        ----------
        features
            K x H x W float32 in [0, 1], decoded (CTA, CAAS) or fresh (ATC).
        motion
            K x 2 x H x W float32 motion from the previous frame in pixels where the codec decodes one (paper
            eq. 8), None elsewhere.

        Returns
        -------
        numpy.ndarray
            For the task ``reconstruction``: K x H x W float32 luminance in [0, 1]; for ``classification``:
            1 x 1 x C float32 probabilities.
        """

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex, empty where there are none."""
        return ""
