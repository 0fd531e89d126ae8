"""Expands the specification of a run into its list of jobs, before anything heavy is loaded or simulated."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import BenchError
from bench.fingerprint import digest
from bench.interfaces import (
    Analyzer,
    Availability,
    Codec,
    Component,
    ConditionCard,
    Content,
    Dataset,
    Extractor,
    Kind,
    Paradigm,
    RatePoint,
    SequenceInfo,
    Task,
    checked,
    join_names,
)
from bench.interfaces.values import stated_weights
from bench.rates import own_point
from bench.registry import check_foreign, create, names
from bench.results.rows import RDRow, codec_spec
from bench.results.tables import check_text
from bench.runner.spec import CodecEntry, RunSpec
from bench.sampling import Sampling

_NOT_ASKED = Availability(ok=False)
_NO_POINT = "not at this rate point: "


@dataclass(frozen=True)
class Job:
    """The work for one row, in names and numbers alone, so that it can be sent to a worker.

    Attributes
    ----------
    dataset, paradigm, task, extractor, analyzer, codec
        Specs from which a worker creates the components.
    info
        The sequence.
    start
        First spike frame of the segment in the recording.
    card
        Condition card of the row.
    evaluated
        Numbers k of the coding instants whose result has a truth.
    seed
        Seed of the run.
    rate_point
        The codec's rate point.
    availability
        Whether the codec can run here, with its version and the hash of its binaries.
    skip
        Why the job is not run; empty where it is.
    id
        Twelve hex digits of a hash of the job's place in the grid, the same on every machine.
    """

    dataset: str
    info: SequenceInfo
    start: int
    task: str
    paradigm: str
    extractor: str
    analyzer: str
    card: ConditionCard
    evaluated: tuple[int, ...]
    seed: int
    codec: str = ""
    rate_point: RatePoint = ""
    availability: Availability = _NOT_ASKED
    skip: str = ""
    id: str = ""

    @property
    def instants(self) -> list[int]:
        """Coding instants as spike indices within the segment."""
        return [self.card.margin + k * self.card.stride for k in range(self.card.num_frames)]

    @property
    def evaluated_text(self) -> str:
        """The evaluated instants as the column `evaluated` of a row states them."""
        return "all" if len(self.evaluated) == self.card.num_frames else " ".join(map(str, self.evaluated))


@dataclass(frozen=True)
class Plan:
    """The jobs of a run in the order of their rows, and the grids that they come from.

    Attributes
    ----------
    shortened
        One line for each grid whose recordings are all too short for the default number of instants.
    """

    specs: tuple[RunSpec, ...]
    jobs: tuple[Job, ...]
    shortened: tuple[str, ...] = ()

    @property
    def cards(self) -> dict[str, ConditionCard]:
        """Condition cards by hash."""
        return {job.card.digest: job.card for job in self.jobs}

    @property
    def digest(self) -> str:
        """Twelve hex digits that identify the plan: plans with the same jobs in the same order have the same ones."""
        return digest([job.id for job in self.jobs])[:12]

    @property
    def notes(self) -> list[str]:
        """`shortened`, and a line for each recording with truths before the first evaluated instant."""
        firsts: dict[tuple[str, str], tuple[int, Job]] = {}
        for job in self.jobs:
            if job.evaluated:
                first = job.start + job.instants[job.evaluated[0]]
                name = job.dataset, job.info.name
                firsts[name] = min(firsts.get(name, (first, job)), (first, job), key=lambda known: known[0])
        early = {
            name: ", ".join(str(index) for index in sorted(job.info.truth_at or ()) if index < first)
            for name, (first, job) in firsts.items()
        }
        return [
            *self.shortened,
            *(
                f"{dataset}/{name}: no segment codes its truth at {indices}, which is not evaluated"
                for (dataset, name), indices in early.items()
                if indices
            ),
        ]

    def summary(self) -> dict[str, int]:
        """Number of jobs (``jobs``), of those to run (``to run``) and of those to skip (``to skip``)."""
        skipped = sum(bool(job.skip) for job in self.jobs)
        return {"jobs": len(self.jobs), "to run": len(self.jobs) - skipped, "to skip": skipped}

    @property
    def work(self) -> str:
        """What the jobs to run code, as text: frames and spike frames, and millions of samples."""
        frames = {False: 0, True: 0}
        samples = 0
        for job in self.jobs:
            if not job.skip:
                spikes = coded_content(job.paradigm, job.task).is_spikes
                count = job.card.num_spikes if spikes else job.card.num_frames
                frames[spikes] += count
                samples += count * job.info.height * job.info.width
        counts = {"frames": frames[False], "spike frames": frames[True]}
        kinds = [f"{count:,} {name}" for name, count in counts.items() if count]
        return f"{' and '.join(kinds) or 'nothing'} to code, {samples / 1e6:,.1f} million samples"


@dataclass(frozen=True)
class _Selected:
    """A grid's dataset, by its spec, and the sequences that the grid asks for."""

    spec: str
    dataset: Dataset
    infos: list[SequenceInfo]


