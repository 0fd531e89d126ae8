"""What the conventional video codecs share: QP rate points, padding, raw video, and ffmpeg, which runs five of them."""

from __future__ import annotations

import functools
import re
from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.interfaces import (
    Availability,
    Codec,
    CodingCondition,
    ComponentOptions,
    Content,
    RatePoint,
    StreamInfo,
    from_uint8,
    to_uint8,
)
from bench.tools import ffmpeg_binary, run_tool

FRAME_RATE = 50  # nominal: QP is constant, so it changes header bits at most
_CROPPED = 128  # a decoder may hold this many more rows and columns than it outputs
PixelFormat = Literal["gray", "yuv420p", "yuv420p10le"]


class VideoOptions(ComponentOptions):
    """Options of every conventional codec.

    One thread is the default because some encoders' bits depend on the number of threads.
    """

    threads: int = Field(default=1, ge=1)
    """Threads of the encoder; some encoders' bits depend on their number."""
    limit_seconds: float = Field(default=3600.0, gt=0, exclude=True)
    """Seconds after which an encoder or decoder is stopped."""


class QpCodec(Codec):
    """A codec whose rate points are constant quantisation parameters (QP), listed from the lowest rate to the highest.

    The default points were chosen on the training part of s-reds. They go from a coarse picture to the QP below which a
    codec spends bits on the noise of TFP features, so that PSNR falls as the rate rises. On spikes they go from
    illegible to nearly lossless.

    Attributes
    ----------
    spike_rate_points
        Default rate points for spikes (CTA).
    qp_range
        Lowest and highest QP that the encoder takes.
    """

    rate_points = (47, 42, 37, 32)
    spike_rate_points: ClassVar[tuple[int, ...]] = (52, 48, 44, 40)
    qp_range: ClassVar[tuple[int, int]] = (0, 51)

    def rate_points_for(self, content: Content) -> tuple[RatePoint, ...]:
        """The default rate points; those for spikes are coarser, around the QPs of the paper's Table III."""
        return self.spike_rate_points if content.is_spikes else self.rate_points

    def check_rate_point(self, rate_point: RatePoint) -> None:
        """Raise `BenchError` unless the rate point is a whole number within `qp_range`."""
        low, high = self.qp_range
        if not isinstance(rate_point, int) or not low <= rate_point <= high:
            raise BenchError(
                f"{self.name}: the quantiser must be a whole number from {low} to {high}, not {rate_point!r}"
            )


