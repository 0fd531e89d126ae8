'''The codec interface; this docstring is the adapter tutorial.

A codec turns K frames into bytes and back. This is a complete adapter::

    import zlib

    import numpy as np

    from bench.interfaces import Codec, CodingCondition, StreamInfo, to_uint8


    class Deflate(Codec):
        """8-bit frames through zlib, coarser steps at lower rates."""

        name = "deflate"
        rate_points = (32, 16, 8)  # quantisation steps, from the lowest rate to the highest

        def compress(self, frames: np.ndarray, rate_point: int, condition: CodingCondition) -> bytes:
            steps = to_uint8(frames) // rate_point
            return zlib.compress(steps.tobytes())

        def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
            steps = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(info.shape)
            levels = steps.astype(np.float32) * info.rate_point + info.rate_point / 2
            return np.clip(levels / 255, 0, 1)

`compress` returns the payload. The base class packs it into a container, whose header states the codec, its options,
the hash of its weights, the content, the shape and the rate point, with a checksum. `decompress` gets this header as
`info`. Any exception that it raises on a damaged payload is shown to the user as a one-line `StreamError`.

To try a codec while you write it: ``bench run --codec path/to/deflate.py:Deflate`` and ``bench conform
path/to/deflate.py:Deflate``. To publish it, register the class in the entry-point group ``bench.codecs``.

Everything else is optional: `Options` (typed options), `available` (version and hash, or why it cannot run here),
`accepts` (spikes or frames only), `rate_points_for` (other rate points for spikes), `check_rate_point`, `lookahead`
(for a codec that needs later frames), `together` (short segments in batches), `structures`, `default_chroma`,
`weights_sha256`, `preset`.
'''

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np

from bench.errors import BenchError, StreamError
from bench.interfaces.component import Component
from bench.interfaces.condition import CodingCondition, Structure
from bench.interfaces.container import (
    AnalysisChain,
    Content,
    RatePoint,
    StreamInfo,
    describe,
    fits_container,
    pack_stream,
    unpack_stream,
    weights_digest,
)
from bench.interfaces.values import as_array, as_bytes, as_number, plain, shape_text, stated_weights, wrong

T = TypeVar("T")


@dataclass(frozen=True)
class Compressed:
    """A payload and the encoder's estimate of its size.

    Attributes
    ----------
    payload
        The coded bytes, without the container's header.
    estimated_bits
        Bits by the likelihood of the codec's own entropy model, for the column of that name; None without a model.
    """

    payload: bytes
    estimated_bits: float | None = None


