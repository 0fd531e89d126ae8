"""The analyzer interface.

An analyzer computes a task's result from features: in the cloud (CTA, CAAS) or on the camera (ATC).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from bench.interfaces.component import Component


class Analyzer(Component):
    """Computes the result of one task from K feature frames.

    To write one, subclass it, set `name` and `task`, and write `analyze`. To publish it, register the class in the
    entry-point group ``bench.analyzers``.

    Attributes
    ----------
    task
        Name of the task whose results it computes.
    """

    task: ClassVar[str] = "reconstruction"

    @property
    def classes(self) -> int | None:
        """C, the number of classes of a classifier; None for every other analyzer."""
        return None

    @abstractmethod
    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Compute the result.

        Parameters
        ----------
        features
            K x H x W float32 in [0, 1], decoded (CTA, CAAS) or fresh (ATC).
        motion
            K x 2 x H x W float32 in pixels, x then y, if the codec decoded motion; else None. It points backward:
            frame k at p shows what frame k - 1 shows at ``p + motion[k](p)``. It is NaN in frames that have none, such
            as intra frames. An analyzer may refine it, as SCI's does (paper eq. 8).

        Returns
        -------
        numpy.ndarray
            For the task ``reconstruction``: K x H x W float32 luminance in [0, 1]; for ``classification``:
            1 x 1 x C float32 probabilities of the C classes; for ``motion``: 1 x 1 x 2 float32
            (`bench.metrics.shift.to_result`).
        """

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex; empty without weights."""
        return ""
