"""The container: a coded segment with a header that says how to decode and analyze it (layout: docs/adapters.md).

Version 2 also states the analysis chain. Version 1, which does not, can still be read.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from dataclasses import dataclass
from enum import Enum

import msgpack

from bench.errors import StreamError

RatePoint = int | float | str
MAGIC = b"SPK2"
MAGIC_1 = b"SPK1"
_PREFIX = len(MAGIC) + 4
_WEIGHTS = 4  # bytes of the weights' SHA-256 that a header states
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Limits of one container, which holds one segment. A header that states more is damaged: no memory is allocated for it.
MAX_FRAMES = 1 << 16
_MAX_AREA = 1 << 24
_MAX_PIXELS = 1 << 30


class Content(Enum):
    """What the frames of a stream are: spikes (CTA), features (CAAS) or results (ATC)."""

    SPIKES = "spikes"
    FEATURES = "features"
    RESULT = "result"

    @property
    def is_spikes(self) -> bool:
        """True for binary spike frames; False for grey frames, which are features and results."""
        return self is Content.SPIKES


@dataclass(frozen=True)
class AnalysisChain:
    """Extractor, analyzer and coding instants of a stream, so that the cloud can turn it into pictures.

    Attributes
    ----------
    extractor
        Spec of the extractor. It runs on the camera (features, results) or in the cloud (spikes).
    analyzer
        Spec of the analyzer for pictures; empty for the extractor's default analyzer.
    weights
        First four bytes of a SHA-256 over the weights of both (`weights_digest`); empty if neither has weights.
    first_instant
        The first coding instant, as an index of the recording's spike frames.
    stride
        Spike frames from one coding instant to the next.
    margin
        Spike frames of the segment before its first coding instant.
    spike_rate
        Spikes per frame of a pixel at unit luminance. Only streams of spikes state it; None for features and results.
    """

    extractor: str
    analyzer: str
    weights: bytes
    first_instant: int
    stride: int
    margin: int
    spike_rate: float | None = None

    @property
    def start(self) -> int:
        """Index of the segment's first spike frame in the recording."""
        return self.first_instant - self.margin


@dataclass(frozen=True)
class StreamInfo:
    """The header of a container.

    Attributes
    ----------
    codec, options
        Name of the codec without options, and its non-default options as ``key=value,key=value``.
    weights
        First four bytes of the SHA-256 of the codec's weights (eight in version 1); empty without weights.
    content
        What the frames are.
    shape
        (K, H, W) of the frames.
    rate_point
        The rate point that the frames were coded at.
    chain
        The analysis chain; None in version 1, and if a codec alone coded the frames.
    """

    codec: str
    options: str
    weights: bytes
    content: Content
    shape: tuple[int, int, int]
    rate_point: RatePoint
    chain: AnalysisChain | None = None


def weights_digest(*sha256: str) -> bytes:
    """The four bytes by which a header identifies weights; empty without weights.

    For one part they are the first bytes of its hash; for several, those of the SHA-256 of their hashes.

    Parameters
    ----------
    sha256
        SHA-256 of each part's weights in hex; empty for a part without weights.
    """
    if len(sha256) == 1 or not any(sha256):
        return bytes.fromhex(sha256[0] if sha256 else "")[:_WEIGHTS]
    return hashlib.sha256(" ".join(sha256).encode()).digest()[:_WEIGHTS]


