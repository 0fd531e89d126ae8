"""A file of several streams: the segments of a recording that is too long for one.

``SPKL``, then in msgpack the number of segments and their containers. Each container has a checksum of its own and says
where in the recording it belongs; the number tells a truncated file. Older files, whose containers do not say it, have
pairs instead: a segment's first spike frame and its container.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from bench.errors import BenchError, StreamError
from bench.files import whole_file
from bench.interfaces import StreamInfo, unpack_stream
from bench.stream.outputs import write_errors

_MANY = b"SPKL"


@dataclass(frozen=True)
class Segment:
    """One container of a file.

    Attributes
    ----------
    start
        Its first spike frame in the recording; 0 for a lone stream that does not say it.
    info
        Its header.
    stream
        The container itself.
    """

    start: int
    info: StreamInfo
    stream: bytes


def write_segments(path: Path, count: int, streams: Iterator[bytes]) -> int:
    """Write so many containers as they come; returns the file's size.

    The file is there whole or not at all. A single segment is written as the plain stream that it is.
    """
    with write_errors(path), whole_file(path) as file:
        if count > 1:
            file.write(_MANY + msgpack.packb(count))
        for stream in streams:
            file.write(msgpack.packb(stream) if count > 1 else stream)
        return file.tell()


def read_segments(path: Path) -> Iterator[Segment]:
    """Read a file's containers one after another.

    Raises
    ------
    StreamError
        If the file is foreign, truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MANY))
            if magic != _MANY:
                yield _segment(magic + file.read(), lone=True)
                return
            size = path.stat().st_size
            parts = msgpack.Unpacker(file, max_buffer_size=size, max_bin_len=size)
            count = _whole(parts.unpack())
            if count < 2:
                raise ValueError("fewer than are ever written")
            for _ in range(count):
                yield _segment(parts.unpack())
            if file.read(1) or parts.tell() + len(_MANY) != size:
                raise ValueError("more than it says")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except StreamError as error:
        raise StreamError(f"{path}: {error}") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise StreamError(f"{path}: the segments are truncated or damaged ({error or type(error).__name__})") from None


def _segment(item: Any, *, lone: bool = False) -> Segment:
    start, stream = (None, item) if isinstance(item, bytes) else item
    if not isinstance(stream, bytes):
        raise ValueError("no container where one should be")
    info, _ = unpack_stream(stream)
    in_chain = None if info.chain is None else info.chain.start
    places = {place for place in (start, in_chain) if place is not None} or ({0} if lone else set())
    if len(places) != 1:
        raise ValueError("a segment's place is not what it should be")
    return Segment(_whole(places.pop()), info, stream)


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("not a number where one should be")
    return value
