"""Pictures and videos of a recording: spikes, firing rates, features, and what codecs make of it, side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.chain import Chain
from bench.datasets.dat import Dat
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Dataset, Extractor, SequenceInfo, checked
from bench.metrics.quality import psnr_per_frame
from bench.names import file_name
from bench.progress import Progress
from bench.rates import own_point
from bench.registry import create
from bench.stream.outputs import kind_of_output, write_frames
from bench.stream.recording import Cut

Kind = Literal["spikes", "rate", "features", "truth"]
KINDS: tuple[Kind, ...] = ("spikes", "rate", "features", "truth")
_LEAST_WIDTH = 200  # pixels of a panel: smaller pictures are enlarged, so that the words above them fit
_LINE, _GAP, _FONT = 15, 6, 12
_GREY = 0.15  # of the ground


@dataclass(frozen=True)
class View:
    """What is shown of a recording.

    Attributes
    ----------
    panels
        Kinds of panels before those of the codecs. ``truth`` is left out where it is not known.
    codecs, points
        Specs of codecs, and a rate point for each; None for the one in the middle of the codec's own.
    paradigm, extractor
        How results are made, and whose features are shown.
    """

    panels: Sequence[Kind] = KINDS
    codecs: Sequence[str] = ()
    points: Sequence[int | float | str | None] = ()
    paradigm: str = "caas"
    extractor: str = "sci"


@dataclass(frozen=True)
class _Panel:
    """One of the pictures that stand side by side: a title, K x H x W frames in [0, 1], and words for each frame."""

    title: str
    frames: np.ndarray
    words: Sequence[str]


def sources(source: str, *, size: str = "", camera: str = "", spike_rate: float | None = None) -> list[Source]:
    """The recordings that a user names: a .dat file, a folder of them, or ``DATASET/SEQUENCE``.

    Raises
    ------
    BenchError
        If it is none of these, a recording is unreadable, or its facts are stated for a sequence that has them.
    """
    spec, _, sequence = source.rpartition("/")
    if Path(source).exists() or not spec or Path(source).suffix == ".dat" or Path(spec).exists():
        if not Path(source).exists():
            raise BenchError(f"{source}: no such recording or folder; or name a sequence, such as s-motion/low-1")
        dataset: Dataset = Dat(root=source, size=size, camera=camera, rate=spike_rate)
        return [Source(dataset, info) for info in checked.sequences(dataset)]
    if size or camera or spike_rate is not None:
        raise BenchError(f"{source}: a dataset's sequences state size and rate themselves; leave these options out")
    dataset = create(Dataset, spec)
    checked.require(dataset, "dataset")
    found = [info for info in checked.sequences(dataset) if info.name == sequence]
    if not found:
        raise BenchError(f"{dataset.name} has no sequence '{sequence}'; `bench data show {spec}` lists them")
    return [Source(dataset, found[0])]


@dataclass(frozen=True)
class Source:
    """A sequence of a dataset."""

    dataset: Dataset
    info: SequenceInfo


def show(source: Source, out: Path, cut: Cut, view: View, progress: Progress) -> str:
    """Write a picture or a video of one recording; returns one line for the user.

    Parameters
    ----------
    out
        File with one of the suffixes that `bench.stream.outputs` writes, or a folder for pictures. A single picture
        shows an instant in the middle.
    cut
        The part of the recording to show; every coding instant is a frame.
    progress
        Called before every segment.

    Raises
    ------
    BenchError
        If a spec is wrong, a codec does not run here, or the file cannot be written.
    """
    info = source.info
    fitted = cut.fitted(info.name, info.num_spikes)
    chains = [_chain(view, *pair) for pair in zip(view.codecs, view.points, strict=True)]
    alone = kind_of_output(out) == ".png"
    # A part's pictures are in memory together, and they may be larger than its spikes.
    pixels = max(info.height, _LEAST_WIDTH) * max(info.width, _LEAST_WIDTH) * (len(KINDS) + len(chains))
    most = max(info.height * info.width, pixels // fitted.stride)
    parts = fitted.segments(most, CodingCondition().intra_period)
    if alone:
        parts = [parts[len(parts) // 2]]

    def pictures() -> Iterator[np.ndarray]:
        for done, part in enumerate(parts):
            progress(done, len(parts), f"segment {done + 1}")
            frames = _side_by_side(_panels(source, part, view, chains))
            yield frames[len(frames) // 2 :][:1] if alone else frames

    every = pictures()
    first = next(every)
    count = 1 if alone else fitted.frames
    what = write_frames(out, itertools.chain([first], every), (count, *first.shape[1:]), spikes=False)
    many = "an instant in the middle of " if alone else ""
    return f"{what}: {info.name}, {many}{fitted.frames} instants from spike frame {fitted.start + fitted.margin} on"


def targets(out: Path, sources: Sequence[Source]) -> list[Path]:
    """The file of each recording: `out` itself where there is one, else a video in the folder `out`.

    Raises
    ------
    BenchError
        If there are several recordings, and `out` is named like a file.
    """
    if len(sources) == 1:
        return [out]
    if kind_of_output(out):
        raise BenchError(f"{out}: there are {len(sources)} recordings; name a folder, where each gets a video")
    return [out / f"{file_name(source.info.name)}.mp4" for source in sources]


def _chain(view: View, codec: str, point: int | float | str | None) -> tuple[Chain, int | float | str]:
    """The chain of a codec, and its rate point."""
    coder = create(Codec, codec)
    checked.require(coder)
    chain = Chain(view.paradigm, coder, view.extractor)
    points = checked.rate_points(coder, chain.content)
    chosen = points[len(points) // 2] if point is None else own_point(coder, chain.content, point)
    chain.check(chosen, CodingCondition())
    return chain, chosen


def _panels(source: Source, part: Cut, view: View, chains: Sequence[tuple[Chain, int | float | str]]) -> list[_Panel]:
    info = source.info
    spikes = checked.spikes(source.dataset, info, part.start, part.stop)
    instants = part.sampling.instants(len(spikes))
    absolute = [part.start + int(t) for t in instants]
    known = info.truth_at is None or set(absolute) <= set(info.truth_at)
    truth = checked.truth(source.dataset, info, absolute) if known else None
    places = [f"at spike frame {t}" for t in absolute]
    made: dict[Kind, Callable[[], _Panel]] = {
        "spikes": lambda: _Panel("spikes", spikes[instants].astype(np.float32), places),
        "rate": lambda: _with_psnr("firing rate (tfp)", _features("tfp", spikes, instants, info.rate), truth),
        "features": lambda: _with_psnr(
            f"features ({view.extractor})", _features(view.extractor, spikes, instants, info.rate), truth
        ),
    }
    panels = [made[kind]() for kind in view.panels if kind != "truth"]
    if truth is not None and "truth" in view.panels:
        panels.append(_Panel("truth", truth, [""] * len(truth)))
    for chain, point in chains:
        sent = chain.camera(spikes, info.rate, part.sampling, point, CodingCondition(), part.start)
        bpp = 8 * len(sent.stream) / spikes.size
        words = f"{bpp:.4f} bpp, saves {100 * (1 - bpp):.1f} %"
        title = f"{view.paradigm.upper()} {chain.codec.spec} at {point}"
        panels.append(_with_psnr(title, chain.cloud(sent.stream).frames, truth, words))
    if not panels:
        raise BenchError("nothing to show: name panels or codecs")
    return panels


def _features(extractor: str, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
    return checked.features(create(Extractor, extractor), spikes, instants, rate)


def _with_psnr(title: str, frames: np.ndarray, truth: np.ndarray | None, words: str = "") -> _Panel:
    """A panel whose words also have each frame's PSNR, where the truth is known."""
    if truth is None:
        return _Panel(title, frames, [words] * len(frames))
    texts = [f"{value:.2f} dB" for value in psnr_per_frame(frames, truth)]
    return _Panel(title, frames, [", ".join(filter(None, (text, words))) for text in texts])


