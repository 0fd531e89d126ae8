"""A file of several streams: the segments of a recording that is too long for one.

``SPKL``, then in msgpack the number of segments and for each its first spike frame and its container. Every container
has a checksum of its own; the number tells a truncated file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgpack

from bench.errors import BenchError, StreamError
from bench.interfaces.container import MAGIC, MAGIC_1
from bench.runner.store import disk_errors, whole_file

_MANY = b"SPKL"


def write_segments(path: Path, count: int, segments: Iterator[tuple[int, bytes]]) -> int:
    """Write so many segments as they come, each its first spike frame and its container; returns the file's size.

    The file is there whole or not at all. A single segment is written as the plain stream that it is.
    """
    with disk_errors(path.parent), whole_file(path) as file:
        if count > 1:
            file.write(_MANY + msgpack.packb(count))
        for start, stream in segments:
            file.write(msgpack.packb([start, stream]) if count > 1 else stream)
        return file.tell()


def read_segments(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read a file's containers one after another, each with its first spike frame (0 for a plain stream).

    Raises
    ------
    StreamError
        If the file is foreign or truncated.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MANY))
            if magic != _MANY:
                yield 0, magic + file.read()
                return
            size = path.stat().st_size
            parts = msgpack.Unpacker(file, max_buffer_size=size, max_bin_len=size)
            count = _whole(parts.unpack())
            if count < 2:
                raise ValueError("fewer than are ever written")
            for _ in range(count):
                start, stream = parts.unpack()
                if not isinstance(stream, bytes) or stream[: len(MAGIC)] not in (MAGIC, MAGIC_1):
                    raise ValueError("no container where one should be")
                yield _whole(start), stream
            if file.read(1) or parts.tell() + len(_MANY) != size:
                raise ValueError("more than it says")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise StreamError(f"{path}: the segments are truncated or damaged ({error or type(error).__name__})") from None


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("not a number where one should be")
    return value
