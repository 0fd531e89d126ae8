"""One recording to one file that crosses the link, and back to frames; a long one in segments, so memory is bounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.datasets.dat import Dat
from bench.errors import BenchError, StreamError
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
from bench.runner.segments import read_segments, write_segments
from bench.runner.store import disk_errors, whole_file

# A stream says what its frames are, and so which of the shipped paradigms sent it.
_PARADIGMS = {Content.SPIKES: "cta", Content.FEATURES: "caas", Content.RESULT: "atc"}
_MOST_SPIKES = 1 << 27  # in one segment: as float32, which codecs get, they take 512 MB
Progress = Callable[[int, int, str], None]


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

    def segments(self, pixels: int, intra_period: int) -> list[Cut]:
        """The cut in parts that each fit into memory, with the instants of all following one another at the stride.

        A part holds whole intra periods where one fits, so that no more frames are coded intra than in one stream.
        """
        most = (_MOST_SPIKES // pixels - 2 * self.margin - 1) // self.stride + 1
        most = max(most - most % intra_period or most, 1)
        return [
            replace(self, start=self.start + first * self.stride, frames=min(most, self.frames - first))
            for first in range(0, self.frames, most)
        ]


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
    spike_rate: float | None,
    rate_point: RatePoint | None,
    progress: Progress,
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
    parts = cut.segments(info.height * info.width, coding.intra_period)
    camera = _Camera(encoder, paradigm, extractor, analyzer, rate_point, coding)
    opened = dataset.open(info.name)

    def segments() -> Iterator[tuple[int, bytes]]:
        for done, part in enumerate(parts):
            progress(done, len(parts), f"segment {done + 1}")
            stop = part.start + part.num_spikes
            if camera.content.is_spikes and part is not parts[-1]:
                stop = max(stop, parts[done + 1].start)  # no spike is lost where the stride is wider than the margins
            spikes = opened.spikes(part.start, stop)
            yield part.start, camera.stream(spikes, part.margin + part.stride * np.arange(part.frames), info.rate)

    written = write_segments(out, len(parts), segments())
    bpp = 8 * written / (cut.num_spikes * info.height * info.width)
    many = f" in {len(parts)} segments" if len(parts) > 1 else ""
    return (
        f"{out}: {written} bytes for {cut.num_spikes} spike frames of {info.width}x{info.height}, "
        f"{bpp:.5f} bits per spike ({encoder.spec} at {camera.rate_point}, {cut.frames} instants{many})"
    )


class _Camera:
    """What is before the link: a paradigm's stages up to its encoder."""

    def __init__(
        self,
        codec: Codec,
        paradigm: str,
        extractor: str,
        analyzer: str,
        rate_point: RatePoint | None,
        coding: CodingCondition,
    ) -> None:
        self.codec, self.coding = codec, coding
        stages = create(Paradigm, paradigm).wire(["reconstruction"])
        place = next(index for index, stage in enumerate(stages) if stage.kind is Kind.ENCODE)
        self.before, self.content = stages[:place], stages[place].content or Content.FEATURES
        self.extractor = create(Extractor, extractor)
        self.analyzer = create(Analyzer, analyzer or default_analyzer(extractor, "reconstruction"))
        self.rate_point = rate_point if rate_point is not None else codec.rate_points_for(self.content)[-1]

    def stream(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> bytes:
        """Run the stages on T x H x W spikes; gives one container."""
        value = spikes
        for stage in self.before:
            if stage.kind is Kind.EXTRACT:
                value = self.extractor.extract(value, instants, rate)
            else:
                value = self.analyzer.analyze(value)
        return self.codec.encode(
            value.astype(np.float32, copy=False), self.rate_point, self.coding, self.content
        ).stream


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
    progress: Progress,
) -> str:
    """Run the cloud's stages on a stream; an empty `extractor` gives what the codec decodes.

    Results of segments follow one another; of decoded spikes, which overlap by the margins, each is written once.
    """
    infos = [(start, unpack_stream(stream)[0]) for start, stream in read_segments(path)]
    info = infos[0][1]
    if any(replace(other, shape=info.shape) != info or other.shape[1:] != info.shape[1:] for _, other in infos):
        raise StreamError(f"{path}: its segments are not of one recording")
    cloud = _Cloud(codec_for_stream(info, codec), info.content, extractor, analyzer, spike_rate, stride, margin)
    ends = [infos[0][0], *(start + other.shape[0] for start, other in infos)]
    firsts = [cloud.first(start, end) for (start, _), end in zip(infos, ends, strict=False)]
    counts = [cloud.count(other.shape[0]) - first for (_, other), first in zip(infos, firsts, strict=True)]
    if min(counts) < 1:
        raise BenchError(f"{path}: {info.shape[0]} spike frames hold no instant with margin {margin}")

    def results() -> Iterator[np.ndarray]:
        for done, ((_, stream), first) in enumerate(zip(read_segments(path), firsts, strict=True)):
            progress(done, len(infos), f"segment {done + 1}")
            yield cloud.result(stream)[first:]

    shape = (sum(counts), *info.shape[1:])
    with disk_errors(out.parent):
        where = _write_frames(out, results(), shape)
    return (
        f"{where}: {shape[0]} frames of {shape[2]}x{shape[1]} from {path.stat().st_size} bytes of {info.codec} "
        f"({info.content.value})"
    )


class _Cloud:
    """What is behind the link: a decoder, and where an extractor is named the stages after it."""

    def __init__(
        self, codec: Codec, content: Content, extractor: str, analyzer: str, rate: float, stride: int, margin: int
    ) -> None:
        self.codec, self.raw, self.overlaps = codec, not extractor, content.is_spikes and not extractor
        self.content, self.rate, self.stride, self.margin = content, rate, stride, margin
        if not self.raw:
            self.stages = create(Paradigm, _PARADIGMS[content]).wire(["reconstruction"])
            self.extractor = create(Extractor, extractor)
            self.analyzer = create(Analyzer, analyzer or default_analyzer(extractor, "reconstruction"))

    def first(self, start: int, end: int) -> int:
        """The first frame of a segment from `start` on that is not in the segment before, which ends at `end`."""
        if self.overlaps and start > end:
            raise StreamError(f"no segment has the spikes from {end} to {start}")
        return end - start if self.overlaps else 0

    def count(self, frames: int) -> int:
        """How many frames a segment of so many coded ones gives."""
        return len(self._instants(frames)) if self.content.is_spikes and not self.raw else frames

    def result(self, stream: bytes) -> np.ndarray:
        """Decode one container, and run the stages."""
        decoded = self.codec.decode(stream)
        if self.raw:
            return decoded.frames
        instants = self._instants(len(decoded.frames))
        return behind_link(self.stages, decoded, self.extractor, self.analyzer, instants, self.rate)

    def _instants(self, frames: int) -> np.ndarray:
        return np.arange(self.margin, frames - self.margin, self.stride)


def _write_frames(out: Path, parts: Iterator[np.ndarray], shape: tuple[int, ...]) -> str:
    """Write frames as they come, as one .npy file or as pictures in a folder."""
    from PIL import Image

    from bench.interfaces import to_uint8

    if out.suffix == ".npy":
        with whole_file(out) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for frames in parts:
                file.write(np.ascontiguousarray(frames, "<f4").data)
        return str(out)
    out.mkdir(parents=True, exist_ok=True)
    index = itertools.count()
    for frames in parts:
        for frame in to_uint8(np.clip(frames, 0, 1)):
            Image.fromarray(frame).save(out / f"{next(index):04d}.png")
    return f"{out}/"
