"""The measurements that a suite asks for besides its rows, each in a table of its own in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from bench.complexity import PUBLISHED_SIZE
from bench.interfaces import Content
from bench.measure.iqa import IQA_FILE, IqaRow, score_run
from bench.measure.networks import NETWORKS_FILE, NetworkRow, count_networks
from bench.measure.profile import PROFILE_FILE, Profiled, ProfileRow, profile_chains
from bench.measure.recognition import RECOGNITION_FILE, RecognitionRow, recognise
from bench.metrics.smoothness import laplacian_norms
from bench.progress import Progress
from bench.results.document import picture_path
from bench.results.tables import JobId, TableRow, read_table, write_table
from bench.runner.execute import sent_frames
from bench.runner.plan import Job, Plan, coded_content
from bench.runner.spec import Suite
from bench.runner.store import Store

SMOOTHNESS_FILE = "smoothness.csv"


class SmoothnessRow(TableRow):
    """One row of smoothness.csv: the smoothness of the features of one segment."""

    job: JobId = Field(description="A row of rd.csv whose encoder got these features.")
    dataset: str = Field(description="Dataset with its non-default options.")
    sequence: str = Field(description="The sequence.")
    extractor: str = Field(description="Extractor with its non-default options.")
    extractor_sha256: str = Field(default="", description="SHA-256 of its weights.")
    laplacian_l1: float = Field(description="Mean magnitude of the features' Laplacian.")
    laplacian_l2: float = Field(description="Mean square of the features' Laplacian.")


def measure_beside(suite: Suite, plan: Plan, folder: Path, store: Store, progress: Progress) -> Iterator[Path]:
    """Measure what the suite asks for besides rows, and write the tables into the run's folder.

    An existing profile.csv is kept, because its seconds were measured on an idle machine; so is a recognition.csv.

    Yields
    ------
    The path of each table as soon as it is written.

    Raises
    ------
    BenchError
        If a metric, codec or chain is unknown, or the folder cannot be written to.
    """
    if suite.smoothness:
        write_table(folder / SMOOTHNESS_FILE, SmoothnessRow, _smoothness(plan, store, progress))
        yield folder / SMOOTHNESS_FILE
    if suite.count:
        rows = [row for codec in suite.count for row in count_networks(codec, "", *PUBLISHED_SIZE)]
        write_table(folder / NETWORKS_FILE, NetworkRow, rows)
        yield folder / NETWORKS_FILE
    if suite.recognition and not (folder / RECOGNITION_FILE).exists():
        write_table(folder / RECOGNITION_FILE, RecognitionRow, recognise(classified(plan), progress))
        yield folder / RECOGNITION_FILE
    if suite.iqa and not _scored(plan, folder, suite.iqa):
        score_run(folder, suite.iqa, progress)
        yield folder / IQA_FILE
    if suite.profile and not (folder / PROFILE_FILE).exists():
        chains = [Profiled(paradigm, codec) for paradigm, codec in map(str.split, suite.profile)]
        write_table(folder / PROFILE_FILE, ProfileRow, profile_chains(chains, progress))
        yield folder / PROFILE_FILE


def classified(plan: Plan) -> list[str]:
    """Specs of the datasets that a plan has classification jobs of."""
    return list(dict.fromkeys(job.dataset for job in plan.jobs if job.task == "classification"))


def _smoothness(plan: Plan, store: Store, progress: Progress) -> list[SmoothnessRow]:
    """Laplacian norms of the features of each segment and extractor; the store has the features from coding them."""
    segments: dict[tuple[object, ...], Job] = {}
    for job in plan.jobs:
        if not job.skip and coded_content(job.paradigm, job.task) is Content.FEATURES:
            segments.setdefault((job.dataset, job.info.name, job.start, job.extractor), job)
    rows = []
    for done, job in enumerate(segments.values(), start=1):
        l1, l2 = laplacian_norms(sent_frames(job, store))
        rows.append(
            SmoothnessRow(
                schema_version=1,
                job=job.id,
                dataset=job.dataset,
                sequence=job.info.name,
                extractor=job.card.extractor,
                extractor_sha256=job.card.extractor_sha256,
                laplacian_l1=l1,
                laplacian_l2=l2,
            )
        )
        progress(done, len(segments), f"smoothness of {job.info.name}")
    return rows


def _scored(plan: Plan, folder: Path, metrics: Sequence[str]) -> bool:
    """Whether iqa.csv has a score of every picture of the run by every metric."""
    path = folder / IQA_FILE
    if not path.exists():
        return False
    pairs = {(row.job, row.metric) for _, row in read_table(path, IqaRow)}
    jobs = [job.id for job in plan.jobs if picture_path(folder, job.id).exists()]
    return all((job, metric) in pairs for job in jobs for metric in metrics)
