"""From a run's spec to its list of jobs, before anything heavy is loaded or simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from bench.errors import BenchError
from bench.fingerprint import digest
from bench.interfaces import (
    Analyzer,
    Availability,
    Codec,
    CodingCondition,
    ConditionCard,
    Content,
    Dataset,
    Extractor,
    Kind,
    Paradigm,
    RatePoint,
    SequenceInfo,
    Task,
    check_wiring,
)
from bench.registry import create
from bench.runner.spec import CodecEntry, RunSpec

_NOT_ASKED = Availability(ok=False)


@dataclass(frozen=True)
class Job:
    """One row to be: everything that a worker needs, by name and number.

    Attributes
    ----------
    dataset, paradigm, task, extractor, analyzer, codec
        Specs from which the registry makes the components again.
    info
        The sequence.
    start
        First spike frame of the segment in the recording.
    evaluated
        Coding instants k whose result has a truth.
    skip
        Why the job is not run; empty where it is.
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

    @property
    def id(self) -> str:
        """Twelve hex digits over what names the job's cell in the grid."""
        components = [self.dataset, self.paradigm, self.task, self.extractor, self.analyzer, self.codec]
        place = [self.info.name, self.start, str(self.rate_point), self.card.digest, self.seed]
        return digest(components + place)[:12]

    @property
    def instants(self) -> list[int]:
        """Coding instants as spike indices within the segment."""
        return [self.card.margin + k * self.card.stride for k in range(self.card.num_frames)]


@dataclass(frozen=True)
class Plan:
    """A run's jobs in the order of their rows, with what was found out on the way."""

    spec: RunSpec
    jobs: tuple[Job, ...]

    @property
    def cards(self) -> dict[str, ConditionCard]:
        """Condition cards by hash."""
        return {job.card.digest: job.card for job in self.jobs}

    @property
    def digest(self) -> str:
        """Names the plan: the same jobs in the same order."""
        return digest([job.id for job in self.jobs])[:12]

    def summary(self) -> dict[str, int]:
        """Number of jobs to run and to skip."""
        skipped = sum(bool(job.skip) for job in self.jobs)
        return {"jobs": len(self.jobs), "to run": len(self.jobs) - skipped, "to skip": skipped}


def make_plan(spec: RunSpec) -> Plan:
    """List the jobs of a spec.

    Raises
    ------
    BenchError
        If a name is unknown, a dataset is not available, or a recording is too short for the condition.
    """
    spec.check_names()
    codecs = [(entry, create(Codec, entry.codec)) for entry in spec.codecs]
    available = {entry.codec: codec.available() for entry, codec in codecs}
    jobs: list[Job] = []
    for cell in _cells(spec):
        for entry, codec in codecs:
            if not entry.paradigms or cell.paradigm in entry.paradigms:
                jobs += _at_rate_points(cell, spec, entry, codec, available[entry.codec])
    if not jobs:
        raise BenchError("the grid is empty: no sequence, codec or paradigm is left")
    return Plan(spec, tuple(jobs))


def _cells(spec: RunSpec) -> Iterator[Job]:
    """Everything of a job but its codec and rate point."""
    for dataset_spec in spec.datasets:
        dataset = create(Dataset, dataset_spec)
        state = dataset.available()
        if not state.ok:
            raise BenchError(f"dataset {dataset.name}: {state.reason}")
        for info, start in _segments(dataset, spec):
            for task, extractor, paradigm in product(spec.tasks, spec.extractors, spec.paradigms):
                for analyzer in _analyzers(spec, task):
                    yield Job(
                        dataset=dataset_spec,
                        info=info,
                        start=start,
                        task=task,
                        paradigm=paradigm,
                        extractor=extractor,
                        analyzer=analyzer,
                        card=_card(spec, info, start, task, extractor, analyzer),
                        evaluated=_evaluated(info, start, spec),
                        seed=spec.seed,
                    )