def pack_stream(info: StreamInfo, payload: bytes) -> bytes:
    """Build a container: magic, CRC-32 of everything after it, msgpack header, payload."""
    fields = [info.codec, info.options, _number(info.weights), info.content.value[0], *info.shape, info.rate_point]
    if (chain := info.chain) is not None:
        fields += [chain.extractor, chain.analyzer, _number(chain.weights)]
        fields += [chain.first_instant, chain.stride, chain.margin]
        fields += [] if chain.spike_rate is None else [chain.spike_rate]
    body = msgpack.packb(fields) + payload
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack_stream(stream: bytes) -> tuple[StreamInfo, bytes]:
    """Split a container into header and payload.

    Raises
    ------
    StreamError
        If it is not a container, truncated or damaged, or its header states a shape beyond the limits.
    """
    magic = stream[: len(MAGIC)]
    if magic not in (MAGIC, MAGIC_1):
        raise StreamError(f"not a stream of this suite (it starts with {magic.hex() or 'nothing'})")
    body = stream[_PREFIX:]
    if len(stream) < _PREFIX or zlib.crc32(body) != int.from_bytes(stream[len(MAGIC) : _PREFIX], "little"):
        raise StreamError(f"the stream of {len(stream)} bytes is truncated or damaged (checksum differs)")
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=max(len(body), 1))
        unpacker.feed(body)
        info = _info(unpacker.unpack(), first_version=magic == MAGIC_1)
        payload = body[unpacker.tell() :]
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.UnpackException) as error:
        raise StreamError(f"the stream's header is malformed: {describe(error)}") from None
    if min(info.shape) < 1 or not fits_container(info.shape):
        raise StreamError(f"the stream's header states an impossible shape {info.shape}")
    return info, payload


def fits_container(shape: tuple[int, ...]) -> bool:
    """Whether one container may hold frames of this shape, (K, H, W)."""
    count, height, width = shape
    return count <= MAX_FRAMES and height * width <= _MAX_AREA and count * height * width <= _MAX_PIXELS


def describe(error: BaseException) -> str:
    """An exception's type and message as one line, cut to 200 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _info(fields: list[object], *, first_version: bool) -> StreamInfo:
    """Check every field of a header; raises ValueError or TypeError for a wrong one."""
    codec, options, weights, content, *shape, rate_point = fields[:8]
    # The name selects the code that decodes, so it must not be a path.
    if not isinstance(codec, str) or not _NAME.fullmatch(codec) or not isinstance(options, str):
        raise ValueError("codec or options are not what they should be")
    if isinstance(rate_point, bool) or not isinstance(rate_point, int | float | str):
        raise ValueError("the rate point is not what it should be")
    count, height, width = shape
    if not isinstance(count, int) or not isinstance(height, int) or not isinstance(width, int):
        raise ValueError("the shape is not what it should be")
    hashed = _bytes_of(weights, first_version)
    what = {item.value[0]: item for item in Content}[content]  # type: ignore[index]
    chain = None if first_version or len(fields) == 8 else _chain(fields[8:], what)
    if first_version and len(fields) != 8:
        raise ValueError("more fields than version 1 has")
    return StreamInfo(codec, options, hashed, what, (count, height, width), rate_point, chain)


def _chain(fields: list[object], content: Content) -> AnalysisChain:
    extractor, analyzer, weights, first, stride, margin, *rest = fields
    if not isinstance(extractor, str) or not isinstance(analyzer, str):
        raise ValueError("extractor or analyzer are not what they should be")
    rate: float | None = None
    if content.is_spikes:
        (stated,) = rest
        if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 < stated < math.inf:
            raise ValueError("the spike rate is not what it should be")
        rate = stated
    elif rest:
        raise ValueError("more fields than there should be")
    chain = AnalysisChain(
        extractor, analyzer, _bytes_of(weights), _natural(first), _natural(stride), _natural(margin), rate
    )
    if chain.stride < 1 or chain.start < 0:
        raise ValueError("stride or margin are not what they should be")
    return chain


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a number is not what it should be")
    return value


def _number(weights: bytes) -> int | None:
    """Four bytes as a number, which msgpack stores in one byte less than as bytes; None for no bytes."""
    return int.from_bytes(weights, "big") if weights else None


def _bytes_of(value: object, first_version: bool = False) -> bytes:
    if first_version:
        if not isinstance(value, bytes):
            raise ValueError("weights are not what they should be")
        return value
    return b"" if value is None else _natural(value).to_bytes(_WEIGHTS, "big")
