"""One recording to one file that crosses the link, and back to frames; a long one in segments, so memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.chain import Chain, to_spikes
from bench.datasets.dat import Dat
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
from bench.stream.analysis import Analysis, StatedChain, analysis_of
from bench.stream.outputs import kind_of_output, write_frames
from bench.stream.segments import Segment, read_segments, write_segments

# A stream says what its frames are, and so which of the shipped paradigms sent it.
_PARADIGMS = {Content.SPIKES: "cta", Content.FEATURES: "caas", Content.RESULT: "atc"}
_MOST_SPIKES = 1 << 27  # in one segment: as float32, which codecs get, they take 512 MB
_DARK = 8  # mean grey, of 255, below which pictures look black


@dataclass(frozen=True)
class Cut:
    """Which part of a recording is coded: T = margin + (frames - 1) * stride + 1 + margin from `start` on.

    Where `frames` is 0, as many instants as fit; spikes are then coded to the recording's end.
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
        """The same cut with `frames` filled in; raises `BenchError` where it does not fit."""
        left = max(num_spikes - self.start, 0)
        room = self.sampling.count(left)
        frames = self.frames or room
        if not 1 <= frames <= room:
            hint = "leave --frames away" if room else "use a smaller --margin or --start"
            raise BenchError(
                f"{name}: {left} spike frames from {self.start} on hold {room} instants at stride "
                f"{self.stride} with margin {self.margin}, not {max(frames, 1)}: {hint}"
            )
        return replace(self, frames=frames)

    @property
    def num_spikes(self) -> int:
        """T."""
        return self.sampling.num_spikes(self.frames)

    @property
    def stop(self) -> int:
        """The spike frame after the last one."""
        return self.start + self.num_spikes

    def segments(self, pixels: int, intra_period: int) -> list[Cut]:
        """The cut in parts that each fit into memory, with the instants of all following one another at the stride.

        A part holds whole intra periods where one fits, so that no more frames are coded intra than in one stream.
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
    size, camera, spike_rate
        What no sidecar says of the recording; the rate is estimated where nothing states it.
    warn
        Is told what looks wrong.
    """
    if recording.is_dir():
        raise BenchError(f"{recording} is a folder; name one .dat recording")
    _check_distinct(recording, out)
    encoder = create(Codec, codec)
    state = checked.availability(encoder)
    if not state.ok:
        raise BenchError(f"{encoder.name}: {state.reason}")
    chain = Chain(paradigm, encoder, extractor, analyzer)
    sender = _Camera(chain, rate_point, coding)
    dataset = Dat(root=str(recording), size=size, camera=camera, rate=spike_rate)
    (info,) = dataset.sequences()
    if info.remark:
        warn(f"{recording.name}: {info.remark}")
    fitted = cut.fitted(recording.name, info.num_spikes)
    parts = fitted.segments(info.height * info.width, coding.intra_period)
    stops = [part.stop for part in parts]
    if chain.content.is_spikes:  # without gaps between segments, and to the end where no number of frames is stated
        following = [*(part.start for part in parts[1:]), fitted.stop if cut.frames else info.num_spikes]
        stops = [max(pair) for pair in zip(stops, following, strict=True)]
    opened = dataset.open(info.name)

    def streams() -> Iterator[bytes]:
        for done, (part, stop) in enumerate(zip(parts, stops, strict=True)):
            progress(done, len(parts), f"segment {done + 1}")
            yield sender.stream(opened.spikes(part.start, stop), part, info)

    written = write_segments(out, len(parts), streams())
    rate = f"{info.rate:g}{', estimated' if info.rate_estimated else ''}"
    if sender.grey < _DARK and not info.remark:
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
    """What is before the link, and how bright the pictures are that it has coded."""

    def __init__(self, chain: Chain, rate_point: RatePoint | None, coding: CodingCondition) -> None:
        self.chain, self.coding = chain, coding
        points = checked.rate_points(chain.codec, chain.content)
        self.rate_point = points[-1] if rate_point is None else own_point(chain.codec, chain.content, rate_point)
        chain.check(self.rate_point, coding)
        self._pictures, self._grey = 0, 0.0

    @property
    def grey(self) -> float:
        """Mean grey, of 255, of the pictures coded so far; white where spikes are coded."""
        return 255 * self._grey / self._pictures if self._pictures else 255.0

    def stream(self, spikes: np.ndarray, part: Cut, info: SequenceInfo) -> bytes:
        """Run the stages on a part's T x H x W spikes; gives one container."""
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
    """Run the cloud's stages on a stream, as its container says; returns one line for the user.

    Results of segments follow one another; of decoded spikes, which overlap by the margins, each is written once.

    Parameters
    ----------
    codec
        The codec as given on this machine, for what a header cannot say.
    stated
        What the user says of the chain.
    raw
        Write what the codec decodes, without analysis; a .dat file takes nothing else.
    """
    _check_distinct(path, out)
    # Headers alone: of streams, one at a time is in memory.
    heads = [replace(segment, stream=b"") for segment in read_segments(path)]
    info = heads[0].info
    _check_one_recording(path, heads)
    without = raw or kind_of_output(out) == ".dat"
    analysis = None if without else analysis_of(path, info, stated or StatedChain())
    cloud = _Cloud(codec_for_stream(info, codec), info.content, analysis)
    ends = [heads[0].start, *(head.start + head.info.shape[0] for head in heads)]
    firsts = [cloud.first(head.start, end) for head, end in zip(heads, ends, strict=False)]
    counts = [cloud.count(head.info.shape[0]) - first for head, first in zip(heads, firsts, strict=True)]
    if min(counts) < 1:
        raise BenchError(f"{path}: {info.shape[0]} spike frames hold no instant; --raw gives what is decoded")
    height, width = info.shape[1:]

    def results() -> Iterator[np.ndarray]:
        parts = zip(read_segments(path), firsts, counts, strict=True)
        for done, (segment, first, count) in enumerate(parts):
            progress(done, len(heads), f"segment {done + 1}")
            frames = cloud.result(segment)[first:]
            if frames.shape != (count, height, width):
                raise BenchError(f"{path}: analysis gives {frames.shape}, not {count} pictures of {width}x{height}")
            yield frames

    what = write_frames(out, results(), (sum(counts), height, width), spikes=cloud.gives_spikes)
    unit = "spike frames" if cloud.gives_spikes else "frames"
    how = f", {analysis}" if analysis else ""
    return (
        f"{what}: {sum(counts)} {unit} of {width}x{height} from {path.stat().st_size} bytes of {info.codec} "
        f"({info.content.value}{how})"
    )


