"""Where data lies in the user's cache, and how pictures are read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import platformdirs

from bench.datasets._simulated import luma
from bench.errors import BenchError, one_line


def cache_root() -> Path:
    """The suite's folder in the user's cache: BENCH_CACHE, or the platform's own place.

    Raises
    ------
    BenchError
        If the user has no home folder, and nothing else is stated.
    """
    stated = os.environ.get("BENCH_CACHE")
    try:
        return (Path(stated) if stated else platformdirs.user_cache_path("spikebench")).expanduser()
    except RuntimeError:
        raise BenchError("this user has no home folder: set BENCH_CACHE to a folder for the suite's cache") from None


def read_grey(path: Path) -> np.ndarray:
    """Read a picture of 8 bits per channel as H x W uint8 luma.

    Raises
    ------
    BenchError
        If the file is missing, not a picture, or has more than 8 bits per channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
                raise BenchError(f"{path}: pictures of mode {image.mode} are not read, only those of 8 bits a channel")
            return np.asarray(image) if image.mode == "L" else luma(np.asarray(image.convert("RGB")))
    except BenchError:
        raise
    except Exception as error:  # its readers fail in many ways on damaged files, and refuse to fill the memory
        raise BenchError(f"{path} cannot be read as a picture: {one_line(str(error))}") from None
