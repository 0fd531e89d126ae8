"""Runs a plan into a folder: rows, streams, pictures and provenance. A run can be resumed after any interruption."""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, one_line
from bench.files import FatalError, disk_errors, write_atomic
from bench.fingerprint import component_fingerprint
from bench.interfaces import (
    Codec,
    Component,
    Dataset,
    Task,
    unpack_stream,
)
from bench.metrics.measures import clash
from bench.progress import Progress
from bench.registry import GROUPS
from bench.results.dataframes import write_parquet
from bench.results.document import picture_path, read_run_file, stream_path
from bench.results.provenance import provenance
from bench.results.rows import (
    CLASSES_FILE,
    MEASURES_FILE,
    RD_FILE,
    RUN_FILE,
    SCHEMA,
    ClassRow,
    MeasureRow,
    RDRow,
    RowLog,
    measured_jobs,
    order_rows,
    read_classes,
    read_rows,
    write_rows,
)
from bench.runner.execute import Outcome, run_job, sent_frames, sequence_fingerprint
from bench.runner.locks import take_lock
from bench.runner.plan import Job, Plan, component_for
from bench.runner.pool import Finished, Lane
from bench.runner.store import Store


@dataclass
class RunReport:
    """The summary of a run.

    Attributes
    ----------
    folder
        The run's folder.
    states
        Number of rows by status.
    notes
        Lines for the user, on workers and on points that could not be timed.
    seconds
        Wall-clock seconds of this call.
    """

    folder: Path
    states: Counter[str]
    notes: list[str]
    seconds: float


def run_plan(
    plan: Plan,
    folder: Path,
    store: Store,
    *,
    lane: Lane,
    resume: bool,
    timing: int,
    progress: Progress,
    command: str = "",
) -> RunReport:
    """Run a plan into a folder.

    Each row is appended to rd.csv as soon as it is measured; at the end the rows are put into the plan's order.

    Parameters
    ----------
    lane
        The workers that run the jobs of which the store lacks a result.
    resume
        Whether to continue the run in the folder: rows that were measured are kept, all others are tried again.
    timing
        How often encoding and decoding of each point are timed, alone, after all jobs; 0 for never.
    command
        The user's command line, for run.json; empty for a call from Python.

    Raises
    ------
    BenchError
        If the folder holds another run, another process writes to it, or the disk is full.
    """
    began = time.perf_counter()
    with _locked(folder):
        store.sweep()
        with store.scratch():  # a store that cannot be written to ends the run here, not in its workers
            pass
        rows_so_far = _rows_so_far(plan, folder, resume)
        history = [*(read_run_file(folder)["provenance"] if rows_so_far else []), provenance(command)]
        facts = {**_facts(plan), "provenance": history}
        _write_run_file(folder, {"status": "running", **facts})
        log = RowLog(folder / RD_FILE)
        classes = RowLog(folder / CLASSES_FILE, ClassRow) if any(map(_classifies, plan.jobs)) else None
        figures = RowLog(folder / MEASURES_FILE, MeasureRow) if any(map(_has_measures, plan.jobs)) else None
        states, seconds_of = Counter({"ok": len(rows_so_far)}), defaultdict[tuple[str, str], float](float)
        pending = [job for job in plan.jobs if job.id not in rows_so_far]
        for done, finished in enumerate(_outcomes(pending, store, lane), start=len(rows_so_far) + 1):
            row = finished.outcome.row
            _keep(folder, finished.outcome)
            if classes and finished.outcome.classes:
                classes.append(finished.outcome.classes)
            if figures:
                for figure in finished.outcome.measures:
                    figures.append(figure)
            log.append(row)
            states[row.status] += 1
            for item in finished.outcome.times:
                seconds_of[item.side, item.kind] += item.seconds
            if finished.bug:
                _log_bug(folder, finished)
            progress(done, len(plan.jobs), _label(finished.job))
        for table, keys in ((log, 1), (classes, 1), (figures, 2)):
            if table:
                order_rows(table.path, (job.id for job in plan.jobs), keys)
        notes: list[str] = []
        if timing:
            _timing_lane(plan, folder, store, timing, progress, notes)
        write_parquet(log.path, RDRow)
        seconds = time.perf_counter() - began
        booked = {"workers": lane.workers, "stage_seconds": _by_side(seconds_of)}
        _write_run_file(folder, {"status": "finished", "wall_seconds": seconds, **booked, **facts})
    return RunReport(folder, states, [*lane.notes, *notes], seconds)


