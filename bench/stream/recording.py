"""Encodes one recording into one file, and decodes such files; long recordings in segments, which bounds the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.chain import Chain, to_spikes
from bench.datasets.dat import one_recording
from bench.errors import BenchError, StreamError
from bench.interfaces import (
    Codec,
    CodingCondition,
    Content,
    RatePoint,
    SequenceInfo,
    checked,
)
from bench.interfaces.container import MAX_FRAMES
from bench.progress import Progress
from bench.rates import own_point
from bench.registry import codec_for_stream, create
from bench.sampling import Sampling
from bench.spikes.exposure import DARK
from bench.stream.analysis import Analysis, StatedChain, analysis_of
from bench.stream.outputs import kind_of_output, write_frames
from bench.stream.segments import Segment, read_segments, write_segments

# The paradigm that runs the cloud's stages for a content.
_PARADIGMS = {Content.SPIKES: "cta", Content.FEATURES: "caas", Content.RESULT: "atc"}
_MOST_SPIKES = 1 << 27  # in one segment: as float32, the type that codecs get, they take 512 MB


@dataclass(frozen=True)
class Cut:
    """The part of a recording that is coded: T = 2 margin + (frames - 1) stride + 1 spike frames.

    Attributes
    ----------
    start
        Index of its first spike frame.
    frames
        Number of coding instants; 0 for as many as fit (spikes are then coded to the recording's end).
    stride, margin
        See `bench.sampling.Sampling`.
    """

    start: int = 0
    frames: int = 0
    stride: int = Sampling.stride
    margin: int = Sampling.margin

    @property
    def sampling(self) -> Sampling:
        """Stride and margin."""
        return Sampling(self.stride, self.margin)

    def fitted(self, name: str, num_spikes: int) -> Cut:
        """The same cut of a recording of `num_spikes` spike frames, with the number of instants in place of 0.

        Raises
        ------
        BenchError
            If the recording, which `name` names, is too short for the cut.
        """
        left = max(num_spikes - self.start, 0)
        room = self.sampling.count(left)
        frames = self.frames or room
        if not 1 <= frames <= room:
            hint = "omit --frames" if room else "use a smaller --margin or --start"
            raise BenchError(
                f"{name}: {left} spike frames from {self.start} on hold {room} instants at stride "
                f"{self.stride} with margin {self.margin}, not {max(frames, 1)}: {hint}"
            )
        return replace(self, frames=frames)

    @property
    def num_spikes(self) -> int:
        """T, the number of spike frames."""
        return self.sampling.num_spikes(self.frames)

    @property
    def stop(self) -> int:
        """Index of the spike frame after the last one."""
        return self.start + self.num_spikes

    def segments(self, pixels: int, intra_period: int) -> list[Cut]:
        """Divide the cut into parts that each fit into memory; the instants of all parts are one stride apart.

        A part has whole intra periods if one fits, so that segments have no more intra frames than one stream would.

        Parameters
        ----------
        pixels
            Pixels of a frame, H * W.
        intra_period
            Distance of intra frames, in coded frames.
        """
        most = self.sampling.count(min(_MOST_SPIKES // pixels, MAX_FRAMES - self.stride))
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
    progress: Progress,
    warn: Callable[[str], None],
    analyzer: str = "",
    size: str = "",
    camera: str = "",
    spike_rate: float | None = None,
    rate_point: RatePoint | None = None,
) -> str:
    """Run the camera's stages on a .dat file and write the stream; returns one line for the user.

    Parameters
    ----------
    recording, out
        The .dat file, and the file to write.
    cut
        The part of the recording to code.
    coding
        Intra period and structure.
    codec, paradigm, extractor, analyzer
        Specs; the analyzer is by default the extractor's own.
    progress
        Called before every segment.
    warn
        Called with one line for the user where the recording looks wrong.
    size, camera, spike_rate
        Facts of the recording that no sidecar file states (`bench.datasets.dat.Dat`). The rate, in spikes per frame of
        unit luminance, is estimated where nothing states it.
    rate_point
        The codec's rate point, by default its highest.

    Raises
    ------
    BenchError
        If a spec is wrong, the codec is not available or does not take the content, the recording is unreadable or
        shorter than the cut, or the file cannot be written.
    """
    _check_distinct(recording, out)
    encoder = create(Codec, codec)
    checked.require(encoder)
    chain = Chain(paradigm, encoder, extractor, analyzer)
    sender = _Camera(chain, rate_point, coding)
    dataset, info = one_recording(recording, size=size, camera=camera, rate=spike_rate)
    if info.remark:
        warn(f"{recording.name}: {info.remark}")
    fitted = cut.fitted(recording.name, info.num_spikes)
    parts = fitted.segments(info.height * info.width, coding.intra_period)
    stops = [part.stop for part in parts]
    if chain.content.is_spikes:  # code the spikes between segments too, and, without a stated number, up to the end
        following = [*(part.start for part in parts[1:]), fitted.stop if cut.frames else info.num_spikes]
        stops = [max(pair) for pair in zip(stops, following, strict=True)]
    opened = dataset.open(info.name)

    def streams() -> Iterator[bytes]:
        for done, (part, stop) in enumerate(zip(parts, stops, strict=True)):
            progress(done, len(parts), f"segment {done + 1}")
            yield sender.stream(opened.spikes(part.start, stop), part, info)

    written = write_segments(out, len(parts), streams())
    rate = f"{info.rate:g}{', estimated' if info.rate_estimated else ''}"
    if sender.grey < DARK and not info.remark:
        warn(
            f"{recording.name}: its pictures are nearly black, mean grey {sender.grey:.1f} of 255 at rate {rate}; "
            "--spike-rate states another"
        )
    num_spikes = stops[-1] - fitted.start
    bpp = 8 * written / (num_spikes * info.height * info.width)
    many = f" in {len(parts)} segments" if len(parts) > 1 else ""
    return (
        f"{out}: {written} bytes for {num_spikes} spike frames of {info.width}x{info.height}, {bpp:.5f} bits per spike "
        f"({encoder.spec} at {sender.rate_point}, {fitted.frames} instants{many}, rate {rate})"
    )


class _Camera:
    """The camera's stages, and the mean grey of the pictures that they have coded."""

    def __init__(self, chain: Chain, rate_point: RatePoint | None, coding: CodingCondition) -> None:
        self.chain, self.coding = chain, coding
        points = checked.rate_points(chain.codec, chain.content)
        self.rate_point = points[-1] if rate_point is None else own_point(chain.codec, chain.content, rate_point)
        chain.check(self.rate_point, coding)
        self._pictures, self._grey = 0, 0.0

    @property
    def grey(self) -> float:
        """Mean grey of the pictures coded so far, from 0 to 255; 255 where spikes are coded."""
        return 255 * self._grey / self._pictures if self._pictures else 255.0

    def stream(self, spikes: np.ndarray, part: Cut, info: SequenceInfo) -> bytes:
        """Run the stages on the T x H x W spikes of a part; returns one container."""
        sent = self.chain.camera(spikes, info.rate, part.sampling, self.rate_point, self.coding, part.start)
        if not self.chain.content.is_spikes:
            self._pictures += len(sent.frames)
            self._grey += len(sent.frames) * float(sent.frames.mean())
        return sent.stream


def decode_stream(
    path: Path,
    out: Path,
    *,
    progress: Progress,
    codec: str = "",
    stated: StatedChain | None = None,
    raw: bool = False,
) -> str:
    """Run the cloud's stages on a stream, as its container states them; returns one line for the user.

    The results of all segments are written in order. Decoded spikes of neighbouring segments overlap by the margins;
    each spike frame is written once.

    Parameters
    ----------
    path, out
        File of the stream, and file or folder to write (docs/protocol.md has the formats).
    progress
        Called before every segment.
    codec
        Spec of the codec on this machine (`bench.registry.codec_for_stream`); by default the stream's header names it.
    stated
        The parts of the chain that the user states.
    raw
        Whether to write the decoded frames without analysis, as is always done for a .dat file.

    Raises
    ------
    BenchError
        If the options do not fit the stream, or the output cannot be written.
    StreamError
        If the stream is damaged, or needs a part that is not installed here.
    """
    _check_distinct(path, out)
    results = Results(path, codec=codec, stated=stated, raw=raw or kind_of_output(out) == ".dat")
    what = write_frames(out, results.frames(progress), results.shape, spikes=results.is_spikes)
    return f"{what}: {results}"


class Results:
    """The results of a stream, which are decoded and analyzed segment by segment.

    Parameters
    ----------
    path, codec, stated, raw
        See `decode_stream`, which lists the errors too.

    Attributes
    ----------
    info
        Header of the first segment.
    shape
        (K, H, W) of all results.
    is_spikes
        Whether the results are spikes: those of a stream of spikes without analysis.
    """

    def __init__(self, path: Path, *, codec: str = "", stated: StatedChain | None = None, raw: bool = False) -> None:
        # Only the headers are kept: no more than one stream is in memory.
        heads = [replace(segment, stream=b"") for segment in read_segments(path)]
        self.path, self.info = path, heads[0].info
        _check_one_recording(path, heads)
        self._analysis = None if raw else analysis_of(path, self.info, stated or StatedChain())
        self._cloud = _Cloud(codec_for_stream(self.info, codec), self.info.content, self._analysis)
        ends = [heads[0].start, *(head.start + head.info.shape[0] for head in heads)]
        self._firsts = [self._cloud.first(head.start, end) for head, end in zip(heads, ends, strict=False)]
        lengths = [self._cloud.count(head.info.shape[0]) for head in heads]
        self._counts = [length - first for length, first in zip(lengths, self._firsts, strict=True)]
        if min(self._counts) < 1:
            raise BenchError(f"{path}: {self.info.shape[0]} spike frames hold no instant; --raw gives what is decoded")
        self.shape = (sum(self._counts), *self.info.shape[1:])
        self.is_spikes = self._cloud.gives_spikes

    def frames(self, progress: Progress) -> Iterator[np.ndarray]:
        """Yield the results of each segment: k x H x W float32 in [0, 1], or uint8 where they are spikes."""
        _, height, width = self.shape
        parts = zip(read_segments(self.path), self._firsts, self._counts, strict=True)
        for done, (segment, first, count) in enumerate(parts):
            progress(done, len(self._counts), f"segment {done + 1}")
            frames = self._cloud.result(segment)[first:]
            if frames.shape != (count, height, width):
                raise BenchError(
                    f"{self.path}: analysis gives {frames.shape}, not {count} pictures of {width}x{height}"
                )
            yield frames

    def __str__(self) -> str:
        count, height, width = self.shape
        unit = "spike frames" if self.is_spikes else "frames"
        how = f", {self._analysis}" if self._analysis else ""
        return (
            f"{count} {unit} of {width}x{height} from {self.path.stat().st_size} bytes of {self.info.codec} "
            f"({self.info.content.value}{how})"
        )


class _Cloud:
    """The cloud's stages: a decoder, and the analysis of its frames, if any."""

    def __init__(self, codec: Codec, content: Content, analysis: Analysis | None) -> None:
        self.codec, self.content, self.analysis = codec, content, analysis
        self.gives_spikes = content.is_spikes and analysis is None

    def first(self, start: int, end: int) -> int:
        """Number of frames to skip in a segment from `start` on: those in the previous segment, which ends at `end`."""
        if self.gives_spikes and start > end:
            raise StreamError(f"no segment has the spikes from {end} to {start}")
        return end - start if self.gives_spikes else 0

    def count(self, frames: int) -> int:
        """Number of result frames of a segment with `frames` coded ones."""
        return self.analysis.sampling.count(frames) if self.analysis and self.content.is_spikes else frames

    def result(self, segment: Segment) -> np.ndarray:
        """Decode and analyze one container: K x H x W float32, or T x H x W uint8 where the result is spikes."""
        decoded, analysis = self.codec.decode(segment.stream), self.analysis
        if self.gives_spikes:
            return to_spikes(decoded.frames)
        if analysis is None:
            return decoded.frames
        chain = Chain(_PARADIGMS[self.content], self.codec, analysis.extractor, analysis.analyzer)
        return chain.after_link(decoded, analysis.sampling.instants(len(decoded.frames)), analysis.spike_rate)


def _check_one_recording(path: Path, heads: list[Segment]) -> None:
    """Refuse segments of different recordings, and segments whose instants are not one stride apart."""
    info = heads[0].info
    for head in heads:
        chain = head.info.chain
        if chain is not None and info.chain is not None:
            chain = replace(chain, first_instant=info.chain.first_instant)
        alike = replace(head.info, shape=(info.shape[0], *head.info.shape[1:]), chain=chain)
        if alike != info:
            raise StreamError(f"{path}: its segments are not of one recording")
    for head, following in pairwise(heads):
        chain, frames = head.info.chain, head.info.shape[0]
        if chain is None:
            continue
        instants = Sampling(chain.stride, chain.margin).count(frames) if info.content.is_spikes else frames
        if following.start != head.start + instants * chain.stride:
            raise StreamError(f"{path}: its segments do not follow one another")


def _check_distinct(source: Path, out: Path) -> None:
    if source.resolve() == out.resolve():
        raise BenchError(f"{out} is the input itself; write to another file")
