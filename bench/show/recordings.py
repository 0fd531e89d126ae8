"""Pictures and videos of a recording: spikes, firing rates, features, and what codecs make of it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.chain import Chain
from bench.datasets.dat import Dat
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Dataset, Extractor, SequenceInfo, checked
from bench.paths import listed
from bench.progress import Progress
from bench.rates import own_point
from bench.registry import create
from bench.show.canvas import LEAST_WIDTH, Film, Panel, side_by_side, with_psnr, write_pictures
from bench.stream.outputs import kind_of_output
from bench.stream.recording import Cut

Kind = Literal["spikes", "rate", "features", "truth"]
KINDS: tuple[Kind, ...] = ("spikes", "rate", "features", "truth")


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


def sources(
    source: str, *, size: str = "", camera: str = "", spike_rate: float | None = None
) -> tuple[list[Source], list[str]]:
    """The recordings that a user names: a .dat file, a folder of them, or ``DATASET/SEQUENCE``.

    Returns
    -------
    The recordings, and what is wrong with each one of a folder that is unreadable.

    Raises
    ------
    BenchError
        If it is none of these, no recording is readable, or its facts are stated for a sequence that has them.
    """
    spec, _, sequence = source.rpartition("/")
    if Path(source).exists() or not spec or Path(source).suffix == ".dat" or Path(spec).exists():
        if not Path(source).exists():
            raise BenchError(f"{source}: no such recording or folder; or name a sequence, such as s-motion/low-1")
        recordings: list[Source] = []
        faults: list[str] = []
        for path in listed(Path(source), (".dat",)) if Path(source).is_dir() else []:
            try:
                recordings += _recordings(str(path), size, camera, spike_rate)
            except BenchError as error:
                faults.append(str(error))
        return recordings or _recordings(source, size, camera, spike_rate), faults
    if size or camera or spike_rate is not None:
        raise BenchError(f"{source}: a dataset's sequences state size and rate themselves; leave these options out")
    dataset: Dataset = create(Dataset, spec)
    checked.require(dataset, "dataset")
    infos = [info for info in checked.sequences(dataset) if info.name == sequence]
    if not infos:
        raise BenchError(f"{dataset.name} has no sequence '{sequence}'; `bench data show {spec}` lists them")
    return [Source(dataset, infos[0])], []


def _recordings(source: str, size: str, camera: str, spike_rate: float | None) -> list[Source]:
    dataset = Dat(root=source, size=size, camera=camera, rate=spike_rate)
    return [Source(dataset, info) for info in checked.sequences(dataset)]


@dataclass(frozen=True)
class Source:
    """A sequence of a dataset."""

    dataset: Dataset
    info: SequenceInfo

    def truth(self, instants: Sequence[int]) -> np.ndarray | None:
        """Luminance at instants of the recording, K x H x W; None where it is not known at all of them."""
        known = self.info.truth_at is None or set(instants) <= set(self.info.truth_at)
        return checked.truth(self.dataset, self.info, instants) if known else None


@dataclass(frozen=True)
class RecordingFilm(Film):
    """Pictures of one recording.

    Attributes
    ----------
    source
        The recording.
    cut
        The part of it that is shown; every coding instant is a frame.
    view
        What is shown.
    """

    source: Source
    cut: Cut
    view: View

    @property
    def names(self) -> tuple[str, ...]:
        """The recording's name."""
        return (self.source.info.name,)

    def write(self, out: Path, progress: Progress) -> str:
        """See `Film`; a single picture shows an instant in the middle."""
        info, view = self.source.info, self.view
        fitted = self.cut.fitted(info.name, info.num_spikes)
        chains = [_chain(view, *pair) for pair in zip(view.codecs, view.points, strict=True)]
        alone = kind_of_output(out) == ".png"
        # A part's pictures are in memory together, and they may be larger than its spikes.
        pixels = max(info.height, LEAST_WIDTH) * max(info.width, LEAST_WIDTH) * (len(KINDS) + len(chains))
        most = max(info.height * info.width, pixels // fitted.stride)
        parts = fitted.segments(most, CodingCondition().intra_period)
        if alone:
            parts = [parts[len(parts) // 2]]

        def pictures() -> Iterator[np.ndarray]:
            for done, part in enumerate(parts):
                progress(done, len(parts), f"segment {done + 1}")
                frames = side_by_side(_panels(self.source, part, view, chains))
                yield frames[len(frames) // 2 :][:1] if alone else frames

        what = write_pictures(out, pictures(), 1 if alone else fitted.frames)
        many = "an instant in the middle of " if alone else ""
        return f"{what}: {info.name}, {many}{fitted.frames} instants from spike frame {fitted.start + fitted.margin} on"


def _chain(view: View, codec: str, point: int | float | str | None) -> tuple[Chain, int | float | str]:
    """The chain of a codec, and its rate point."""
    coder = create(Codec, codec)
    checked.require(coder)
    chain = Chain(view.paradigm, coder, view.extractor)
    points = checked.rate_points(coder, chain.content)
    rate_point = points[len(points) // 2] if point is None else own_point(coder, chain.content, point)
    chain.check(rate_point, CodingCondition())
    return chain, rate_point


def _panels(source: Source, part: Cut, view: View, chains: Sequence[tuple[Chain, int | float | str]]) -> list[Panel]:
    info = source.info
    spikes = checked.spikes(source.dataset, info, part.start, part.stop)
    instants = part.sampling.instants(len(spikes))
    absolute = [part.start + int(t) for t in instants]
    truth = source.truth(absolute)
    places = [f"at spike frame {t}" for t in absolute]
    panel_makers: dict[Kind, Callable[[], Panel]] = {
        "spikes": lambda: Panel("spikes", spikes[instants].astype(np.float32), places),
        "rate": lambda: with_psnr("firing rate (tfp)", _features("tfp", spikes, instants, info.rate), truth),
        "features": lambda: with_psnr(
            f"features ({view.extractor})", _features(view.extractor, spikes, instants, info.rate), truth
        ),
    }
    panels = [panel_makers[kind]() for kind in view.panels if kind != "truth"]
    if truth is not None and "truth" in view.panels:
        panels.append(Panel("truth", truth, [""] * len(truth)))
    for chain, point in chains:
        sent = chain.camera(spikes, info.rate, part.sampling, point, CodingCondition(), part.start)
        bpp = 8 * len(sent.stream) / spikes.size
        words = f"{bpp:.4f} bpp, saves {100 * (1 - bpp):.1f} %"
        title = f"{view.paradigm.upper()} {chain.codec.spec} at {point}"
        panels.append(with_psnr(title, chain.cloud(sent.stream).frames, truth, words))
    if not panels:
        raise BenchError("nothing to show: name panels or codecs")
    return panels


def _features(extractor: str, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
    return checked.features(create(Extractor, extractor), spikes, instants, rate)
