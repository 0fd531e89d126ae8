"""Checks the streams of a submission: they are decoded, and their results measured, in processes with limits."""

from __future__ import annotations

import errno
import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.board.contents import Contents
from bench.board.judging import Judge
from bench.chain import PICTURES, Chain
from bench.errors import BenchError, StreamError, one_line
from bench.files import FatalError
from bench.interfaces import (
    Analyzer,
    Codec,
    ConditionCard,
    Content,
    Decoded,
    Extractor,
    Kind,
    Paradigm,
    StreamInfo,
    Task,
    checked,
    unpack_stream,
)
from bench.interfaces.container import weights_digest
from bench.interfaces.values import stated_weights
from bench.metrics.measures import MEASURES
from bench.registry import codec_for_stream
from bench.results.document import stream_path
from bench.results.rows import CLASSES_FILE, MEASURES_FILE, ClassRow, MeasureRow, RDRow, read_classes
from bench.results.tables import read_table
from bench.runner.decode import decode_fresh
from bench.runner.plan import Job, coded_content, component_for, job_of_row
from bench.runner.store import Store
from bench.runner.verify import in_threads
from bench.tools import MOST_MEMORY, kill_tools

LIMIT_SECONDS = 600.0  # for decoding one stream, and for measuring its result
_RATES = {"bpp", "bpf"}  # follow from bits
_ROUNDING = 1e-6
# Most samples of a segment, and of its spikes, that are decoded and simulated for a check.
_MOST_SAMPLES = 1 << 28


class _AbsentError(Exception):
    """Something that a check needs is not on this machine; the message says what."""


@dataclass
class StreamCheck:
    """The check of one row's stream.

    Attributes
    ----------
    row
        The row.
    problems
        Where the row differs from its stream, one line each.
    decoded
        Whether the stream was decoded, to the frames that the row states.
    judged
        Whether the result was measured again, and agrees with the row.
    absent
        Why it was not decoded or not measured; empty where it was.
    """

    row: RDRow
    problems: tuple[str, ...] = ()
    decoded: bool = False
    judged: bool = False
    absent: str = ""


def drawn_rows(rows: Sequence[RDRow], sample: int, seed: int) -> list[RDRow]:
    """The rows to check: all, or `sample` of them, drawn with a seed, in their order."""
    if not 0 < sample < len(rows):
        return list(rows)
    return [rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), sample))]  # noqa: S311


