"""Spike streams on disk (.dat files) and in memory, eight pixels to a byte, unpacked only for the frames in use.

A .dat file has no header. It holds, frame after frame, ``np.packbits(frame[::-1], bitorder="little")``: rows from
bottom to top, eight pixels to a byte, the first pixel in the lowest bit. H * W must be divisible by 8.

In a camera's raw dump, rows are longer than the picture is wide: each also holds the camera's own data on the row.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from bench.errors import BenchError

_PART_BYTES = 1 << 19  # size of a piece that stays in the processor's cache while it is worked on


class PackedSpikes:
    """T x H x W spikes, eight to a byte, rows flipped as in a .dat file.

    Parameters
    ----------
    data
        T x (H * row_bits / 8) uint8, one line for each frame; may be a memory map.
    height, width
        Size of a frame in pixels, H and W.
    row_bits, first_bit
        Number of bits of a row (0: `width`), and index of the first pixel's bit in it.

    Examples
    --------
    >>> frames = np.eye(8, dtype=np.uint8)[None]
    >>> packed = PackedSpikes.pack(frames)
    >>> packed.shape, packed.data.nbytes
    ((1, 8, 8), 8)
    >>> bool((packed[0:1] == frames).all())
    True
    """

    def __init__(self, data: np.ndarray, height: int, width: int, row_bits: int = 0, first_bit: int = 0) -> None:
        self.data = data
        self.height = height
        self.width = width
        self.row_bits = row_bits or width
        self.first_bit = first_bit

    @classmethod
    def pack(cls, spikes: np.ndarray) -> PackedSpikes:
        """Pack T x H x W values in {0, 1}, of any integer or boolean type.

        Raises
        ------
        BenchError
            If H * W is not divisible by 8.
        """
        count, height, width = spikes.shape
        _check_size(height, width)
        if width % 8 == 0:  # rows are whole bytes: flipping them after packing moves an eighth of the data
            data = _flip_rows(np.packbits(spikes, axis=None, bitorder="little"), count, height)
            data = data.reshape(count, height * width // 8)
        else:
            flat = np.ascontiguousarray(spikes[:, ::-1]).reshape(count, height * width)
            data = np.packbits(flat, axis=1, bitorder="little")
        return cls(data, height, width)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return (len(self.data), self.height, self.width)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, frames: slice) -> np.ndarray:
        """Unpack a slice of n frames to n x H x W uint8 in {0, 1}, rows from top to bottom."""
        if self.width % 8 == 0 and self.row_bits == self.width:
            rows = self._turned(frames)
            return np.unpackbits(rows, axis=None, bitorder="little").reshape(-1, self.height, self.width)
        packed_frames = self.data[frames]
        bits = np.unpackbits(packed_frames, axis=None, bitorder="little").reshape(
            len(packed_frames), self.height, self.row_bits
        )
        return np.ascontiguousarray(bits[:, ::-1, self.first_bit : self.first_bit + self.width])

    def _turned(self, frames: slice) -> np.ndarray:
        """The packed bytes of a slice of frames in one array, rows from top to bottom."""
        start, stop, step = frames.indices(len(self.data))
        data = self.data
        # The file is read directly only if `data` maps all of it: a slice does not say where in the map it starts.
        if not (isinstance(data, np.memmap) and isinstance(data.base, mmap.mmap)) or step != 1 or stop <= start:
            packed_frames = data[frames]
            return _flip_rows(packed_frames, len(packed_frames), self.height)
        # Reading a file is faster than the first access to its mapped pages. It is read in parts that are still in the
        # processor's cache when their rows are flipped.
        rows = np.empty((stop - start, self.height, self.width // 8), np.uint8)
        part = np.empty((min(len(rows), -(-_PART_BYTES // rows[0].nbytes)), *rows.shape[1:]), np.uint8)
        with Path(str(data.filename)).open("rb", buffering=0) as file:
            file.seek(start * rows[0].nbytes)
            for first in range(0, len(rows), len(part)):
                turned = rows[first : first + len(part)]
                read = part[: len(turned)]
                if file.readinto(read.data.cast("B")) != read.nbytes:
                    raise BenchError(f"{data.filename}: the file has become shorter since it was opened")
                _flip_rows(read, len(read), self.height, turned)
        return rows.reshape(-1)


def read_dat(path: Path, height: int, width: int, row_bits: int = 0, first_bit: int = 0) -> PackedSpikes:
    """Memory-map a .dat file.

    Parameters
    ----------
    height, width
        Size of a frame in pixels.
    row_bits, first_bit
        For rows that are longer than `width`: their number of bits, and the index of the first pixel's bit.

    Raises
    ------
    BenchError
        If the file is missing, the number of bits of a frame is not divisible by 8, the pixels do not fit into a row,
        or the file's size is not a whole number of frames.
    """
    row_bits = row_bits or width
    _check_size(height, row_bits, path)
    if first_bit + width > row_bits:
        raise BenchError(f"{path}: {width} pixels from bit {first_bit} on do not fit into rows of {row_bits} bits")
    frame_bytes = height * row_bits // 8
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error
    if size == 0 or size % frame_bytes:
        whole = size // frame_bytes
        rows = f" with rows of {row_bits} bits" if row_bits != width else ""
        raise BenchError(
            f"{path}: found {size} bytes, which is not a whole number of {width}x{height} spike frames{rows}: "
            f"expected {whole * frame_bytes} ({whole} frames) or {(whole + 1) * frame_bytes} ({whole + 1}), "
            f"{frame_bytes} bytes each; the file is truncated or its size is another one"
        )
    data = np.memmap(path, np.uint8, mode="r", shape=(size // frame_bytes, frame_bytes))
    return PackedSpikes(data, height, width, row_bits, first_bit)


def write_dat(path: Path, spikes: np.ndarray | PackedSpikes) -> None:
    """Write T x H x W values in {0, 1}, or packed spikes, to a .dat file; of longer rows only the pixels are kept."""
    packed = spikes if isinstance(spikes, PackedSpikes) else PackedSpikes.pack(spikes)
    if packed.row_bits == packed.width:
        packed.data.tofile(path)
        return
    part = max(1, _PART_BYTES // (packed.height * packed.row_bits))
    with path.open("wb") as file:
        for start in range(0, len(packed), part):
            PackedSpikes.pack(packed[start : start + part]).data.tofile(file)


def _flip_rows(data: np.ndarray, count: int, height: int, out: np.ndarray | None = None) -> np.ndarray:
    """Reverse the rows of packed frames. `take` copies whole rows, five times faster than a reversed view."""
    if not data.size:
        return data
    order = np.arange(height - 1, -1, -1)
    # With mode "clip", `take` writes straight into `out`; with the default "raise", it would buffer the result first.
    return data.reshape(count, height, -1).take(order, axis=1, out=out, mode="clip").reshape(-1)


def _check_size(height: int, width: int, path: Path | None = None) -> None:
    if height < 1 or width < 1 or height * width % 8:
        prefix = f"{path}: " if path else ""
        raise BenchError(f"{prefix}a spike frame of {width}x{height} pixels is not divisible by 8")
