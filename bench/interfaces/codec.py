'''The codec interface; this docstring is the adapter tutorial.

A codec turns K frames into bytes and back. A whole adapter::

    import zlib

    import numpy as np

    from bench.interfaces import Codec, CodingCondition, StreamInfo, to_uint8


    class Deflate(Codec):
        """8-bit frames through zlib, coarser steps at lower rates."""

        name = "deflate"
        rate_points = (32, 16, 8)  # quantisation steps; from the lowest rate to the highest

        def compress(self, frames: np.ndarray, rate_point: int, condition: CodingCondition) -> bytes:
            steps = to_uint8(frames) // rate_point
            return zlib.compress(steps.tobytes())

        def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
            steps = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(info.shape)
            levels = steps.astype(np.float32) * info.rate_point + info.rate_point / 2
            return np.clip(levels / 255, 0, 1)

That is all. `compress` returns the payload; the base class wraps it into the container, which carries shape,
rate point, options, weights' hash and a checksum, and hands them back to `decompress` as `info`. Whatever
`decompress` raises on a damaged payload reaches the user as a one-line `StreamError`.

To try one that is being written: ``bench run --codec path/to/deflate.py:Deflate``, ``bench conform
path/to/deflate.py:Deflate``. To publish one, name it in your package's entry points, group ``bench.codecs``.

Optional, with defaults that do nothing: `Options` (typed options), `available` (version and hash, or a
reason), `rate_points_for` (other rate points for spikes), `check_rate_point`, `default_chroma`,
`weights_sha256`, `preset`.
'''

from __future__ import annotations

import hashlib
import re
import zlib
from abc import abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

import msgpack
import numpy as np

from bench.errors import BenchError, StreamError
from bench.interfaces.component import Component
from bench.interfaces.condition import CodingCondition

RatePoint = int | float | str
MAGIC = b"SPK1"
_PREFIX = len(MAGIC) + 4
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# A container holds one segment. More frames or pixels than this are a damaged header, not a huge allocation.
_MAX_FRAMES = 1 << 16
_MAX_AREA = 1 << 24
_MAX_PIXELS = 1 << 30


class Content(Enum):
    """What the frames of a stream are, and so which paradigm sent it."""

    SPIKES = "spikes"
    FEATURES = "features"
    RESULT = "result"

    @property
    def is_spikes(self) -> bool:
        """True for binary spike frames, False for grey frames (features and results)."""
        return self is Content.SPIKES


@dataclass(frozen=True)
class StreamInfo:
    """What a container says about its payload.

    Attributes
    ----------
    codec, options
        Bare name and non-default options of the encoder's codec.
    weights
        First eight bytes of the weights' SHA-256; empty where the codec has no weights.
    content
        What the frames are.
    shape
        (K, H, W) of the frames.
    rate_point
        The point that the frames were coded at.
    """

    codec: str
    options: str
    weights: bytes
    content: Content
    shape: tuple[int, int, int]
    rate_point: RatePoint


@dataclass(frozen=True)
class Compressed:
    """A payload with what the encoder knows about it.

    Attributes
    ----------
    payload
        The bytes that cross the link, without the container.
    estimated_bits
        A model's own likelihood estimate, for its own column; None where there is none.
    """

    payload: bytes
    estimated_bits: float | None = None


@dataclass(frozen=True)
class Decoded:
    """Decoded frames with what else the decoder can give an analyzer.

    Attributes
    ----------
    frames
        K x H x W float32 in [0, 1].
    motion
        K x 2 x H x W float32, pixels from the previous decoded frame (paper eq. 8); None where there is none.
    """

    frames: np.ndarray
    motion: np.ndarray | None = None

    @property
    def sha256(self) -> str:
        """Hash over the frames' shape and float32 bytes, then over those of the motion where there is one."""
        state = hashlib.sha256()
        for array in (self.frames, self.motion):
            if array is not None:
                state.update(repr(array.shape).encode())
                state.update(np.ascontiguousarray(array, "<f4").data)
        return state.hexdigest()


@dataclass(frozen=True)
class Encoded:
    """One container as it crosses the link, with the encoder's estimate beside it."""

    stream: bytes
    estimated_bits: float | None = None
    info: StreamInfo | None = field(default=None, compare=False)