@dataclass(frozen=True)
class Decoded:
    """Decoded frames, and decoded motion for the analyzer if the codec codes it.

    Attributes
    ----------
    frames
        K x H x W float32 in [0, 1].
    motion
        K x 2 x H x W float32 in pixels, x then y, or None. It points backward: frame k at p is predicted from the
        decoded frame k - 1 at ``p + motion[k](p)``. It is NaN in frames that have none, such as intra frames. SCI's
        analyzer refines it (paper eq. 8).
    """

    frames: np.ndarray
    motion: np.ndarray | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 in hex over the shape and the float32 samples of the frames, then of the motion if there is any."""
        state = hashlib.sha256()
        for array in (self.frames, self.motion):
            if array is not None:
                state.update(repr(array.shape).encode())
                state.update(np.ascontiguousarray(array, "<f4").data)
        return state.hexdigest()


@dataclass(frozen=True)
class Encoded:
    """An encoded segment.

    Attributes
    ----------
    stream
        The container that crosses the link; its length is the rate.
    estimated_bits
        As in `Compressed`.
    info
        The container's header.
    """

    stream: bytes
    estimated_bits: float | None = None
    info: StreamInfo | None = field(default=None, compare=False)


class Codec(Component):
    """Base class of all codecs; `bench.interfaces.codec` holds a tutorial.

    Attributes
    ----------
    accepts
        What it codes: ``spikes``, ``frames`` (features and results), or both.
    structures
        Structures of a coding condition that it can code in.
    rate_points
        Its rate points, from the lowest rate to the highest: quantisers, qualities or names.
    default_chroma
        Chroma format of its bitstream, for the column `chroma`: ``400``, ``420 neutral``, or empty if it codes no
        pictures.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"spikes", "frames"})
    structures: ClassVar[frozenset[Structure]] = frozenset({"low_delay", "random_access"})
    rate_points: ClassVar[tuple[RatePoint, ...]]
    default_chroma: ClassVar[str] = "400"

    @abstractmethod
    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes | Compressed:
        """Code frames into a payload.

        Parameters
        ----------
        frames
            K x H x W float32 in [0, 1], {0, 1} if they are spikes. The codec itself quantises them.
        rate_point
            One that `check_rate_point` accepts.
        condition
            One that `check_condition` accepts.

        Raises
        ------
        BenchError
            For what a user can cause, such as a missing program.
        """

    @abstractmethod
    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray | Decoded:
        """Decode a payload from nothing but itself and the header: float32 frames in [0, 1] of shape `info.shape`."""

    @property
    def together(self) -> int:
        """Most short segments that a run gives `compress_all` and `decompress_all` at once; 1, the default: one.

        Only a codec with `weights_sha256` gets more, segments of up to 2^19 samples, and only on the local machine.
        """
        return 1

    def compress_all(
        self, segments: Sequence[np.ndarray], rate_points: Sequence[RatePoint], condition: CodingCondition
    ) -> Sequence[bytes | Compressed]:
        """Code segments of one shape, as `compress` does: a payload for each, of nothing but its frames."""
        return [self.compress(frames, point, condition) for frames, point in zip(segments, rate_points, strict=True)]

    def decompress_all(self, payloads: Sequence[bytes], infos: Sequence[StreamInfo]) -> Sequence[np.ndarray | Decoded]:
        """Decode payloads of segments of one shape, to the same frames as `decompress`."""
        return [self.decompress(payload, info) for payload, info in zip(payloads, infos, strict=True)]

    @property
    def preset(self) -> str:
        """Name of the preset, for rows and reports; by default the value of the option `preset`, if there is one."""
        return str(getattr(self.options, "preset", ""))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex; empty without weights."""
        return ""

    def rate_points_for(self, content: Content) -> tuple[RatePoint, ...]:
        """The rate points that a run uses by default for spikes, features or results, lowest rate first."""
        return self.rate_points

    def check_rate_point(self, rate_point: RatePoint) -> None:
        """Raise `BenchError` if the codec has no such rate point."""
        if rate_point not in self.rate_points:
            points = ", ".join(map(str, self.rate_points))
            raise BenchError(f"{self.name}: no rate point {rate_point!r} (it has: {points})")

    def takes(self, content: Content) -> bool:
        """Whether the codec can code this content."""
        return ("spikes" if content.is_spikes else "frames") in self.accepts

    def lookahead(self, condition: CodingCondition) -> float:
        """How many later frames may change what is sent for a frame; infinite if all of them may.

        ``low_delay`` requires 0, the default: a codec that looks ahead is refused under it.
        """
        return 0

    def check_condition(self, condition: CodingCondition) -> None:
        """Raise `BenchError` if the codec lacks the structure, or would look ahead in low delay."""
        ahead = self.lookahead(condition)
        if condition.structure not in self.structures:
            raise BenchError(
                f"{self.name} codes {' and '.join(sorted(self.structures))} only, not {condition.structure}"
            )
        if condition.structure == "low_delay" and ahead:
            far = "the whole recording" if math.isinf(ahead) else f"{ahead:g} frames"
            raise BenchError(
                f"{self.name} looks {far} ahead, and low_delay allows no look at later frames: "
                "use --structure random_access"
            )

    def default_condition(self) -> CodingCondition:
        """The default condition: ``low_delay``, or ``random_access`` for a codec that cannot code in low delay."""
        default = CodingCondition()
        try:
            self.check_condition(default)
        except BenchError:
            return CodingCondition(structure="random_access")
        return default

    def encode(
        self,
        frames: np.ndarray,
        rate_point: RatePoint,
        condition: CodingCondition,
        content: Content,
        chain: AnalysisChain | None = None,
    ) -> Encoded:
        """Code frames into one container, the file that crosses the link.

        Parameters
        ----------
        frames
            K x H x W float32 in [0, 1]; {0, 1} if `content` is spikes.
        rate_point, condition
            At what quality, and under which rules.
        content
            What the frames are: spikes, features or results.
        chain
            Extractor, analyzer and instants, to be written into the header; None if the codec stands alone.

        Raises
        ------
        BenchError
            If the codec does not take the content, the rate point or the condition; if the frames have another dtype,
            number of dimensions or range, or are too many for one container; or if `compress` raises one or does not
            return bytes.
        """
        return self.encode_all([frames], [rate_point], condition, content, chain)[0]

    def encode_all(
        self,
        segments: Sequence[np.ndarray],
        rate_points: Sequence[RatePoint],
        condition: CodingCondition,
        content: Content,
        chain: AnalysisChain | None = None,
    ) -> list[Encoded]:
        """Code several segments of one shape, each into a container of its own; see `encode` and `compress_all`."""
        _check_shapes(self.name, [frames.shape for frames in segments])
        if not self.takes(content):
            raise BenchError(f"{self.name} takes {' and '.join(sorted(self.accepts))} only, not {content.value}")
        points = [plain(point) for point in rate_points]
        for point in points:
            self.check_rate_point(point)
        self.check_condition(condition)
        for frames in segments:
            _check_frames(self.name, frames)
            if not fits_container(frames.shape):
                raise BenchError(
                    f"{self.name}: {frames.shape} frames are too many for one stream; code shorter segments"
                )
        # The codec gets copies, so it may change its input.
        copies = [frames.copy(order="C") for frames in segments]
        payloads: Sequence[bytes | Compressed]
        if self._in_batches(len(copies), "compress"):
            payloads = _one_each(self, "compress_all", self.compress_all(copies, points, condition), len(copies))
        else:
            payloads = [self.compress(*each, condition) for each in zip(copies, points, strict=True)]
        return [
            self._contained(compressed, frames.shape, point, content, chain)
            for compressed, frames, point in zip(payloads, segments, points, strict=True)
        ]

    def _contained(
        self,
        compressed: bytes | Compressed,
        shape: tuple[int, ...],
        rate_point: RatePoint,
        content: Content,
        chain: AnalysisChain | None,
    ) -> Encoded:
        """What `compress` returned, in a container."""
        if not isinstance(compressed, Compressed):
            compressed = Compressed(compressed)
        payload, estimate = as_bytes(self, "compress", compressed.payload), compressed.estimated_bits
        weights, (count, height, width) = weights_digest(stated_weights(self)), shape
        info = StreamInfo(self.name, self.options_text, weights, content, (count, height, width), rate_point, chain)
        estimate = None if estimate is None else as_number(self, "compress: estimated_bits", estimate)
        return Encoded(pack_stream(info, payload), estimate, info)

    def decode(self, stream: bytes) -> Decoded:
        """Decode one container.

        Raises
        ------
        StreamError
            If the stream is damaged, or was coded by another codec or with other weights, if the codec lacks the rate
            point that the header states, or if frames or motion have another shape than the header says or wrong
            values.
        BenchError
            If memory is short, or `decompress` returns something else than frames.
        """
        return self.decode_all([stream])[0]

    def decode_all(self, streams: Sequence[bytes]) -> list[Decoded]:
        """Decode several containers of segments of one shape; see `decode` and `decompress_all`."""
        infos, payloads = zip(*map(self._read, streams), strict=True)
        _check_shapes(self.name, [info.shape for info in infos])
        try:
            results: Sequence[np.ndarray | Decoded]
            if self._in_batches(len(streams), "decompress"):
                results = _one_each(self, "decompress_all", self.decompress_all(payloads, infos), len(infos))
            else:
                results = [self.decompress(*each) for each in zip(payloads, infos, strict=True)]
        except (BenchError, OSError):
            raise
        except MemoryError:
            raise BenchError(f"{self.name}: not enough memory to decode {infos[0].shape} frames") from None
        except Exception as error:
            raise StreamError(f"{self.name}: the payload does not decode: {describe(error)}") from error
        return [self._checked(decoded, info.shape) for decoded, info in zip(results, infos, strict=True)]

    def _in_batches(self, count: int, one: str) -> bool:
        """Whether so many segments are given to the method for several, not each to the method for `one`."""
        return count > 1 and self.together > 1 and _goes_with(type(self), one)

    def _read(self, stream: bytes) -> tuple[StreamInfo, bytes]:
        """Header and payload of a stream that this codec can decode."""
        info, payload = unpack_stream(stream)
        if info.codec != self.name:
            raise StreamError(f"the stream was made by '{info.codec}', not by '{self.name}'")
        weights = stated_weights(self)
        if info.weights != bytes.fromhex(weights)[: len(info.weights) or None]:
            raise StreamError(
                f"{self.name}: the stream was made with other weights "
                f"({info.weights.hex() or 'none'}, here {weights[:16] or 'none'})"
            )
        try:
            self.check_rate_point(info.rate_point)
        except BenchError as error:
            raise StreamError(f"{error} (in the stream's header)") from None
        return info, payload

    def _checked(self, decoded: np.ndarray | Decoded, shape: tuple[int, int, int]) -> Decoded:
        """What `decompress` returned, if it is K x H x W frames and fitting motion."""
        if not isinstance(decoded, Decoded):
            decoded = Decoded(decoded)
        frames, motion = as_array(self, "decompress", decoded.frames), decoded.motion
        if frames.shape != shape:
            raise StreamError(f"{self.name}: decoded {frames.shape} frames where the header says {shape}")
        try:
            _check_frames(self.name, frames)
        except BenchError as error:
            raise StreamError(f"{error} (as decoded)") from None
        if motion is not None:
            motion, (count, *sides) = as_array(self, "decompress: motion", motion), shape
            if motion.shape != (count, 2, *sides) or np.isinf(motion).any():  # NaN marks frames without motion
                requirement = f"{shape_text((count, 2, *sides))} numbers"
                raise StreamError(str(wrong(self, "decompress: motion", requirement, motion)))
            motion = np.ascontiguousarray(motion, np.float32)
        return Decoded(np.ascontiguousarray(frames), motion)


def _check_shapes(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    if len(set(shapes)) > 1:
        raise BenchError(f"{name}: segments of one batch have one shape, not {shapes[0]} and others")


def _goes_with(kind: type[Codec], one: str) -> bool:
    """Whether the method for several segments is of the class that the method for `one` is of, or of a class below it.

    A class that changes only how one segment is coded gets its segments one by one.
    """
    first = next(base for base in kind.__mro__ if {one, f"{one}_all"} & vars(base).keys())
    return f"{one}_all" in vars(first)


def _one_each(codec: Codec, what: str, values: Sequence[T], count: int) -> Sequence[T]:
    """The values, if there are as many as segments."""
    if not isinstance(values, Sequence) or len(values) != count:
        raise wrong(codec, what, f"a list of {count} values", values)
    return values


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Quantise float frames in [0, 1] to uint8 levels 0..255; halves are rounded up."""
    return (frames * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def from_uint8(frames: np.ndarray) -> np.ndarray:
    """Convert uint8 frames to float32 in [0, 1]."""
    return frames.astype(np.float32) / np.float32(255)


def _check_frames(name: str, frames: np.ndarray) -> None:
    if frames.ndim != 3 or frames.dtype != np.float32 or 0 in frames.shape:
        raise BenchError(f"{name}: frames must be K x H x W float32, not {frames.dtype} {frames.shape}")
    low, high = float(frames.min()), float(frames.max())
    if not (low >= 0.0 and high <= 1.0):
        raise BenchError(f"{name}: frames must lie in [0, 1], not [{low:g}, {high:g}]")
