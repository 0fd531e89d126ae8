"""Full-reference quality of luminance frames: computed for each frame, then averaged over the evaluated instants."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType

import numpy as np

from bench.errors import BenchError, one_line

# Smallest side that torchmetrics accepts for MS-SSIM: at its coarsest scale, the side divided by 2**4 and rounded down
# must be at least as long as the window, 11 pixels.
MS_SSIM_MIN_SIDE = 176
SSIM_MIN_SIDE = 11
# Upper limit of a frame's PSNR, dB. It is libvmaf's limit for 8-bit samples (6 * 8 + 12), just above the 58.9 dB of a
# frame that is only rounded to 8 bits. Without a limit, a single exact frame, a black one say, makes a mean infinite.
PSNR_CEILING = 60.0


def psnr_per_frame(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PSNR in dB of each of K x H x W frames, for a peak of 1.0; `PSNR_CEILING` at most, also for exact frames."""
    return _psnr(_mse_per_frame(result, truth))


def evaluate_frames(result: np.ndarray, truth: np.ndarray) -> dict[str, float | int]:
    """Quality of K x H x W float32 frames in [0, 1] against their truth, averaged over the K frames.

    Returns
    -------
    dict
        ``psnr``: mean of the frames' PSNRs, dB. ``psnr_of_mse``: PSNR of the mean of the frames' MSEs, dB.
        ``capped_frames``: number of frames whose PSNR is `PSNR_CEILING`. ``ssim``, ``ms_ssim``: means over the frames;
        NaN (an empty cell in tables) where frames are too small for SSIM's window or MS-SSIM's five scales.

    Raises
    ------
    BenchError
        If a sample of the result is not a finite number.
    """
    if not np.isfinite(result).all():
        raise BenchError("the result has samples that are not finite, so it has no quality")
    mse = _mse_per_frame(result, truth)
    return {
        "psnr": float(np.mean(_psnr(mse))),
        "psnr_of_mse": float(_psnr(np.mean(mse))),
        "capped_frames": int(np.count_nonzero(_psnr(mse) == PSNR_CEILING)),
        **_structural(result, truth),
    }


def _torchmetrics() -> ModuleType:
    """The module of torchmetrics that measures images; it needs a torchvision that was built for this torch.

    Raises
    ------
    BenchError
        If it cannot be imported.
    """
    try:
        from torchmetrics.functional import image
    except (ImportError, RuntimeError) as error:
        versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "torchmetrics"))
        raise BenchError(
            f"torchmetrics cannot be imported ({one_line(str(error))}); do these versions fit? {versions}"
        ) from None
    return image


def _mse_per_frame(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    difference = result.astype(np.float64) - truth.astype(np.float64)
    mse: np.ndarray = np.mean(np.square(difference, out=difference), axis=(1, 2))
    return mse


def _psnr(mse: np.ndarray | np.floating) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.minimum(-10.0 * np.log10(mse), PSNR_CEILING)


def _structural(result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """SSIM and MS-SSIM, means over the frames; NaN where frames are too small."""
    side = min(truth.shape[1:])
    if side < SSIM_MIN_SIDE:
        return {"ssim": math.nan, "ms_ssim": math.nan}
    import torch

    image = _torchmetrics()
    ssim, ms_ssim = image.structural_similarity_index_measure, image.multiscale_structural_similarity_index_measure

    # Frame by frame: the buffers of a whole batch exceed the processor's cache, and moving them takes as long as the
    # arithmetic.
    def measure(function: Callable[..., object]) -> float:
        pairs = (
            [torch.from_numpy(np.ascontiguousarray(frame))[None, None] for frame in pair]
            for pair in zip(result, truth, strict=True)
        )
        return float(np.mean([float(function(*pair, data_range=1.0)) for pair in pairs]))  # type: ignore[arg-type]

    return {"ssim": measure(ssim), "ms_ssim": measure(ms_ssim) if side >= MS_SSIM_MIN_SIDE else math.nan}