def make_plan(*specs: RunSpec) -> Plan:
    """List the jobs of one or more grids; a job that several grids share is listed once, with the first of them.

    Raises
    ------
    BenchError
        If a name is unknown; a dataset is not available or does not fit a task or classifier; all its recordings are
        too short for the condition; or no job is left, or none that has a rate point of its codec.
    """
    jobs: dict[str, Job] = {}
    grids: list[RunSpec] = []
    notes: list[str] = []
    for spec in specs:
        spec.check_names()
        _check_datasets(spec)
        selected = [_select(dataset, spec) for dataset in spec.datasets]
        fitting, note = _fitting(spec, selected)
        grids.append(fitting)
        notes += [note] if note else []
        for job in _grid(fitting, selected):
            jobs.setdefault(job.id, job)
    wrong = [job.skip for job in jobs.values() if job.skip.startswith(_NO_POINT)]
    if wrong and all(job.skip for job in jobs.values()):
        raise BenchError(wrong[0].removeprefix(_NO_POINT))
    return Plan(tuple(grids), tuple(jobs.values()), tuple(notes))


def _fitting(spec: RunSpec, selected: Sequence[_Selected]) -> tuple[RunSpec, str]:
    """The grid with as many instants as fit, where it states no number and all recordings are too short; and a note."""
    if "frames" in spec.model_fields_set:
        return spec, ""
    longest = max((info.num_spikes for part in selected for info in part.infos), default=0)
    fits = spec.sampling.count(longest)
    if not 0 < fits < spec.frames:
        return spec, ""
    note = f"{fits} instants a segment instead of {spec.frames}: the longest recording has {longest} spike frames"
    return spec.model_copy(update={"frames": fits}), note


def _grid(spec: RunSpec, selected: Sequence[_Selected]) -> list[Job]:
    codecs = [(entry, create(Codec, entry.codec)) for entry in spec.codecs]
    available = {entry.codec: checked.availability(codec) for entry, codec in codecs}
    for _, codec in codecs:
        checked.together(codec)
    jobs: list[Job] = []
    for cell in _cells(spec, selected):
        for entry, codec in codecs:
            if not entry.paradigms or cell.paradigm in entry.paradigms:
                jobs += _at_rate_points(cell, spec, entry, codec, available[entry.codec])
    if not jobs:
        raise BenchError("the grid is empty: no sequence, codec or paradigm is left")
    return jobs


def _check_datasets(spec: RunSpec) -> None:
    """Refuse two datasets that rows cannot tell apart, such as two folders that the same kind of dataset reads."""
    named = [create(Dataset, dataset).spec for dataset in spec.datasets]
    twice = {name for name in named if named.count(name) > 1}
    if twice:
        raise BenchError(f"two datasets are both named '{min(twice)}' in results; measure them in two runs")


