"""Reconstruction: the result is the luminance at each coding instant."""

from __future__ import annotations

import numpy as np

from bench.interfaces import Task
from bench.metrics.quality import evaluate_frames


class Reconstruction(Task):
    """PSNR, SSIM and MS-SSIM against the true luminance (paper section V-C)."""

    name = "reconstruction"
    default_analyzer = "identity"

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, float | int]:
        """Compute the measures of K x H x W frames; `bench.metrics.quality.evaluate_frames` describes them."""
        return evaluate_frames(result, truth)
