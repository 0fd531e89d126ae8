"""Pictures and videos of streams, and of a run's streams beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.interfaces import Codec, Dataset, checked
from bench.progress import Progress
from bench.registry import create
from bench.results.document import read_run_file, stream_path, usable_origin
from bench.results.rows import RD_FILE, RUN_FILE, STREAMS, RDRow, codec_spec, read_rows
from bench.sampling import Sampling
from bench.show.canvas import Film, Panel, side_by_side, with_psnr, write_pictures
from bench.show.recordings import Source
from bench.stream.outputs import kind_of_output
from bench.stream.recording import Results


@dataclass(frozen=True)
class StreamFilm(Film):
    """The results of one stream."""

    path: Path

    @property
    def names(self) -> tuple[str, ...]:
        """The file's name without suffix."""
        return (self.path.stem,)

    def write(self, out: Path, progress: Progress) -> str:
        """See `Film`; a single picture shows the result in the middle."""
        results = Results(self.path)
        title, words = str(results.info.codec), f"{self.path.stat().st_size} bytes"

        def pictures() -> Iterator[np.ndarray]:
            for frames in results.frames(progress):
                yield side_by_side([Panel(title, frames, [words] * len(frames))])

        return f"{_write(out, pictures(), results.shape[0])}: {results}"


@dataclass(frozen=True)
class RunFilm(Film):
    """The results of a run for one segment of a sequence, side by side: of every curve the rate point in its middle.

    Attributes
    ----------
    folder, document
        The run's folder, and its run.json.
    rows
        The rows that are shown: of one segment, under one condition card.
    """

    folder: Path
    document: dict[str, Any]
    rows: Sequence[RDRow]

    @property
    def names(self) -> tuple[str, ...]:
        """Dataset and sequence; of a later segment, its start; and the card, where the run has several."""
        first = self.rows[0]
        later = (str(first.segment),) if first.segment else ()
        card = (first.condition,) if len(self.document["conditions"]) > 1 else ()
        return (first.dataset, first.sequence, *later, *card)

    def write(self, out: Path, progress: Progress) -> str:
        """See `Film`; a single picture shows the instant in the middle."""
        first = self.rows[0]
        card = self.document["conditions"][first.condition]
        sampling = Sampling(card["stride"], card["margin"])
        instants = [first.segment + int(t) for t in sampling.instants(first.num_spikes)]
        truth = self._truth(instants)
        panels = [] if truth is None else [Panel("truth", truth, [f"at spike frame {t}" for t in instants])]
        for done, row in enumerate(self.rows):
            codec = codec_spec(row.codec, row.options)
            progress(done, len(self.rows), codec)
            results = Results(stream_path(self.folder, row.job), codec=usable_origin(self.document, Codec, codec))
            frames = np.concatenate(list(results.frames(lambda *_: None)))
            title = f"{row.paradigm.upper()} {codec} at {row.rate_point}"
            panels.append(with_psnr(title, frames, truth, f"{row.bpp:.4f} bpp"))
        what = _write(out, iter([side_by_side(panels)]), len(instants))
        return f"{what}: {'/'.join(self.names)}, {len(self.rows)} results at {len(instants)} instants"

    def _truth(self, instants: Sequence[int]) -> np.ndarray | None:
        """The luminance at the instants; None where it is not known, or its dataset is not on this machine."""
        row = self.rows[0]
        dataset = create(Dataset, usable_origin(self.document, Dataset, row.dataset))
        if not checked.availability(dataset).ok:
            return None
        infos = [info for info in checked.sequences(dataset) if info.name == row.sequence]
        return Source(dataset, infos[0]).truth(instants) if infos else None


def stream_films(source: Path, trusted: bool = False) -> list[Film]:
    """What a stream or a run shows; nothing where `source` is neither.

    Parameters
    ----------
    source
        A stream's file, or a run's folder, of which every segment of every sequence is a film.
    trusted
        See `bench.results.document.read_run_file`.

    Raises
    ------
    BenchError
        If the run is unreadable, or none of its streams is there.
    """
    if source.is_file() and source.suffix.lower() == ".spk":
        return [StreamFilm(source)]
    if not (source / RUN_FILE).is_file():
        return []
    document = read_run_file(source, trusted)
    rows = [row for row in read_rows(source / RD_FILE) if row.status == "ok" and row.accuracy is None]
    there = [row for row in rows if stream_path(source, row.job).exists()]
    if not there:
        raise BenchError(f"{source} has no streams of pictures in {STREAMS}/, where a run keeps them on its machine")
    segments: dict[tuple[Any, ...], list[RDRow]] = {}
    for row in there:
        place = row.dataset, row.sequence, row.segment, row.condition
        segments.setdefault(place, []).append(row)
    return [RunFilm(source, document, _middle_points(rows)) for rows in segments.values()]


def _middle_points(rows: Sequence[RDRow]) -> list[RDRow]:
    """Of every curve the row in the middle of its rates."""
    curves: dict[tuple[Any, ...], list[RDRow]] = {}
    for row in rows:
        curve = row.paradigm, row.codec, row.options, row.extractor, row.analyzer, row.condition, row.seed
        curves.setdefault(curve, []).append(row)
    return [sorted(curve, key=lambda row: row.bpp or 0)[len(curve) // 2] for curve in curves.values()]


def _write(out: Path, parts: Iterator[np.ndarray], count: int) -> str:
    """Write K pictures, or of them the one in the middle where one picture is asked for."""
    if kind_of_output(out) != ".png":
        return write_pictures(out, parts, count)
    before = 0
    for frames in parts:
        if before <= count // 2 < before + len(frames):
            return write_pictures(out, iter([frames[count // 2 - before :][:1]]), 1)
        before += len(frames)
    raise AssertionError("there are fewer pictures than stated")