def _cells(spec: RunSpec, selected: Sequence[_Selected]) -> Iterator[Job]:
    """The cells of a grid: jobs that lack only codec and rate point."""
    for part in selected:
        for task in spec.tasks:
            _check_truth(part, task)
        for info, start, skip in _segments(part.infos, spec):
            for task, extractor, paradigm in itertools.product(spec.tasks, spec.extractors, spec.paradigms):
                for analyzer in _analyzers(spec, part.spec, extractor, task):
                    _check_classes(part.dataset, analyzer)
                    yield Job(
                        dataset=part.spec,
                        info=info,
                        start=start,
                        task=task,
                        paradigm=paradigm,
                        extractor=extractor,
                        analyzer=analyzer,
                        card=_card(spec, task, extractor, analyzer),
                        evaluated=() if skip else _evaluated(info, start, spec.sampling, spec.frames, task),
                        seed=spec.seed,
                        skip=skip,
                    )


def _check_truth(selected: _Selected, task: str) -> None:
    """Refuse a task whose truth the dataset does not know."""
    dataset, needs = selected.dataset, create(Task, task).truth
    if needs == "label" and not dataset.classes:
        raise BenchError(f"the task {task} needs a dataset with classes; {dataset.name} has none")
    if needs == "shift" and any(info.velocity is None for info in selected.infos):
        raise BenchError(f"the task {task} needs sequences whose object's velocity is known; {dataset.name} has others")


def _check_classes(dataset: Dataset, analyzer: str) -> None:
    """Refuse a classifier for another number of classes than the dataset has."""
    told = component_for(Analyzer, analyzer).classes
    if told is not None and told != len(dataset.classes):
        raise BenchError(f"{analyzer} tells {told} classes apart, {dataset.name} has {len(dataset.classes)}")


def _at_rate_points(cell: Job, spec: RunSpec, entry: CodecEntry, codec: Codec, availability: Availability) -> list[Job]:
    """A cell's jobs with one codec, from its lowest rate to its highest."""
    content = coded_content(cell.paradigm, cell.task)
    points = entry.rates or spec.rates or checked.rate_points(codec, content)
    jobs = []
    for written in points:
        point = own_point(codec, content, written)
        skip = "" if availability.ok else availability.reason
        if cell.skip:
            skip = cell.skip
        elif not codec.takes(content):
            takes = " and ".join(sorted(codec.accepts))
            skip = f"{codec.name} takes {takes} only, {cell.paradigm} codes {content.value}{_elsewhere(codec, cell)}"
        elif refusal := _refusal(codec.check_condition, spec.coding):
            skip = refusal
        elif points is spec.rates:
            refusal = _refusal(codec.check_rate_point, point)
            skip = f"{_NO_POINT}{refusal}" if refusal else skip
        else:
            codec.check_rate_point(point)
        job = replace(cell, codec=entry.codec, rate_point=point, availability=availability, skip=skip)
        jobs.append(replace(job, id=_job_id(job)))
    return jobs


def _elsewhere(codec: Codec, cell: Job) -> str:
    """A hint at the paradigms that code what a codec takes; empty where there are none."""
    fitting = [name for name in names(Paradigm) if codec.takes(coded_content(name, cell.task))]
    return f" (--paradigm {','.join(fitting)} codes that)" if fitting else ""


def _refusal(check: Callable[[Any], None], value: object) -> str:
    """Why a codec refuses a value that was given for all codecs; empty where it accepts it."""
    try:
        check(value)
    except BenchError as error:
        return str(error)
    return ""


def id_of_row(row: RDRow) -> str:
    """The id that the job of a row has by what the row states (`_job_id`)."""
    components = [row.dataset, row.paradigm, row.task, row.extractor, row.analyzer, codec_spec(row.codec, row.options)]
    return digest([*components, row.sequence, row.segment, row.rate_point, row.condition, row.seed])[:12]


