"""The analyzer `shift`: how far the picture moves from one feature to the next."""

from __future__ import annotations

import itertools

import numpy as np

from bench.errors import BenchError
from bench.interfaces import Analyzer
from bench.metrics.shift import to_result

_PARTS = 32  # of a pixel


class Shift(Analyzer):
    """Displacement of one object on an even ground, by registration of successive features. It needs no training.

    The displacement between two features is where their cross-correlation is largest, to 1/32 pixel
    (`skimage.registration.phase_cross_correlation` without normalisation, since decoded features have next to nothing
    at most frequencies). The result is the mean over all pairs of neighbours. Motion that a stream carries is not
    used, so that features from any codec are treated alike.
    """

    name = "shift"
    task = "motion"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Estimate the mean displacement of K x H x W features: 1 x 1 x 2 float32 (`bench.metrics.shift.to_result`).

        Raises
        ------
        BenchError
            If K is 1.
        """
        from skimage.registration import phase_cross_correlation

        if len(features) < 2:
            raise BenchError("motion needs two features at least; use --frames")
        moved = [
            # An even picture correlates everywhere alike, and says nothing of motion.
            phase_cross_correlation(before, after, upsample_factor=_PARTS, normalization=None)[0]
            if np.ptp(before) and np.ptp(after)
            else np.zeros(2)
            for before, after in itertools.pairwise(features)
        ]
        # The function gives how far `after` must go back, rows first.
        return to_result(-np.mean(moved, axis=0)[::-1])
