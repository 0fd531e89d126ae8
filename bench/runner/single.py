"""One recording to one file that crosses the link, and back to frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.dat import Dat
from bench.errors import BenchError
from bench.interfaces import (
    Analyzer,
    Codec,
    CodingCondition,
    Content,
    Dataset,
    Extractor,
    Kind,
    Paradigm,
    RatePoint,
    unpack_stream,
)
from bench.registry import codec_for_stream, create
from bench.runner.execute import behind_link
from bench.runner.plan import default_analyzer
from bench.runner.store import disk_errors, write_atomic

# A stream says what its frames are, and so which of the shipped paradigms sent it.
_PARADIGMS = {Content.SPIKES: "cta", Content.FEATURES: "caas", Content.RESULT: "atc"}
_MOST_PIXELS = 1 << 30  # one stream's spikes as float32 take four bytes each


@dataclass(frozen=True)
class Cut:
    """Which part of a recording is coded: T = margin + (frames - 1) * stride + 1 + margin from `start` on."""

    start: int
    frames: int
    stride: int
    margin: int

    def fitted(self, name: str, num_spikes: int) -> Cut:
        """The same cut with `frames` filled in; raises `BenchError` where it does not fit."""
        room = (num_spikes - self.start - 2 * self.margin - 1) // self.stride + 1
        frames = self.frames or room
        if not 1 <= frames <= room:
            raise BenchError(
                f"{name}: {num_spikes} spike frames from {self.start} on hold {max(room, 0)} instants at stride "
                f"{self.stride} with margin {self.margin}, not {max(frames, 1)}"
            )
        return Cut(self.start, frames, self.stride, self.margin)

    @property
    def num_spikes(self) -> int:
        """T."""
        return 2 * self.margin + (self.frames - 1) * self.stride + 1


def encode_recording(
    recording: Path,
    out: Path,
    cut: Cut,
    *,
    coding: CodingCondition,
    codec: str,
    paradigm: str,
    extractor: str,
    analyzer: str,
    size: str,
    spike_rate: float,
    rate_point: RatePoint | None,
) -> str:
    """Run the camera's stages on a .dat file and write the stream; returns one line for the user."""
    encoder = create(Codec, codec)
    state = encoder.available()
    if not state.ok:
        raise BenchError(f"{encoder.name}: {state.reason}")
    dataset: Dataset = Dat(root=str(recording), size=size, rate=spike_rate)
    info = next((item for item in dataset.sequences() if item.name == recording.stem), None)
    if info is None:
        raise BenchError(f"{recording}: no such recording")
    cut = cut.fitted(recording.name, info.num_spikes)
    if cut.num_spikes * info.height * info.width > _MOST_PIXELS:
        raise BenchError(
            f"{recording}: {cut.num_spikes} spike frames of {info.width}x{info.height} are too many for one stream; "
            "code it in parts with --start and --frames"
        )
    value = dataset.open(info.name).spikes(cut.start, cut.start + cut.num_spikes)
    instants = cut.margin + cut.stride * np.arange(cut.frames)
    content = Content.SPIKES
    for stage in create(Paradigm, paradigm).wire(["reconstruction"]):
        if stage.kind is Kind.ENCODE:
            content = stage.content or content
            break
        if stage.kind is Kind.EXTRACT:
            value = create(Extractor, extractor).extract(value, instants, info.rate)
        else:
            value = create(Analyzer, analyzer or default_analyzer(extractor, "reconstruction")).analyze(value)
    point = rate_point if rate_point is not None else encoder.rate_points_for(content)[-1]
    stream = encoder.encode(value.astype(np.float32, copy=False), point, coding, content).stream
    with disk_errors(out.parent):
        write_atomic(out, stream)
    bpp = 8 * len(stream) / (cut.num_spikes * info.height * info.width)
    return (
        f"{out}: {len(stream)} bytes for {cut.num_spikes} spike frames of {info.width}x{info.height}, "
        f"{bpp:.5f} bits per spike ({encoder.spec} at {point}, {cut.frames} instants)"
    )


def decode_stream(
    path: Path,
    out: Path,
    *,
    codec: str,
    extractor: str,
    analyzer: str,
    spike_rate: float,
    stride: int,
    margin: int,
) -> str:
    """Run the cloud's stages on a stream; an empty `extractor` gives what the codec decodes."""
    try:
        stream = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    info, _ = unpack_stream(stream)
    decoded = codec_for_stream(info, codec).decode(stream)
    frames = decoded.frames
    if extractor:
        instants = np.arange(margin, max(len(frames) - margin, margin + 1), stride)
        if info.content is Content.SPIKES and instants[-1] >= len(frames):
            raise BenchError(f"{path}: {len(frames)} spike frames hold no instant with margin {margin}")
        stages = create(Paradigm, _PARADIGMS[info.content]).wire(["reconstruction"])
        analyzer = analyzer or default_analyzer(extractor, "reconstruction")
        parts = create(Extractor, extractor), create(Analyzer, analyzer)
        frames = behind_link(stages, decoded, *parts, instants, spike_rate)
    with disk_errors(out.parent):
        where = _write_frames(out, frames)
    count, height, width = frames.shape
    return (
        f"{where}: {count} frames of {width}x{height} from {len(stream)} bytes of {info.codec} ({info.content.value})"
    )


def _write_frames(out: Path, frames: np.ndarray) -> str:
    from PIL import Image

    from bench.interfaces import to_uint8

    if out.suffix == ".npy":
        out.parent.mkdir(parents=True, exist_ok=True)
        np.save(out, frames, allow_pickle=False)
        return str(out)
    out.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(to_uint8(np.clip(frames, 0, 1))):
        Image.fromarray(frame).save(out / f"{index:04d}.png")
    return f"{out}/"
