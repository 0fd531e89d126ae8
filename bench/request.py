"""Requests for a run. The command line and Python share these functions to plan and measure it."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.paths import free_folder, natural_order, word
from bench.progress import Progress
from bench.results.document import read_run_file
from bench.runner.plan import Plan, make_plan
from bench.runner.pool import Lane, LocalLane
from bench.runner.run import RunReport, run_plan
from bench.runner.spec import Suite, load_suite, make_spec
from bench.runner.store import Store, open_store

_DAY = 24 * 3600.0
ProgressBar = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Request:
    """What a run measures, and how.

    Attributes
    ----------
    suite
        The grids, and further measurements besides their rows.
    plan
        The jobs of the grids.
    out
        Folder of the run; None for a folder in results/ with the name of the grid.
    resume
        Continue the run in the folder.
    jobs
        Number of worker processes on this machine, with one thread each; 0 means one per core.
    scheduler
        Run the jobs on a Dask cluster instead: ``tcp://HOST:PORT``, or ``local:N`` for N workers on this machine.
    job_limit
        Seconds after which a job of the local pool is stopped and its row is failed; 0 means never, None a day.
    timing
        Number of repeats for which each point is then encoded and decoded alone, to time it; 0 means no timing.
    figures
        Draw RD curves and pictures in the run's folder.
    command
        The command line, for run.json; empty from Python.
    store
        Folder of the store; None for the user's.
    """

    suite: Suite
    plan: Plan
    out: Path | None = None
    resume: bool = False
    jobs: int = 0
    scheduler: str = ""
    job_limit: float | None = None
    timing: int = 0
    figures: bool = True
    command: str = ""
    store: Path | None = None


@dataclass
class Measured:
    """The outcome of a request.

    Attributes
    ----------
    report
        The run's folder, and the number of rows of each status.
    more
        Files of further measurements.
    figures
        Files of figures.
    """

    report: RunReport
    more: list[Path] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)


def choose(
    suite: str = "", preset: str = "", smoothness: bool = False, recognition: bool = False, **grid: object
) -> tuple[Suite, Plan]:
    """Read the suite of a request, and plan its jobs.

    Parameters
    ----------
    suite, preset
        Name of a shipped suite or path of a TOML file, and the size of a suite that has several. Without a suite, the
        fields of the grid define the request.
    smoothness, recognition
        Add these measurements to those of the suite.
    grid
        Fields of `RunSpec`; they override those of the suite.

    Raises
    ------
    BenchError
        If a field, name or option is wrong, or no job can be planned.
    """
    if preset and not suite:
        raise BenchError("a preset chooses among the sizes of a suite; a codec's preset is written codec:preset=NAME")
    definition = load_suite(suite, preset, **grid) if suite else Suite(grids=(make_spec(**grid),))
    asked = {"smoothness": definition.smoothness or smoothness, "recognition": definition.recognition or recognition}
    definition = definition.model_copy(update=asked)
    return definition, make_plan(*definition.grids)


def measure(request: Request, bar: ProgressBar, told: Callable[[RunReport], None] = lambda _: None) -> Measured:
    """Measure a request's jobs, then its further measurements and figures.

    Parameters
    ----------
    bar
        Function that shows a progress bar with a title, such as `bench.progress.progress_bar`.
    told
        Function that is called with the run's report as soon as all rows are written.

    Raises
    ------
    BenchError
        If the run cannot start, or is interrupted; finished points are kept.
    """
    suite, plan = request.suite, request.plan
    store = Store(request.store) if request.store else open_store()
    if suite.recognition:
        from bench.measure.recognition import check_classifiers
        from bench.measure.suite import classified

        check_classifiers(classified(plan))
    folder = request.out or _folder(plan, request.resume)
    try:
        with bar("measuring") as progress:
            report = run_plan(
                plan, folder, store, lane=_lane(request), resume=request.resume, timing=request.timing,
                progress=progress, command=request.command,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise BenchError("interrupted; what was measured is kept, `--resume` goes on from there") from None
    told(report)
    measured = Measured(report)
    if suite.iqa or suite.smoothness or suite.recognition or suite.count or suite.profile:
        from bench.measure.suite import measure_beside

        with bar("measuring more") as progress:
            measured.more += measure_beside(suite, plan, folder, store, progress)
    if request.figures and report.states["ok"]:
        from bench.report.build import run_figures

        measured.figures += run_figures(folder)
    return measured


def _lane(request: Request) -> Lane:
    if not request.scheduler:
        limit = _DAY if request.job_limit is None else request.job_limit
        return LocalLane(request.jobs or os.cpu_count() or 1, limit_seconds=limit)
    if request.jobs:
        raise BenchError("--jobs counts workers of this machine; with --scheduler the cluster has its own")
    if request.job_limit is not None:
        raise BenchError("--job-limit is for workers of this machine; with --scheduler use a codec's limit_seconds")
    from bench.runner.cluster import ClusterLane

    return ClusterLane(request.scheduler)


def _folder(plan: Plan, resume: bool) -> Path:
    spec = plan.specs[0]
    names = (spec.paradigms, [entry.codec for entry in spec.codecs], spec.datasets)
    grid = "_".join("-".join(word(_bare(name)) for name in part) for part in names)
    name = spec.name or (grid if len(grid) <= 80 else f"grid-{plan.digest}")
    parent = Path("results")
    if not resume:
        return free_folder(parent, name)
    for folder in sorted(parent.glob(f"{glob.escape(name)}*"), key=natural_order, reverse=True):
        with contextlib.suppress(BenchError):  # other folders with such a name may hold no run
            if read_run_file(folder)["plan"] == plan.digest:
                return folder
    raise BenchError(f"no run of this grid under {parent}/ to go on with; leave out --resume, or give --out")


def _bare(spec: str) -> str:
    return spec.rsplit(".py:", maxsplit=1)[-1].partition(":")[0]