class Codec(Component):
    """Base of all codecs; see the module's docstring for the tutorial."""

    accepts: ClassVar[frozenset[str]] = frozenset({"spikes", "frames"})
    rate_points: ClassVar[tuple[RatePoint, ...]]
    default_chroma: ClassVar[str] = "400"

    @abstractmethod
    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes | Compressed:
        """Code K x H x W float32 frames in [0, 1]; the codec quantises."""

    @abstractmethod
    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray | Decoded:
        """Give back `info.shape` float32 frames in [0, 1] from the payload alone."""

    @property
    def preset(self) -> str:
        """The preset that rows and reports print; by default the option of that name."""
        return str(getattr(self.options, "preset", ""))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex, empty where there are none."""
        return ""

    def rate_points_for(self, content: Content) -> tuple[RatePoint, ...]:
        """Rate points, from the lowest rate to the highest, that a run uses for this content by default."""
        return self.rate_points

    def check_rate_point(self, rate_point: RatePoint) -> None:
        """Raise `BenchError` if the codec has no such rate point."""
        if rate_point not in self.rate_points:
            points = ", ".join(map(str, self.rate_points))
            raise BenchError(f"{self.name}: no rate point {rate_point!r} (it has: {points})")

    def takes(self, content: Content) -> bool:
        """Tell whether the codec codes this content."""
        return ("spikes" if content.is_spikes else "frames") in self.accepts

    def encode(
        self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition, content: Content
    ) -> Encoded:
        """Code frames into one container, the file that crosses the link.

        Parameters
        ----------
        frames
            K x H x W float32 in [0, 1]; {0, 1} where `content` is spikes.

        Raises
        ------
        BenchError
            If the codec does not take the content or the rate point, or the frames are not as stated.
        """
        if not self.takes(content):
            raise BenchError(f"{self.name} takes {' and '.join(sorted(self.accepts))} only, not {content.value}")
        self.check_rate_point(rate_point)
        _check_frames(self.name, frames)
        if not _holds(frames.shape):
            raise BenchError(f"{self.name}: {frames.shape} frames are too many for one stream; code shorter segments")
        compressed = self.compress(frames, rate_point, condition)
        if not isinstance(compressed, Compressed):
            compressed = Compressed(compressed)
        height, width = frames.shape[1:]
        weights = bytes.fromhex(self.weights_sha256)[:8]
        info = StreamInfo(self.name, self.options_text, weights, content, (len(frames), height, width), rate_point)
        return Encoded(pack_stream(info, compressed.payload), compressed.estimated_bits, info)

    def decode(self, stream: bytes) -> Decoded:
        """Decode one container.

        Raises
        ------
        StreamError
            If the stream is damaged, of another codec or of other weights, or decodes to other than what its
            header says. Never returns doubtful frames.
        """
        info, payload = unpack_stream(stream)
        if info.codec != self.name:
            raise StreamError(f"the stream was made by '{info.codec}', not by '{self.name}'")
        if info.weights != bytes.fromhex(self.weights_sha256)[:8]:
            raise StreamError(
                f"{self.name}: the stream was made with other weights "
                f"({info.weights.hex() or 'none'}, here {self.weights_sha256[:16] or 'none'})"
            )
        self.check_rate_point(info.rate_point)
        try:
            decoded = self.decompress(payload, info)
        except (BenchError, OSError):
            raise
        except MemoryError:
            raise BenchError(f"{self.name}: not enough memory to decode {info.shape} frames") from None
        except Exception as error:
            raise StreamError(f"{self.name}: the payload does not decode: {_one_line(error)}") from error
        if not isinstance(decoded, Decoded):
            decoded = Decoded(decoded)
        if decoded.frames.shape != info.shape:
            raise StreamError(f"{self.name}: decoded {decoded.frames.shape} frames where the header says {info.shape}")
        try:
            _check_frames(self.name, decoded.frames)
        except BenchError as error:
            raise StreamError(f"{error} (as decoded)") from None
        return Decoded(np.ascontiguousarray(decoded.frames), decoded.motion)


def pack_stream(info: StreamInfo, payload: bytes) -> bytes:
    """Build a container: magic, CRC-32 of all that follows, msgpack header, payload."""
    header = msgpack.packb(
        [info.codec, info.options, info.weights, info.content.value[0], *info.shape, info.rate_point]
    )
    body = header + payload
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack_stream(stream: bytes) -> tuple[StreamInfo, bytes]:
    """Split a container into header and payload.

    Raises
    ------
    StreamError
        If it is foreign, truncated or damaged.
    """
    if stream[: len(MAGIC)] != MAGIC:
        raise StreamError(f"not a stream of this suite (it starts with {stream[:4].hex() or 'nothing'})")
    body = stream[_PREFIX:]
    if len(stream) < _PREFIX or zlib.crc32(body) != int.from_bytes(stream[len(MAGIC) : _PREFIX], "little"):
        raise StreamError(f"the stream of {len(stream)} bytes is truncated or damaged (checksum differs)")
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=max(len(body), 1))
        unpacker.feed(body)
        codec, options, weights, content, *shape, rate_point = unpacker.unpack()
        # A name is a name, never a path: it selects the code that decodes.
        if not _NAME.fullmatch(codec) or not isinstance(options, str) or not isinstance(weights, bytes):
            raise ValueError("codec, options or weights are not what they should be")
        if not isinstance(rate_point, int | float | str) or not all(isinstance(side, int) for side in shape):
            raise ValueError("rate point or shape are not what they should be")
        count, height, width = shape
        by_initial = {item.value[0]: item for item in Content}
        info = StreamInfo(codec, options, weights, by_initial[content], (count, height, width), rate_point)
        payload = body[unpacker.tell() :]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise StreamError(f"the stream's header is malformed: {_one_line(error)}") from None
    if min(info.shape) < 1 or not _holds(info.shape):
        raise StreamError(f"the stream's header states an impossible shape {info.shape}")
    return info, payload


def _holds(shape: tuple[int, ...]) -> bool:
    """Whether one container may hold frames of this shape."""
    count, height, width = shape
    return count <= _MAX_FRAMES and height * width <= _MAX_AREA and count * height * width <= _MAX_PIXELS


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Quantise float frames in [0, 1] to 8 bits, rounding half up."""
    return (frames * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def from_uint8(frames: np.ndarray) -> np.ndarray:
    """Turn 8-bit frames into float32 in [0, 1]."""
    return frames.astype(np.float32) / np.float32(255)


def _check_frames(name: str, frames: np.ndarray) -> None:
    if frames.ndim != 3 or frames.dtype != np.float32 or 0 in frames.shape:
        raise BenchError(f"{name}: frames must be K x H x W float32, not {frames.dtype} {frames.shape}")
    low, high = float(frames.min()), float(frames.max())
    if not (low >= 0.0 and high <= 1.0):
        raise BenchError(f"{name}: frames must lie in [0, 1], not [{low:g}, {high:g}]")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
