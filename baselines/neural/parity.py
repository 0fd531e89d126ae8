"""Comparing a network with the results of its authors' code for the same weights and frames (``bench parity``)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.errors import BenchError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Precision = Literal["float32", "float64"]
# Largest allowed difference of a frame's samples, and of bits per pixel relative to the authors'.
BOUNDS: dict[Precision, tuple[float, float]] = {"float32": (1e-4, 1e-4), "float64": (1e-9, 1e-9)}


@dataclass(frozen=True)
class Case:
    """Frames and the authors' results for them.

    Attributes
    ----------
    arrays
        ``frames_u8`` (T, 3, H, W), and by frame ``I.x_hat``, ``I.bpp_*`` (see docs/learned.md).
    precision
        Precision that the authors' networks ran in.
    rate_point
        The case's rate point; None where it states none.
    """

    arrays: Mapping[str, np.ndarray]
    precision: Precision
    rate_point: int | str | None

    def frames(self) -> Iterator[Tensor]:
        """Frames 1 x 3 x H x W in [0, 1]."""
        import torch

        for frame in self.arrays["frames_u8"]:
            yield torch.from_numpy(frame[None]).to(self.dtype) / 255

    @property
    def dtype(self) -> torch.dtype:
        """The precision as a torch type."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32


@dataclass(frozen=True)
class Difference:
    """One comparison: the largest difference of a component in a frame, and the largest that is allowed."""

    frame: int
    component: str
    value: float
    bound: float

    @property
    def ok(self) -> bool:
        """Within the bound; false for NaN."""
        return self.value <= self.bound


def read_case(path: Path, rate_point: str = "", precision: str = "") -> Case:
    """Read a case; rate point and precision are those in its file name (anchor2, level21of64, float64) unless given.

    Raises
    ------
    BenchError
        If the file is no case, its precision is neither given nor in its name, or the given rate point is malformed.
    """
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays = dict(loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BenchError(f"{path} is not a case (.npz): {error}") from None
    frames = arrays.get("frames_u8")
    if frames is None or frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != np.uint8:
        raise BenchError(f"{path} is not a case: it has no frames_u8 of T x 3 x H x W bytes")
    stated = precision or next(iter(re.findall(r"float(?:32|64)", path.stem)), "")
    if stated not in BOUNDS:
        raise BenchError(f"{path}: its precision is not in its name; give --precision float32 or float64")
    point = _rate_point(rate_point or path.stem)
    if rate_point and point is None:
        raise BenchError(f"no rate point '{rate_point}' (a number, or levelN)")
    return Case(arrays, "float64" if stated == "float64" else "float32", point)


def _rate_point(text: str) -> int | str | None:
    if text.isdecimal():
        return int(text)
    if anchor := re.search(r"(?:anchor|quality)(\d+)", text):
        return int(anchor[1])
    if level := re.search(r"level(\d+)", text):
        return f"level{level[1]}"
    return None


def compare_frame(
    case: Case, index: int, frames: Mapping[str, Tensor], bits: Mapping[str, Tensor], prefix: str = "bpp_"
) -> Iterator[Difference]:
    """Compare a frame's decoded pictures and bits per (padded) pixel with the case's arrays of the same names.

    Raises
    ------
    BenchError
        If the case lacks such an array, or it has another shape.
    """
    allowed, allowed_rate = BOUNDS[case.precision]
    for name, frame in frames.items():
        reference = case.arrays.get(f"{index}.{name}")
        if reference is None or reference.shape != frame.shape:
            stored = "nothing" if reference is None else reference.shape
            raise BenchError(f"the case holds {stored} as {index}.{name} where {tuple(frame.shape)} was decoded")
        yield Difference(index, name, float(np.abs(frame.cpu().numpy() - reference).max()), allowed)
    height, width = next(iter(frames.values())).shape[2:]
    for name, value in bits.items():
        stored_rate = case.arrays.get(f"{index}.{prefix}{name}")
        if stored_rate is None:
            raise BenchError(f"the case holds no {index}.{prefix}{name}")
        rate, wanted_rate = float(value) / (height * width), float(stored_rate.reshape(()))
        yield Difference(index, f"{prefix}{name}", abs(rate - wanted_rate) / abs(wanted_rate), allowed_rate)
