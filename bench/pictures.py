"""Reads picture files as luma, and converts frames to grey levels and PNG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError, one_line
from bench.interfaces import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def read_grey(path: Path) -> np.ndarray:
    """Read a picture as luma, rotated by its EXIF orientation.

    Returns
    -------
    numpy.ndarray
        H x W uint8, or uint16 for a grey picture of 16 bits.

    Raises
    ------
    BenchError
        If the file is missing or not a picture, or reading it would lose information: colours of more than 8 bits per
        channel, floats, colour models other than RGB, transparency, or several pictures in one file.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if problem := _unreadable(image):
                raise BenchError(f"{path}: {problem}")
            upright = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                return np.asarray(upright).astype(np.uint16)
            if _transparent(upright):
                raise BenchError(f"{path}: parts of the picture are transparent; flatten it first")
            return np.asarray(upright) if upright.mode == "L" else luma(np.asarray(upright.convert("RGB")))
    except BenchError:
        raise
    except Exception as error:  # Pillow raises many types for damaged files, and refuses pictures of excessive size
        raise BenchError(f"{path} cannot be read as a picture: {one_line(str(error))}") from None


def read_same(paths: Iterable[Path], where: Path) -> np.ndarray:
    """Read K pictures of one size and depth as K x H x W uint8 or uint16.

    Parameters
    ----------
    where
        The folder or file that the message names if they differ.

    Raises
    ------
    BenchError
        If their sizes or depths differ, or `read_grey` cannot read one.
    """
    frames = [read_grey(path) for path in paths]
    if len(sizes := {frame.shape for frame in frames}) > 1:
        raise BenchError(f"{where}: pictures of different sizes: {', '.join(map(str, sorted(sizes)))}")
    if len({frame.dtype for frame in frames}) > 1:
        raise BenchError(f"{where}: some pictures have 8 bits, others 16")
    return np.stack(frames)


def luminance(levels: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 levels to float32 in [0, 1]."""
    return levels.astype(np.float32) / np.iinfo(levels.dtype).max


def _unreadable(image: Picture) -> str:
    """Why reading a picture would lose information; empty if it would not."""
    tags = getattr(image, "tag_v2", {})
    # Pillow cuts colours of 16 bits to a mode of 8 bits; only the raw mode and the TIFF tag show this.
    deep = any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ())) or max(tags.get(_TIFF_BITS, (8,))) > 8
    if image.mode.startswith("I;16"):
        inverted = tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
        return "16-bit pictures whose zero is white are not read; invert it first" if inverted else ""
    if deep or image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        mode = f"colours of more than 8 bits (opened as {image.mode})" if deep else f"mode {image.mode}"
        return f"pictures of {mode} are not read; save it as 8-bit grey or RGB, or as 16-bit grey"
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "MPO":  # an MPO file is a photograph with its preview
        return f"the file holds {count} pictures; save each one as a file"
    return ""


def _transparent(image: Picture) -> bool:
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return False
    lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(lowest < 255)  # type: ignore[operator]


def luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma of ... x 3 uint8 or uint16 RGB values, rounded, as ... of the same type."""
    return (rgb @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(rgb.dtype.newbyteorder("="))


def grey_levels(frames: np.ndarray) -> np.ndarray:
    """Convert uint8 spikes (1 becomes white), or float frames clipped to [0, 1], to uint8 grey levels."""
    return frames * np.uint8(255) if frames.dtype == np.uint8 else to_uint8(np.clip(frames, 0, 1))


def png(frame: np.ndarray) -> bytes:
    """Encode H x W uint8 grey levels as a PNG file."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()
