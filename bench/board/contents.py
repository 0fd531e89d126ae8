"""The content of a submission, and what is wrong with it by itself: hashes, tables, cards, and figures within a row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.board.archive import file_facts, is_member, present_files, stream_name, unpack, write_archive
from bench.board.manifest import (
    BESIDE,
    SCHEMA,
    Manifest,
    cards_of,
    member_path,
    stated_facts,
)
from bench.errors import BenchError, first_fault
from bench.interfaces import ConditionCard
from bench.metrics.quality import PSNR_CEILING
from bench.results.document import read_run_file
from bench.results.rows import RD_FILE, STREAMS, RDRow, read_rows
from bench.results.rows import SCHEMA as RUN_SCHEMA
from bench.results.tables import read_table
from bench.runner.plan import id_of_row
from bench.sampling import Sampling

# Two figures of a row agree with its bits if they differ by less than this share: they are quotients of integers.
_SAME = 1e-9
# Figures of a row that are shares, or lie between 0 and 1.
_SHARES = ("accuracy", "spike_error", "rate_error")


@dataclass(frozen=True)
class Contents:
    """A submission that is unpacked, or a run that is to become one.

    Attributes
    ----------
    folder
        Where its files lie.
    manifest
        Its manifest.
    document
        Its run.json.
    rows, cards
        Its rows, and condition cards by id.
    problems
        What is wrong with it, one line each; empty where it holds.
    """

    folder: Path
    manifest: Manifest
    document: dict[str, Any]
    rows: tuple[RDRow, ...]
    cards: dict[str, ConditionCard]
    problems: tuple[str, ...]

    @property
    def measured(self) -> list[RDRow]:
        """The rows that were measured."""
        return [row for row in self.rows if row.status == "ok"]


def open_submission(path: Path, folder: Path, streams: bool = True) -> Contents:
    """Unpack a submission into an empty folder, and check what can be checked without decoding.

    Raises
    ------
    BenchError
        If it is no submission (`bench.board.archive.unpack`), or run.json or a table cannot be read.
    """
    manifest = unpack(path, folder, streams)
    try:
        contents = _contents(folder, manifest, streams)
    except BenchError as error:
        raise BenchError(f"{path.name} is no submission: {str(error).replace(f'{folder}/', '')}") from None
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    extra = sorted(present - set(contents.manifest.files))
    problems = (*(f"{name}: the manifest does not name it" for name in extra), *contents.problems)
    return replace(contents, problems=problems)


def pack_run(folder: Path, target: Path, streams: bool, name: str = "", url: str = "") -> Manifest:
    """Pack a finished run into an archive; returns the manifest.

    Raises
    ------
    BenchError
        If the run is not finished, is of an older schema, or would not hold as a submission.
    """
    document = read_run_file(folder)
    if document["status"] != "finished":
        raise BenchError(f"{folder} is not finished, so it cannot be submitted (`bench run --resume` goes on with it)")
    if document["schema"] != RUN_SCHEMA:
        raise BenchError(f"{folder} is of schema {document['schema']}, its cards lack rules of today: measure it again")
    jobs = [row.job for row in read_rows(folder / RD_FILE) if row.status == "ok"]
    if not jobs:
        raise BenchError(f"{folder} has no measured row")
    files = file_facts(folder, present_files(folder, jobs if streams else ()))
    stated = {"name": name, "url": url, **stated_facts(document)}
    try:
        manifest = Manifest(schema_version=SCHEMA, streams=streams, files=files, **stated)
    except ValidationError as error:
        raise BenchError(f"these facts cannot stand in a manifest: {first_fault(error)}") from None
    if problems := _contents(folder, manifest, streams).problems:
        raise BenchError(f"{folder} would not hold as a submission: {problems[0]}")
    write_archive(folder, manifest, target)
    return manifest


def _contents(folder: Path, manifest: Manifest, streams: bool) -> Contents:
    problems = list(_file_problems(folder, manifest, streams))
    document = read_run_file(folder)
    rows = tuple(row for _, row in read_table(folder / RD_FILE, RDRow))
    tables = {
        name: [row for _, row in read_table(folder / name, model)]
        for name, model in BESIDE.items()
        if (folder / name).exists()
    }
    problems += _job_problems(RD_FILE, rows, rows)
    for name, lines in tables.items():
        problems += _job_problems(name, lines, rows)
    cards = cards_of(document)
    problems += _document_problems(document, manifest, cards)
    for row in rows:
        problems += (f"row {row.job}: {problem}" for problem in _row_problems(row, cards))
    if manifest.streams:
        stated = set(manifest.files)
        lacking = [row.job for row in rows if row.status == "ok" and stream_name(row.job) not in stated]
        problems += (f"row {job}: its stream is not in the archive" for job in lacking)
    return Contents(folder, manifest, document, rows, cards, tuple(problems))


def _file_problems(folder: Path, manifest: Manifest, streams: bool) -> Iterator[str]:
    """Files that are not what the manifest states; without `streams`, the streams were not unpacked."""
    stated = sorted(name for name in manifest.files if streams or not name.startswith(f"{STREAMS}/"))
    present = [name for name in stated if is_member(name) and member_path(folder, name).is_file()]
    for name in sorted(set(stated) - set(present)):
        yield f"{name}: the manifest names it, the archive does not hold it"
    facts = file_facts(folder, present)
    for name, fact in facts.items():
        there = manifest.files[name]
        if fact != there:
            yield f"{name}: its SHA-256 is {fact.sha256[:12]}, the manifest states {there.sha256[:12]}"


def _document_problems(document: dict[str, Any], manifest: Manifest, cards: dict[str, ConditionCard]) -> Iterator[str]:
    if document["status"] != "finished":
        yield f"run.json: the run is {document['status']}, not finished"
    if document["schema"] != RUN_SCHEMA:
        yield f"run.json is of schema {document['schema']}, not {RUN_SCHEMA}"
    for name, fact in stated_facts(document).items():
        if fact != getattr(manifest, name):
            yield f"manifest.json: {name} differs from what run.json states"
    for name, card in cards.items():
        if card.digest != name:
            yield f"run.json: condition card {name} hashes to {card.digest}"
        if Sampling(card.stride, card.margin).num_spikes(card.num_frames) != card.num_spikes:
            yield f"run.json: condition card {name} states other instants than {card.num_spikes} spike frames have"


def _row_problems(row: RDRow, cards: dict[str, ConditionCard]) -> Iterator[str]:
    """What is wrong with a row by itself, or beside its card."""
    card = cards.get(row.condition)
    if card is None:
        yield f"its condition card {row.condition} is not in run.json"
    else:
        for name in ("task", "extractor", "analyzer", "num_spikes", "num_frames"):
            if getattr(row, name) != getattr(card, name):
                yield f"{name} is {getattr(row, name)}, its card states {getattr(card, name)}"
    if id_of_row(row) != row.job:
        yield f"its facts hash to the job {id_of_row(row)}"
    if row.schema_version != RUN_SCHEMA:
        yield f"it is of schema {row.schema_version}, not {RUN_SCHEMA}"
    if row.status == "ok":
        yield from _figure_problems(row)


def _figure_problems(row: RDRow) -> Iterator[str]:
    pixels = row.height * row.width
    if min(row.height, row.width, row.num_spikes, row.num_frames) < 1 or row.segment < 0:
        yield "it states an impossible size"
        return
    if not row.bits or row.bits < 8 or row.bits % 8:
        yield f"bits is {row.bits}, which is not the size of a file"
        return
    for name, samples in (("bpp", row.num_spikes * pixels), ("bpf", row.num_frames * pixels)):
        value = getattr(row, name)
        if value is None or not math.isclose(value, row.bits / samples, rel_tol=_SAME):
            yield f"{name} is {value}, its bits give {row.bits / samples:.6g}"
    for name in ("psnr", "psnr_of_mse"):
        value = getattr(row, name)
        # Frames lie in [0, 1], so that no mean square error is above 1.
        if value is not None and not 0 <= value <= PSNR_CEILING:
            yield f"{name} is {value}, out of 0 to {PSNR_CEILING:.0f} dB"
    for name in ("ssim", "ms_ssim", *_SHARES):
        value = getattr(row, name)
        low = 0 if name in _SHARES else -1
        if value is not None and not low <= value <= 1:
            yield f"{name} is {value}, out of {low} to 1"


def _job_problems(name: str, lines: Sequence[Any], rows: Sequence[RDRow]) -> Iterator[str]:
    """Jobs that rd.csv does not have, or that a table states twice: for each measure or metric, if it has these."""
    known = {row.job for row in rows}
    places = [
        (line.job, getattr(line, "measure", getattr(line, "metric", ""))) for line in lines if hasattr(line, "job")
    ]
    for (job, what), count in Counter(places).items():
        if job not in known:
            yield f"{name}: job {job} is not in {RD_FILE}"
        if count > 1:
            yield f"{name}: job {job} has {count} rows" + (f" of {what}" if what else "")