def check_streams(contents: Contents, rows: Sequence[RDRow], store: Store) -> Iterator[StreamCheck]:
    """Check the streams of rows of a submission; yields the checks by row.

    As many are checked at a time as there are cores and memory for a decoder and its program, but at least one.

    Raises
    ------
    FatalError
        If the disk is full.
    """
    figures = _Figures(contents.folder)
    judge = Judge(store, LIMIT_SECONDS)

    def check(row: RDRow) -> StreamCheck:
        return _check(contents, row, figures, store, judge)

    def stop() -> None:
        judge.close()
        kill_tools()

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = max(1, min(os.cpu_count() or 1, memory // (2 * MOST_MEMORY)))
    try:
        yield from in_threads(check, rows, most, stop)
    finally:
        judge.close()


class _Figures:
    """What the tables beside rd.csv state of each job."""

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, ClassRow] = read_classes(folder / CLASSES_FILE)
        self.own: dict[str, dict[str, float]] = {}
        path = folder / MEASURES_FILE
        for _, row in read_table(path, MeasureRow) if path.exists() else ():
            self.own.setdefault(row.job, {})[row.measure] = row.value


def _check(contents: Contents, row: RDRow, figures: _Figures, store: Store, judge: Judge) -> StreamCheck:
    try:
        stream = stream_path(contents.folder, row.job).read_bytes()
    except OSError:
        return StreamCheck(row, absent="the archive has no stream of it")
    card = contents.cards[row.condition]
    try:
        info, _ = unpack_stream(stream)
        problems = [*_size_problems(stream, row), *_header_problems(info, row, card)]
        if problems:
            return StreamCheck(row, tuple(problems))
        _check_extent(info, row, card)
        _check_codec(info, row)
        decoded, sha256 = _decode(stream, store)
        if sha256 != row.decoded_sha256:
            said = f"decodes to other frames ({sha256[:12]}, the row states {row.decoded_sha256[:12]})"
            return StreamCheck(row, (said,))
    except _AbsentError as error:
        return StreamCheck(row, absent=str(error))
    except FatalError:
        raise
    except BenchError as error:
        return StreamCheck(row, (one_line(str(error)),))
    try:
        job = _job_here(row, card)
        problems = [*_job_problems(job, info, row)] or [*_measure_problems(job, decoded, row, figures, judge)]
    except _AbsentError as error:
        return StreamCheck(row, decoded=True, absent=str(error))
    except FatalError:
        raise
    except Exception as error:
        # A library that is broken here, or anything that a component raises, says nothing against the row.
        return StreamCheck(
            row, decoded=True, absent=one_line(f"cannot be measured here: {error or type(error).__name__}")
        )
    return StreamCheck(row, tuple(problems), decoded=True, judged=not problems)


def _size_problems(stream: bytes, row: RDRow) -> Iterator[str]:
    if row.bits != 8 * len(stream):
        yield f"the stream has {8 * len(stream)} bits, the row states {row.bits}"


def _header_problems(info: StreamInfo, row: RDRow, card: ConditionCard) -> Iterator[str]:
    """Where a stream's header states something else than the row and its card."""
    frames = row.num_spikes if info.content is Content.SPIKES else row.num_frames
    facts: list[tuple[str, object, object]] = [
        ("codec", info.codec, row.codec),
        ("options", info.options, row.options),
        ("rate point", str(info.rate_point), row.rate_point),
        ("codec's weights", info.weights.hex(), _start_of(row.weights_sha256)),
    ]
    # A classifier's probabilities are one frame of another size.
    if info.content is not Content.RESULT or row.task == PICTURES:
        facts.append(("shape", info.shape, (frames, row.height, row.width)))
    if (chain := info.chain) is not None:
        facts += [
            ("extractor", chain.extractor, row.extractor),
            ("first spike frame", chain.start, row.segment),
            ("stride", chain.stride, card.stride),
            ("margin", chain.margin, card.margin),
        ]
        if row.task == PICTURES:  # else the header names the analyzer for pictures
            both = weights_digest(*map(_hex, (card.extractor_sha256, card.analyzer_sha256)))
            facts.append(("analysis' weights", chain.weights.hex(), both.hex()))
    for name, there, stated in facts:
        if there != stated:
            yield f"the stream's header states the {name} {there}, the row {stated}"


def _check_extent(info: StreamInfo, row: RDRow, card: ConditionCard) -> None:
    frames = max(row.num_spikes, row.num_frames, card.num_spikes, card.num_frames)
    if max(math.prod(info.shape), frames * row.height * row.width) > _MOST_SAMPLES:
        raise _AbsentError(f"its segment has more than {_MOST_SAMPLES} samples")


def _hex(sha256: str) -> str:
    try:
        bytes.fromhex(sha256)
    except ValueError:
        raise StreamError(f"'{sha256[:20]}' is no SHA-256") from None
    return sha256


def _start_of(sha256: str) -> str:
    return weights_digest(_hex(sha256)).hex()


def _check_codec(info: StreamInfo, row: RDRow) -> None:
    """Check that the codec that decodes the stream is here, with the weights that coded it."""
    try:
        codec = codec_for_stream(info)
        state = checked.availability(codec)
    except StreamError:
        raise
    except BenchError as error:
        raise _AbsentError(str(error)) from None
    if not state.ok:
        raise _AbsentError(f"{codec.name} is not here: {state.reason}")
    _same_weights(codec.name, row.weights_sha256, stated_weights(codec))


def _same_weights(name: str, stated: str, here: str) -> None:
    if stated != here:
        raise _AbsentError(f"{name} has weights {here[:12] or 'none'} here, not {stated[:12] or 'none'}")


def _decode(stream: bytes, store: Store) -> tuple[Decoded, str]:
    with store.scratch() as scratch:
        try:
            return decode_fresh(stream, scratch, limit_seconds=LIMIT_SECONDS, foreign=True)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise StreamError("the decoder writes a larger file than it may") from None
            raise


def _job_here(row: RDRow, card: ConditionCard) -> Job:
    """The row's job, if its recording and all that runs behind the link are here."""
    try:
        job = job_of_row(row, card)
        chain = _chain(job)
    except BenchError as error:
        raise _AbsentError(str(error)) from None
    if job.info.num_spikes * job.info.height * job.info.width > _MOST_SAMPLES:  # all of it is simulated
        raise _AbsentError(f"its recording has more than {_MOST_SAMPLES} samples")
    behind = {stage.kind for stage in chain.stages[chain.stages.index(chain.decoding) :]}
    if Kind.EXTRACT in behind:
        _same_weights(chain.extractor.name, card.extractor_sha256, stated_weights(chain.extractor))
    if Kind.ANALYZE in behind:
        _same_weights(chain.analyzer.name, card.analyzer_sha256, stated_weights(chain.analyzer))
    return job


def _chain(job: Job) -> Chain:
    return Chain(
        component_for(Paradigm, job.paradigm),
        component_for(Codec, job.codec),
        component_for(Extractor, job.extractor),
        component_for(Analyzer, job.analyzer),
        component_for(Task, job.task),
    )


def _job_problems(job: Job, info: StreamInfo, row: RDRow) -> Iterator[str]:
    """Where the row differs from what its recording and paradigm say on this machine."""
    content = coded_content(job.paradigm, job.task)
    if info.content is not content:
        yield f"the stream holds {info.content.value}, {row.paradigm} codes {content.value}"
    facts: dict[str, object] = {
        "height": job.info.height,
        "width": job.info.width,
        "speed_class": job.info.speed_class,
        "evaluated": job.evaluated_text,
    }
    for name, here in facts.items():
        if getattr(row, name) != here:
            yield f"{name} is {getattr(row, name)}, the recording gives {here}"


def _measure_problems(job: Job, decoded: Decoded, row: RDRow, figures: _Figures, judge: Judge) -> Iterator[str]:
    """Measures that differ by more than one unit of the last digit that tables print."""
    measures = judge.measures(job, decoded)
    own = component_for(Task, job.task).measures
    stated: dict[str, Any] = {**row.model_dump(), **figures.own.get(row.job, {})}
    digits = {measure.name: measure.digits for measure in (*MEASURES, *own)} | {"capped_frames": 0}
    for name in sorted(digits.keys() - _RATES):
        before, now = _number(stated.get(name)), _number(measures.get(name))
        if before is None or now is None:
            differs = before is not now
        else:
            differs = not abs(now - before) <= (1 + _ROUNDING) * 10.0 ** -digits[name]
        if differs:
            yield f"{name} is {_text(now, digits[name])}, the row states {_text(before, digits[name])}"
    predicted = figures.classes[row.job].predicted if row.job in figures.classes else None
    if predicted != measures.get("predicted"):
        yield f"the predicted class is {measures.get('predicted')}, {CLASSES_FILE} states {predicted}"


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _text(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits + 1}f}"