def _side_by_side(panels: Sequence[_Panel]) -> np.ndarray:
    """All panels in one picture for each of K instants, K x H' x W' float32; at most four stand in a row."""
    times = math.ceil(_LEAST_WIDTH / panels[0].frames.shape[2])
    columns = min(len(panels), 4 if len(panels) % 4 == 0 else 3)
    height, width = (times * side for side in panels[0].frames.shape[1:])
    cell = height + 2 * _LINE + _GAP, width + _GAP
    shape = -(-len(panels) // columns) * cell[0] + _GAP, columns * cell[1] + _GAP
    canvas = np.full((len(panels[0].frames), *shape), _GREY, np.float32)
    for number, panel in enumerate(panels):
        top, left = (place * side + _GAP for place, side in zip(divmod(number, columns), cell, strict=True))
        below = top + 2 * _LINE
        canvas[:, below : below + height, left : left + width] = panel.frames.repeat(times, 1).repeat(times, 2)
        for frame, words in zip(canvas, panel.words, strict=True):
            frame[top:below, left : left + width] = _text(panel.title, words, width)
    return canvas


def _text(title: str, words: str, width: int) -> np.ndarray:
    """Two lines of text, 2 _LINE x width in [0, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("L", (width, 2 * _LINE), round(255 * _GREY))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_FONT)
    for line, text in enumerate((title, words)):
        draw.text((1, line * _LINE), text, fill=235 if line == 0 else 180, font=font)
    return np.asarray(strip, np.float32) / 255
