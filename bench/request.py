"""What is asked of a run, from the command line or from Python: both choose, place and measure by these functions."""

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
from bench.runner.store import open_store

DAY = 24 * 3600.0
ProgressBar = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Request:
    """What is measured, and how.

    Attributes
    ----------
    suite
        Grids, and what is measured beside their rows.
    plan
        Their jobs.
    out
        Folder of the run; None for one under results/ that is named after the grid.
    resume
        Go on with the run in the folder.
    jobs
        Worker processes of this machine, one thread each; 0 is one per core.
    scheduler
        A Dask scheduler to work on instead: ``tcp://HOST:PORT``, or ``local:N`` for N workers here.
    job_limit
        Seconds after which a job is stopped and a failed row; 0 is never.
    timing
        Repeats that every point is timed by, alone, afterwards.
    figures
        Draw RD curves and pictures into the run's folder.
    command
        The command line that asks, for run.json; none from Python.
    """

    suite: Suite
    plan: Plan
    out: Path | None = None
    resume: bool = False
    jobs: int = 0
    scheduler: str = ""
    job_limit: float = DAY
    timing: int = 0
    figures: bool = True
    command: str = ""


@dataclass
class Measured:
    """What a request came to.

    Attributes
    ----------
    report
        Folder, and how many rows there are of each status.
    more
        Files that were written beside the rows.
    figures
        Pictures that were drawn.
    """

    report: RunReport
    more: list[Path] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)


def choose(
    suite: str = "", preset: str = "", smoothness: bool = False, recognition: bool = False, **grid: object
) -> tuple[Suite, Plan]:
    """The suite and plan of a request.

    Parameters
    ----------
    suite, preset
        A shipped suite by name or a TOML file, and its size; without one, the grid alone.
    grid
        Fields of `RunSpec`; they override those of a suite.

    Raises
    ------
    BenchError
        If a field, name or option is wrong, or nothing fits.
    """
    if preset and not suite:
        raise BenchError("a preset chooses among the sizes of a suite; a codec's preset is written codec:preset=NAME")
    chosen = load_suite(suite, preset, **grid) if suite else Suite(grids=(make_spec(**grid),))
    asked = {"smoothness": chosen.smoothness or smoothness, "recognition": chosen.recognition or recognition}
    chosen = chosen.model_copy(update=asked)
    return chosen, make_plan(*chosen.grids)


def measure(request: Request, bar: ProgressBar, told: Callable[[RunReport], None] = lambda _: None) -> Measured:
    """Measure what is asked for.

    Parameters
    ----------
    bar
        Makes a progress bar of a title.
    told
        Is given the run's report once the rows are there.

    Raises
    ------
    BenchError
        If the run cannot begin, or is interrupted; what was measured is kept.
    """
    suite, plan, store = request.suite, request.plan, open_store()
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
        return LocalLane(request.jobs or os.cpu_count() or 1, limit_seconds=request.job_limit)
    if request.jobs:
        raise BenchError("--jobs counts workers of this machine; with --scheduler the cluster has its own")
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
        with contextlib.suppress(BenchError):  # other folders of this name may hold anything
            if read_run_file(folder)["plan"] == plan.digest:
                return folder
    raise BenchError(f"no run of this grid under {parent}/ to go on with; leave --resume away or give --out")


def _bare(spec: str) -> str:
    return spec.rsplit(".py:", maxsplit=1)[-1].partition(":")[0]