def _outcomes(jobs: Sequence[Job], store: Store, lane: Lane) -> Iterable[Finished]:
    """The outcomes of jobs: first those that the store has, then those that a lane runs."""
    known = Store(store.root, make=False)
    missing: list[Job] = []
    for job in jobs:
        try:
            outcome = run_job(job, known)
        except (Exception, SystemExit):  # a result is missing, or the job fails: the worker that runs it reports why
            missing.append(job)
        else:
            yield Finished(job, outcome)
    if missing:
        # Jobs on one sequence wait for each other's simulation and extraction, so neighbours are on different ones.
        yield from lane.run(sorted(missing, key=_spread_key), store)


def _classifies(job: Job) -> bool:
    return bool(component_for(Task, job.task).truth == "label")


def _has_measures(job: Job) -> bool:
    return bool(component_for(Task, job.task).measures)


def _spread_key(job: Job) -> tuple[str, str, str, str, str]:
    return (job.paradigm, job.codec, str(job.rate_point), job.extractor + job.analyzer, job.info.name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = take_lock(folder / ".lock", wait=False)
    if lock is None:
        raise BenchError(f"another run is writing to {folder}; wait for it or choose another --out")
    try:
        yield
    finally:
        lock.release()


def _rows_so_far(plan: Plan, folder: Path, resume: bool) -> dict[str, RDRow]:
    """The rows by job that a resumed run keeps; raises `BenchError` where the folder holds another run."""
    path = folder / RD_FILE
    if not path.exists():
        return {}
    if not resume:
        raise BenchError(f"{folder} holds a run already: --resume goes on with it, --out NAME starts another")
    document = read_run_file(folder)
    if document["plan"] != plan.digest:
        raise BenchError(f"{folder} holds another run (its grid or conditions differ); use another --out")
    now = _inputs(plan)
    changed = [
        f"{kind}: {name}"
        for kind, known in document["inputs"].items()
        for name, fingerprint in known.items()
        if now.get(kind, {}).get(name, fingerprint) != fingerprint
    ]
    if changed:
        raise BenchError(
            f"{folder}: code or data has changed since this run began ({changed[0]}, {len(changed)} in all); rows of "
            "both would not belong together, use another --out"
        )
    # Failed points are tried again, and skipped ones may have become possible.
    rows = {row.job: row for row in read_rows(path) if row.status == "ok" and stream_path(folder, row.job).exists()}
    if any(map(_classifies, plan.jobs)):
        said = read_classes(folder / CLASSES_FILE)
        rows = {job: row for job, row in rows.items() if row.accuracy is None or job in said}
    if own := {job.id for job in plan.jobs if _has_measures(job)}:
        measured = measured_jobs(folder / MEASURES_FILE)
        rows = {job: row for job, row in rows.items() if job not in own or job in measured}
    write_rows(path, rows.values())
    return rows


def _keep(folder: Path, outcome: Outcome) -> None:
    with disk_errors(folder):
        if outcome.stream:
            write_atomic(stream_path(folder, outcome.row.job), outcome.stream)
        if outcome.picture:
            write_atomic(picture_path(folder, outcome.row.job), outcome.picture)


def _log_bug(folder: Path, finished: Finished) -> None:
    with disk_errors(folder), (folder / "errors.log").open("a", encoding="utf-8") as file:
        file.write(f"{finished.job.id} {_label(finished.job)}\n{finished.bug}\n")


def _label(job: Job) -> str:
    return f"{job.paradigm} {job.codec} {job.rate_point} {job.info.name}"


def _by_side(times: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    """Seconds by side and kind of stage. Jobs ran side by side, so these seconds do not tell how fast a codec is."""
    booked: dict[str, dict[str, float]] = {}
    for (side, kind), seconds in times.items():
        booked.setdefault(side, {})[kind] = round(seconds, 3)
    return booked


def _facts(plan: Plan) -> dict[str, Any]:
    """The fields of run.json that follow from the plan; computed once, when the run begins."""
    return {
        "plan": plan.digest,
        "grids": [spec.model_dump(mode="json") for spec in plan.specs],
        "conditions": {name: card.model_dump(mode="json") for name, card in plan.cards.items()},
        "codecs": {codec: asdict(state) for codec, state in {job.codec: job.availability for job in plan.jobs}.items()},
        "origins": _origins(plan),
        "inputs": _inputs(plan),
        "measures": {task: _measures_of(task) for task in {job.task: None for job in plan.jobs if _has_measures(job)}},
        "spike_rates": {f"{job.dataset}/{job.info.name}": job.info.rate_text for job in plan.jobs},
        "speeds": {f"{job.dataset}/{job.info.name}": dict(job.info.speeds) for job in plan.jobs if job.info.speeds},
    }


def _measures_of(task: str) -> list[dict[str, Any]]:
    """The measures that a task brings, for run.json, once their names are checked."""
    measures = component_for(Task, task).measures
    if why := clash(measures):
        raise BenchError(f"{task}: measures: {why}")
    return [measure.model_dump() for measure in measures]


def _write_run_file(folder: Path, document: dict[str, Any]) -> None:
    text = json.dumps({"schema": SCHEMA, **document}, indent=1) + "\n"
    with disk_errors(folder):
        write_atomic(folder / RUN_FILE, text.encode())


def _specs(plan: Plan) -> dict[str, tuple[type[Component], list[str]]]:
    """By kind of component: its base class, and the specs that the plan uses."""
    return {
        group: (base, sorted({getattr(job, base.__name__.lower()) for job in plan.jobs}))
        for base, group in GROUPS.items()
    }


def _origins(plan: Plan) -> dict[str, dict[str, str]]:
    """The specs of components as the user gave them on this machine, by the names that rows have."""
    return {
        kind: {component_for(base, spec).spec: spec for spec in specs} for kind, (base, specs) in _specs(plan).items()
    }


def _inputs(plan: Plan) -> dict[str, dict[str, str]]:
    """Fingerprints of all that rows depend on: components with their code and weights, binaries, sequences."""
    inputs = {
        kind: {spec: component_fingerprint(component_for(base, spec)) for spec in specs}
        for kind, (base, specs) in _specs(plan).items()
        if kind != "datasets"
    }
    inputs["binaries"] = {job.codec: job.availability.sha256 for job in plan.jobs if job.availability.ok}
    inputs["sequences"] = {
        f"{job.dataset}/{job.info.name}": sequence_fingerprint(component_for(Dataset, job.dataset), job.info.name)
        for job in plan.jobs
    }
    return inputs


def _timing_lane(plan: Plan, folder: Path, store: Store, repeats: int, progress: Progress, notes: list[str]) -> None:
    """Time every measured point alone, and note why a point cannot be timed; after an interrupt the times are kept."""
    path = folder / RD_FILE
    rows, jobs = read_rows(path), {job.id: job for job in plan.jobs}
    try:
        for index, row in enumerate(rows):
            job = jobs[row.job]
            progress(index + 1, len(rows), f"timing {_label(job)}")
            if row.status != "ok":
                continue
            try:
                rows[index] = row.model_copy(update=_timed(job, stream_path(folder, job.id), store, repeats))
            except FatalError:
                raise
            except (Exception, SystemExit) as error:  # the codec fails, though it did the same in the run
                notes.append(one_line(f"not timed: {_label(job)}: {type(error).__name__}: {error}"))
    finally:
        write_rows(path, rows)


def _timed(job: Job, path: Path, store: Store, repeats: int) -> dict[str, float]:
    """The columns of times of a point, seconds: medians and spreads over `repeats` runs, after one warm-up."""
    codec = component_for(Codec, job.codec)
    stream = path.read_bytes()
    info, _ = unpack_stream(stream)
    coding = (sent_frames(job, store), job.rate_point, job.card.coding, info.content)
    encode = _median(_repeat(repeats, functools.partial(codec.encode, *coding)))
    decode = _median(_repeat(repeats, functools.partial(codec.decode, stream)))
    names = ("encode_seconds", "encode_spread", "decode_seconds", "decode_spread")
    return dict(zip(names, (*encode, *decode), strict=True))


def _repeat(repeats: int, action: Callable[[], object]) -> list[float]:
    """Seconds of each repeat after one warm-up."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def _median(values: Sequence[float]) -> tuple[float, float]:
    """Median and median absolute deviation."""
    middle = statistics.median(values)
    return middle, float(np.median(np.abs(np.array(values) - middle)))
