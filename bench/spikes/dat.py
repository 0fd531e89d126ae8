"""Spike streams on disk (.dat) and in memory: bit-packed, memory-mapped, unpacked slice by slice.

A .dat file holds, frame after frame and without a header, ``np.packbits(frame[::-1], bitorder="little")``:
rows bottom to top, eight pixels a byte, the first pixel in the lowest bit. H * W must be divisible by 8.

A camera's raw dump has rows that are longer than the picture is wide: they also hold what the camera says of the row.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from bench.errors import BenchError

_PART_BYTES = 1 << 19


class PackedSpikes:
    """T x H x W spikes, eight to a byte, rows flipped as in a .dat file.

    Parameters
    ----------
    data
        T rows of bytes, a frame each; may be a memory map.
    height, width
        Size of a frame.
    row_bits, first_bit
        Bits of a row (0: `width`), and where in them the first pixel lies.

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
        """Pack T x H x W values in {0, 1} (any integer or boolean type)."""
        count, height, width = spikes.shape
        _check_size(height, width)
        if width % 8 == 0:  # whole bytes a row: flip the packed rows, an eighth of the data
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
        """Unpack a slice of frames to uint8 in {0, 1}, rows top to bottom."""
        if self.width % 8 == 0 and self.row_bits == self.width:
            rows = self._turned(frames)
            return np.unpackbits(rows, axis=None, bitorder="little").reshape(-1, self.height, self.width)
        chosen = self.data[frames]
        bits = np.unpackbits(chosen, axis=None, bitorder="little").reshape(len(chosen), self.height, self.row_bits)
        return np.ascontiguousarray(bits[:, ::-1, self.first_bit : self.first_bit + self.width])

    def _turned(self, frames: slice) -> np.ndarray:
        """The packed bytes of a slice, rows top to bottom."""
        start, stop, step = frames.indices(len(self.data))
        data = self.data
        # Only the whole map of a file starts where the file does; a slice of one is an array like any other.
        if not (isinstance(data, np.memmap) and isinstance(data.base, mmap.mmap)) or step != 1 or stop <= start:
            chosen = data[frames]
            return _flip_rows(chosen, len(chosen), self.height)
        # Read in parts that the processor's cache holds until they are turned: a mapped page's first touch costs more
        # than reading it, and a slice read as a whole has left the cache by then.
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
    row_bits, first_bit
        Where rows are longer than `width`: their bits, and where in them the first pixel lies.

    Raises
    ------
    BenchError
        If the file is missing, a frame's bits are not divisible by 8, the pixels do not fit into a row, or the file
        does not hold whole frames.
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
    """Write spikes as .dat: T x H x W values in {0, 1}, or packed ones, whose rows then hold pixels alone."""
    packed = spikes if isinstance(spikes, PackedSpikes) else PackedSpikes.pack(spikes)
    if packed.row_bits == packed.width:
        packed.data.tofile(path)
        return
    part = max(1, _PART_BYTES // (packed.height * packed.row_bits))
    with path.open("wb") as file:
        for start in range(0, len(packed), part):
            PackedSpikes.pack(packed[start : start + part]).data.tofile(file)


def _flip_rows(data: np.ndarray, count: int, height: int, out: np.ndarray | None = None) -> np.ndarray:
    """Reverse the rows of packed frames. `take` moves a row at once, five times faster than a reversed view."""
    if not data.size:
        return data
    order = np.arange(height - 1, -1, -1)
    # Told to clip, it writes into `out` as it goes; to raise, it would make a copy first.
    return data.reshape(count, height, -1).take(order, axis=1, out=out, mode="clip").reshape(-1)


def _check_size(height: int, width: int, path: Path | None = None) -> None:
    if height < 1 or width < 1 or height * width % 8:
        prefix = f"{path}: " if path else ""
        raise BenchError(f"{prefix}a spike frame of {width}x{height} pixels is not divisible by 8")