def job_of_row(row: RDRow, card: ConditionCard) -> Job:
    """The job whose result a row of someone else states, for components and recordings of this machine.

    Raises
    ------
    BenchError
        If a component is not installed or states what only this machine may, or its dataset is not here or does not
        have the segment.
    """
    codec = codec_spec(row.codec, row.options)
    kinds: dict[type[Component], str] = {
        Dataset: row.dataset, Paradigm: row.paradigm, Task: row.task, Extractor: row.extractor,
        Analyzer: row.analyzer, Codec: codec,
    }  # fmt: skip
    for base, spec in kinds.items():
        check_foreign(base, spec, "the row", "it is refused", readable=False)
    dataset = component_for(Dataset, row.dataset)
    checked.require(dataset, "dataset")
    info = next((info for info in checked.sequences(dataset) if info.name == row.sequence), None)
    if info is None:
        raise BenchError(f"{row.dataset} has no sequence '{row.sequence}' here")
    if not 0 <= row.segment <= info.num_spikes - card.num_spikes:
        raise BenchError(f"{row.dataset}/{row.sequence} has no {card.num_spikes} spike frames from {row.segment} on")
    sampling = Sampling(card.stride, card.margin)
    return Job(
        dataset=row.dataset, info=info, start=row.segment, task=row.task, paradigm=row.paradigm,
        extractor=row.extractor, analyzer=row.analyzer, card=card,
        evaluated=_evaluated(info, row.segment, sampling, card.num_frames, row.task), seed=row.seed, codec=codec,
        rate_point=row.rate_point, id=row.job,
    )  # fmt: skip


def _job_id(job: Job) -> str:
    """Hash of the components' specs, as rows state them, and of the job's place in the grid."""
    kinds: dict[type[Component], str] = {
        Dataset: job.dataset,
        Paradigm: job.paradigm,
        Task: job.task,
        Extractor: job.extractor,
        Analyzer: job.analyzer,
        Codec: job.codec,
    }
    components = [_canonical(base, spec) for base, spec in kinds.items()]
    place = [job.info.name, job.start, str(job.rate_point), job.card.digest, job.seed]
    return digest(components + place)[:12]


@functools.lru_cache(maxsize=256)
def component_for(base: type[Any], spec: str) -> Any:
    """The component that a spec names, created once per process; raises as `bench.registry.create`."""
    return create(base, spec)


@functools.lru_cache(maxsize=256)
def _canonical(base: type[Component], spec: str) -> str:
    """A spec as rows state it."""
    return str(component_for(base, spec).spec)


@functools.lru_cache(maxsize=256)
def coded_content(paradigm: str, task: str) -> Content:
    """The content that a paradigm codes for a task."""
    stages = checked.stages(component_for(Paradigm, paradigm), [task])
    return next(stage.content for stage in stages if stage.kind is Kind.ENCODE and stage.content)


@functools.lru_cache(maxsize=256)
def default_analyzer(extractor: str, task: str, dataset: str = "") -> str:
    """The spec of the analyzer that a task takes by default, for an extractor and (if it is named) a dataset."""
    judged: Task = component_for(Task, task)
    return judged.analyzer_for(
        component_for(Extractor, extractor), component_for(Dataset, dataset) if dataset else None
    )


def _analyzers(spec: RunSpec, dataset: str, extractor: str, task: str) -> list[str]:
    if not spec.analyzers:
        return [default_analyzer(extractor, task, dataset)]
    judging: Task = component_for(Task, task)
    fitting = [name for name in spec.analyzers if judging.takes(component_for(Analyzer, name))]
    if not fitting:
        raise BenchError(f"none of the analyzers {', '.join(spec.analyzers)} is for the task {task}")
    return fitting


def _segments(infos: Sequence[SequenceInfo], spec: RunSpec) -> list[tuple[SequenceInfo, int, str]]:
    """The selected sequences: one entry for each segment, with its start, or one with the reason why there is none.

    Raises
    ------
    BenchError
        If no sequence has a segment.
    """
    segments: list[tuple[SequenceInfo, int, str]] = []
    refused = []
    for info in infos:
        try:
            segments += [(info, start, "") for start in _starts(info, spec)]
        except BenchError as error:
            refused.append(error)
            segments.append((info, 0, str(error)))
    if refused and len(refused) == len(infos):
        raise refused[0]
    return segments


