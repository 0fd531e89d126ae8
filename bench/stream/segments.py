"""Files of several streams: the segments of a recording that is too long for one stream.

Such a file has the four bytes ``SPKL``, and then in msgpack the number of segments and their containers. Each container
has a checksum of its own, and states its place in the recording; the number of segments reveals a truncated file. In
files of earlier versions, whose containers do not state their place, a pair stands for each container: the index of the
segment's first spike frame, and the container.
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
        Index of its first spike frame in the recording; 0 for a single stream that does not state it.
    info
        Its header.
    stream
        The bytes of the container.
    """

    start: int
    info: StreamInfo
    stream: bytes


def write_segments(path: Path, count: int, streams: Iterator[bytes]) -> int:
    """Write containers one by one; returns the size of the file in bytes.

    The file appears only when it is complete. A single container is written as it is, without a header around it.

    Parameters
    ----------
    count
        Number of containers.
    streams
        The containers.

    Raises
    ------
    BenchError
        If the file cannot be written.
    """
    with write_errors(path), whole_file(path) as file:
        if count > 1:
            file.write(_MANY + msgpack.packb(count))
        for stream in streams:
            file.write(msgpack.packb(stream) if count > 1 else stream)
        return file.tell()


def read_segments(path: Path) -> Iterator[Segment]:
    """Read the containers of a file one by one.

    Raises
    ------
    StreamError
        If the file is no stream of this suite, or is truncated or damaged.
    BenchError
        If the file is missing or unreadable.
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
                raise ValueError("fewer than two segments")
            for _ in range(count):
                yield _segment(parts.unpack())
            if file.read(1) or parts.tell() + len(_MANY) != size:
                raise ValueError("more bytes than its segments have")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except StreamError as error:
        raise StreamError(f"{path}: {error}") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise StreamError(f"{path}: the segments are truncated or damaged ({error or type(error).__name__})") from None


def _segment(item: Any, *, lone: bool = False) -> Segment:
    start, stream = (None, item) if isinstance(item, bytes) else item
    if not isinstance(stream, bytes):
        raise ValueError("a container is expected")
    info, _ = unpack_stream(stream)
    in_chain = None if info.chain is None else info.chain.start
    places = {place for place in (start, in_chain) if place is not None} or ({0} if lone else set())
    if len(places) != 1:
        raise ValueError("a segment's place is missing or contradictory")
    return Segment(_whole(places.pop()), info, stream)


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a number is expected")
    return value
