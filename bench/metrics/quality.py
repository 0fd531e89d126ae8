"""Full-reference quality of luminance frames, per frame and then averaged over the evaluated instants."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

# torchmetrics wants the shorter side, divided by 2**4 and rounded down, above the window's 11 - 1 pixels.
MS_SSIM_MIN_SIDE = 176
SSIM_MIN_SIDE = 11


def psnr_per_frame(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PSNR in dB of K x H x W frames with peak 1.0; infinite where a frame equals its truth."""
    difference = result.astype(np.float64) - truth.astype(np.float64)
    mse = np.mean(np.square(difference, out=difference), axis=(1, 2))
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(mse)


def evaluate_frames(result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and MS-SSIM of K x H x W float32 frames in [0, 1].

    A frame too small for SSIM's window or MS-SSIM's five scales gives NaN, which is an empty cell in a table.
    """
    measures = {"psnr": float(np.mean(psnr_per_frame(result, truth)))}
    measures.update(_structural(result, truth))
    return measures


def _structural(result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    side = min(truth.shape[1:])
    if side < SSIM_MIN_SIDE:
        return {"ssim": math.nan, "ms_ssim": math.nan}
    import torch
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    # Frame by frame: a whole batch's buffers leave the cache, and the system spends as long as the arithmetic.
    def measure(function: Callable[..., object]) -> float:
        pairs = (
            [torch.from_numpy(np.ascontiguousarray(frame))[None, None] for frame in pair]
            for pair in zip(result, truth, strict=True)
        )
        return float(np.mean([float(function(*pair, data_range=1.0)) for pair in pairs]))  # type: ignore[arg-type]

    return {"ssim": measure(ssim), "ms_ssim": measure(ms_ssim) if side >= MS_SSIM_MIN_SIDE else math.nan}