def _select(name: str, spec: RunSpec) -> _Selected:
    """A dataset with those of its sequences that the grid asks for.

    Raises
    ------
    BenchError
        If the dataset is not available, or names are unknown, not unique or unfit for a table.
    """
    dataset = create(Dataset, name)
    checked.require(dataset, "dataset")
    infos = checked.sequences(dataset)
    named = [info.name for info in infos]
    twice = {name for name in named if named.count(name) > 1} if len(set(named)) < len(named) else set()
    if twice:
        raise BenchError(f"{dataset.name} has two sequences named '{min(twice)}'; rename one")
    for label in named:
        try:
            check_text(label)
        except ValueError as error:
            raise BenchError(f"{dataset.name}: {label!r} is no name for a sequence, {error}; rename it") from None
    if spec.sequences:
        known = {info.name for info in infos}
        absent = sorted(set(spec.sequences) - known)
        if absent:
            some = join_names(named[:10])
            raise BenchError(f"{dataset.name} has no sequence {join_names(absent)} (it has: {some})")
        infos = [info for info in infos if info.name in spec.sequences]
    return _Selected(name, dataset, infos[: spec.limit] if spec.limit else infos)


def _starts(info: SequenceInfo, spec: RunSpec) -> list[int]:
    """The starts of consecutive segments; the first one is placed by the truths where only some instants have one."""
    need = spec.num_spikes
    if info.num_spikes < need:
        fits = spec.sampling.count(info.num_spikes)
        hint = f"use --frames {fits}" if fits > 0 else "use a smaller --margin"
        raise BenchError(
            f"{info.name} has {info.num_spikes} spike frames; {spec.frames} instants at stride {spec.stride} with "
            f"margin {spec.margin} need {need}: {hint}"
        )
    first = _first_start(info, spec) if info.truth_at else 0
    step = spec.frames * spec.stride
    starts = list(range(first, info.num_spikes - need + 1, step))
    return starts[: spec.segments] if spec.segments else starts


def _first_start(info: SequenceInfo, spec: RunSpec) -> int:
    """The start of a segment that codes the earliest possible truth, as far as possible from an intra frame.

    Intra frames have a higher quality than their neighbours, so a single evaluated instant must not be one by accident.
    """
    truths = sorted(info.truth_at or ())
    period = spec.intra_period
    for truth_at in truths:
        starts = {k: truth_at - spec.margin - k * spec.stride for k in range(spec.frames)}
        fitting = [k for k, start in starts.items() if 0 <= start <= info.num_spikes - spec.num_spikes]
        if fitting:
            return starts[min(fitting, key=lambda k: (abs(k % period - period / 2), k))]
    places = ", ".join(map(str, truths[:3])) + (f" and {len(truths) - 3} more" if len(truths) > 3 else "")
    raise BenchError(
        f"{info.name}: no segment of {spec.num_spikes} spike frames codes its truth at {places}; use fewer "
        "--frames or a smaller --margin"
    )


def _evaluated(info: SequenceInfo, start: int, sampling: Sampling, frames: int, task: str) -> tuple[int, ...]:
    if component_for(Task, task).truth != "luminance":
        return ()
    instants = [start + sampling.margin + k * sampling.stride for k in range(frames)]
    return tuple(k for k, t in enumerate(instants) if info.truth_at is None or t in info.truth_at)


@functools.lru_cache(maxsize=256)
def _card(spec: RunSpec, task: str, extractor: str, analyzer: str) -> ConditionCard:
    components = component_for(Extractor, extractor), component_for(Analyzer, analyzer)
    return ConditionCard(
        task=task,
        num_spikes=spec.num_spikes,
        stride=spec.stride,
        num_frames=spec.frames,
        margin=spec.margin,
        coding=spec.coding,
        delay=spec.coding.delay,
        extractor=components[0].spec,
        extractor_sha256=stated_weights(components[0]),
        analyzer=components[1].spec,
        analyzer_sha256=stated_weights(components[1]),
    )