class _Cloud:
    """What is behind the link: a decoder, and the analysis of what it gives, if any."""

    def __init__(self, codec: Codec, content: Content, analysis: Analysis | None) -> None:
        self.codec, self.content, self.analysis = codec, content, analysis
        self.gives_spikes = content.is_spikes and analysis is None

    def first(self, start: int, end: int) -> int:
        """The first frame of a segment from `start` on that is not in the segment before, which ends at `end`."""
        if self.gives_spikes and start > end:
            raise StreamError(f"no segment has the spikes from {end} to {start}")
        return end - start if self.gives_spikes else 0

    def count(self, frames: int) -> int:
        """How many frames a segment of so many coded ones gives."""
        return self.analysis.sampling.count(frames) if self.analysis and self.content.is_spikes else frames

    def result(self, segment: Segment) -> np.ndarray:
        """Decode one container, and analyze it; spikes are uint8."""
        decoded, analysis = self.codec.decode(segment.stream), self.analysis
        if self.gives_spikes:
            return to_spikes(decoded.frames)
        if analysis is None:
            return decoded.frames
        chain = Chain(_PARADIGMS[self.content], self.codec, analysis.extractor, analysis.analyzer)
        return chain.after_link(decoded, analysis.sampling.instants(len(decoded.frames)), analysis.spike_rate)


def _check_one_recording(path: Path, heads: list[Segment]) -> None:
    """Refuse segments of different recordings, and those that do not follow one another at the stride."""
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
        raise BenchError(f"{out} is what is read; write to another file")