def pad_size(height: int, width: int, align: int, minimum: int) -> tuple[int, int]:
    """Round both sides up to a multiple of `align`, at least `minimum`."""
    up = [max(-(-side // align) * align, minimum) for side in (height, width)]
    return up[0], up[1]


def pad_frames(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend K x h x w frames to K x height x width by repeating the last row and column."""
    widths = ((0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2]))
    return np.pad(frames, widths, mode="edge")


def to_planes(frames: np.ndarray, pixel_format: PixelFormat) -> bytes:
    """Write K x H x W uint8 luma as raw video; formats with chroma get neutral chroma, and need even H and W."""
    if pixel_format == "gray":
        return frames.tobytes()
    count, height, width = frames.shape
    ten_bit = pixel_format == "yuv420p10le"
    kind, scale, neutral = ("<u2", 4, 512) if ten_bit else ("u1", 1, 128)
    planes = np.full((count, height * width * 3 // 2), neutral, kind)
    np.multiply(frames.reshape(count, -1), scale, out=planes[:, : height * width], dtype=kind)
    return planes.tobytes()


def from_planes(data: bytes, height: int, width: int, pixel_format: PixelFormat) -> np.ndarray:
    """Read the luma of raw video as K x H x W uint8; ten bits are rounded to eight.

    Raises
    ------
    BenchError
        If the data does not hold whole frames.
    """
    ten_bit = pixel_format == "yuv420p10le"
    samples = height * width if pixel_format == "gray" else height * width * 3 // 2
    values = np.frombuffer(data, "<u2" if ten_bit else "u1")
    if values.size % samples:
        raise BenchError(f"{len(data)} bytes are not whole {width}x{height} {pixel_format} frames")
    luma = values.reshape(-1, samples)[:, : height * width]
    if ten_bit:
        luma = np.minimum((luma + 2) >> 2, 255).astype(np.uint8)
    return luma.reshape(-1, height, width)


@functools.cache
def _ffmpeg_facts() -> tuple[str, frozenset[str]]:
    """Version, and names of all encoders."""
    version, _ = run_tool([ffmpeg_binary(), "-version"], limit_seconds=30)
    listing, _ = run_tool([ffmpeg_binary(), "-hide_banner", "-encoders"], limit_seconds=30)
    encoders = re.findall(r"^ [A-Z.]{6} (\S+)", listing.decode(errors="replace"), re.MULTILINE)
    stated = re.match(r"ffmpeg version (\S+)", version.decode(errors="replace"))
    if stated is None:
        raise BenchError(f"{ffmpeg_binary()} does not say that it is ffmpeg")
    return stated[1], frozenset(encoders)


class FfmpegCodec(Codec):
    """A codec that ffmpeg encodes and decodes through pipes, one elementary stream per segment.

    A subclass sets the attributes below, and maps rate point and condition to the encoder's options.

    Attributes
    ----------
    encoder, muxer, pixel_format
        ffmpeg's names of them.
    align, min_side
        Frames are padded until both sides are multiples of `align` and at least `min_side`.
    """

    encoder: ClassVar[str]
    muxer: ClassVar[str]
    pixel_format: ClassVar[PixelFormat]
    align: ClassVar[int] = 8
    min_side: ClassVar[int] = 16

    Options = VideoOptions

    @abstractmethod
    def encoder_options(self, rate_point: RatePoint, condition: CodingCondition) -> dict[str, object]:
        """Output options of ffmpeg for a rate point and condition, besides codec, format and threads."""

    def surplus(self, count: int, condition: CodingCondition) -> int:
        """Number of frames to append to the `count` frames that are coded; their packets are dropped."""
        return 0

    def available(self) -> Availability:
        """Whether ffmpeg has the encoder; version and hash are those of ffmpeg, which contains its library."""
        try:
            version, encoders = _ffmpeg_facts()
        except BenchError as error:
            return Availability(False, reason=str(error))
        if self.encoder not in encoders:
            reason = f"{ffmpeg_binary()} has no encoder {self.encoder}; `pip install imageio-ffmpeg` brings one"
            return Availability(False, version, reason=reason)
        return Availability(True, f"{self.encoder} in ffmpeg {version}", file_sha256(ffmpeg_binary()))

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes:
        """Encode K frames; raises `BenchError` if ffmpeg fails or its log counts another number of frames."""
        import ffmpeg

        height, width = pad_size(frames.shape[1], frames.shape[2], self.align, self.min_side)
        surplus = self.surplus(len(frames), condition)
        sequence = np.concatenate([frames, np.repeat(frames[-1:], surplus, axis=0)]) if surplus else frames
        raw = to_planes(pad_frames(to_uint8(sequence), height, width), self.pixel_format)
        source = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt=self.pixel_format, s=f"{width}x{height}", framerate=FRAME_RATE
        )
        target = source.output(
            "pipe:",
            format=self.muxer,
            vcodec=self.encoder,
            pix_fmt=self.pixel_format,
            threads=self.options.threads,
            fps_mode="passthrough",
            **self.encoder_options(rate_point, condition),
            **({"bsf:v": f"noise=drop='gte(n,{len(frames)})'"} if surplus else {}),
        )
        stream, log = self._run(target, raw)
        counts = re.findall(r"frame=\s*(\d+)", log)
        if not counts or int(counts[-1]) != len(frames):
            number = counts[-1] if counts else "no"
            raise BenchError(f"{self.name}: the encoder's log counts {number} frames, not {len(frames)}")
        return stream

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Decode with ffmpeg and cut the padding off; raises `BenchError` if it does not give K frames."""
        import ffmpeg

        count, height, width = info.shape
        padded = pad_size(height, width, self.align, self.min_side)
        # The payload's own headers may ask for larger or for endless frames.
        area = (padded[0] + _CROPPED) * (padded[1] + _CROPPED)
        source = ffmpeg.input("pipe:", format=self.muxer, threads=1, err_detect="explode", max_pixels=area)
        most = (count + 1) * len(to_planes(np.zeros((1, *padded), np.uint8), self.pixel_format))
        target = source.output("pipe:", format="rawvideo", pix_fmt=self.pixel_format, fps_mode="passthrough", fs=most)
        raw, _ = self._run(target, payload)
        decoded = from_planes(raw, *padded, self.pixel_format)
        if len(decoded) != count:
            raise BenchError(f"{self.name}: {len(decoded)} frames decoded where the header says {count}")
        return from_uint8(decoded[:, :height, :width])

    def _run(self, target: object, data: bytes) -> tuple[bytes, str]:
        import ffmpeg

        arguments = ffmpeg.compile(target, cmd=str(ffmpeg_binary()))
        quiet = [arguments[0], "-hide_banner", "-nostdin", "-xerror", "-loglevel", "error", "-stats"]
        return run_tool([*quiet, *arguments[1:]], stdin=data, limit_seconds=self.options.limit_seconds)


def library_parameters(parameters: dict[str, object]) -> str:
    """Write parameters as ``key=value:key=value`` for ffmpeg's -<library>-params options."""
    return ":".join(f"{key}={value}" for key, value in parameters.items())