def _at_rate_points(cell: Job, spec: RunSpec, entry: CodecEntry, codec: Codec, availability: Availability) -> list[Job]:
    """A cell's jobs with one codec, from its lowest rate to its highest."""
    content = coded_content(cell.paradigm, cell.task)
    stated = entry.rates or spec.rates
    skip = "" if availability.ok else availability.reason
    if not codec.takes(content):
        takes = " and ".join(sorted(codec.accepts))
        skip = f"{codec.name} takes {takes} only, {cell.paradigm} codes {content.value}"
    else:
        for point in stated:
            codec.check_rate_point(point)
    return [
        replace(cell, codec=entry.codec, rate_point=point, availability=availability, skip=skip)
        for point in stated or codec.rate_points_for(content)
    ]


def coded_content(paradigm: str, task: str) -> Content:
    """What a paradigm sends for a task."""
    stages = create(Paradigm, paradigm).wire([task])
    check_wiring(stages, [task])
    return next(stage.content for stage in stages if stage.kind is Kind.ENCODE and stage.content)


def _analyzers(spec: RunSpec, task: str) -> list[str]:
    if not spec.analyzers:
        return [create(Task, task).default_analyzer]
    fitting = [name for name in spec.analyzers if create(Analyzer, name).task == task]
    if not fitting:
        raise BenchError(f"none of the analyzers {', '.join(spec.analyzers)} is for the task {task}")
    return fitting


def _segments(dataset: Dataset, spec: RunSpec) -> list[tuple[SequenceInfo, int]]:
    """Chosen sequences, each with the starts of its segments."""
    infos = dataset.sequences()
    if spec.sequences:
        known = {info.name for info in infos}
        if not known & set(spec.sequences):
            some = ", ".join(sorted(known)[:10])
            raise BenchError(f"{dataset.name} has none of {', '.join(spec.sequences)} (it has: {some})")
        infos = [info for info in infos if info.name in spec.sequences]
    if spec.limit:
        infos = infos[: spec.limit]
    return [(info, start) for info in infos for start in _starts(info, spec)]


def _starts(info: SequenceInfo, spec: RunSpec) -> list[int]:
    """Consecutive segments; where only some instants have a truth, the first of these is a coding instant."""
    need = spec.num_spikes
    if info.num_spikes < need:
        fits = (info.num_spikes - 2 * spec.margin - 1) // spec.stride + 1
        hint = f"use --frames {fits}" if fits > 0 else "use a smaller --margin"
        raise BenchError(
            f"{info.name} has {info.num_spikes} spike frames; {spec.frames} instants at stride {spec.stride} with "
            f"margin {spec.margin} need {need}: {hint}"
        )
    first = 0
    if info.truth_at:
        room = min(info.truth_at[0] - spec.margin, (spec.frames - 1) * spec.stride)
        if room < 0:
            raise BenchError(f"{info.name}: its truth at {info.truth_at[0]} lies within the margin {spec.margin}")
        first = info.truth_at[0] - spec.margin - room // spec.stride * spec.stride
        while first + need > info.num_spikes:
            first -= spec.stride
        if first < 0:
            raise BenchError(f"{info.name}: no segment of {need} spike frames holds its truth; use fewer --frames")
    step = spec.frames * spec.stride
    starts = list(range(first, info.num_spikes - need + 1, step))
    return starts[: spec.segments] if spec.segments else starts


def _evaluated(info: SequenceInfo, start: int, spec: RunSpec) -> tuple[int, ...]:
    instants = [start + spec.margin + k * spec.stride for k in range(spec.frames)]
    return tuple(k for k, t in enumerate(instants) if info.truth_at is None or t in info.truth_at)


def _card(spec: RunSpec, info: SequenceInfo, start: int, task: str, extractor: str, analyzer: str) -> ConditionCard:
    evaluated = _evaluated(info, start, spec)
    whole = len(evaluated) == spec.frames
    made = create(Extractor, extractor), create(Analyzer, analyzer)
    return ConditionCard(
        task=task,
        num_spikes=spec.num_spikes,
        stride=spec.stride,
        num_frames=spec.frames,
        margin=spec.margin,
        evaluated="all" if whole else evaluated or "none",
        coding=CodingCondition(intra_period=spec.intra_period, structure=spec.structure),
        extractor=made[0].spec,
        extractor_sha256=made[0].weights_sha256,
        analyzer=made[1].spec,
        analyzer_sha256=made[1].weights_sha256,
    )
