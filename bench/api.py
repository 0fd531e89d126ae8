"""The suite from Python. ``import bench`` gives these names; defaults are those of the command line.

For example:

    import bench

    done = bench.run(paradigms="caas", codecs=["vvenc", "x265"], limit=2)
    done.rows.groupby(["codec", "rate_point"])[["bpp", "psnr"]].mean()
    bench.make_report(done)

A mistake of the user raises `bench.BenchError`, whose message says in one line what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.chain import Chain
from bench.errors import BenchError
from bench.interfaces import Analyzer, Codec, Dataset, Extractor, Paradigm, Task
from bench.progress import progress_bar
from bench.registry import GROUPS, create, groups, register, states
from bench.sampling import Sampling
from bench.spikes import read_dat, simulate

if TYPE_CHECKING:
    from bench.report.rows import Runs

__all__ = [
    "Analyzer", "BenchError", "Chain", "Codec", "Dataset", "Extractor", "Paradigm", "Run", "Sampling", "Task",
    "create", "list_components", "load_runs", "make_report", "read_dat", "register", "run", "simulate",
    "train_weights",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    folder
        Folder with rd.csv, run.json, streams and figures.
    rows
        One row for each measured, failed or skipped point, with the columns of rd.csv (docs/results.md).
    """

    folder: Path
    rows: pd.DataFrame

    def __repr__(self) -> str:
        counts = self.rows["status"].value_counts()
        return f"<Run {self.folder}: {', '.join(f'{count} {status}' for status, count in counts.items())}>"


def run(
    *,
    suite: str = "",
    preset: str = "",
    out: str | Path | None = None,
    resume: bool = False,
    jobs: int = 0,
    scheduler: str = "",
    job_limit: float | None = None,
    timing: int = 0,
    figures: bool = True,
    smoothness: bool = False,
    recognition: bool = False,
    **grid: Any,
) -> Run:
    """Measure a grid of paradigms, codecs and datasets, as ``bench run`` does.

    A point that fails or cannot be measured here also has a row; the column `reason` says why.

    Parameters
    ----------
    suite, preset
        Name of a shipped suite or path of a TOML file, and the size of a suite that has several. Fields of the grid
        override those of the suite.
    out
        Folder of the run; by default a folder in results/ with the name of the grid.
    resume
        Continue the run in the folder.
    jobs
        Number of worker processes with one thread each; 0 means one per core.
    scheduler
        Run the jobs on a Dask cluster instead: ``tcp://HOST:PORT``, or ``local:N`` for N workers on this machine.
    job_limit
        Seconds after which a job of the local pool is stopped and its row is failed; 0 means never, None a day.
    timing
        Number of repeats for which each point is then encoded and decoded alone, to time it; 0 means no timing.
    figures
        Draw RD curves and pictures in the run's folder.
    smoothness
        Also compute the L1 norm of the Laplacian of all features.
    recognition
        Also classify without compression.
    grid
        Fields of `bench.runner.spec.RunSpec`: paradigms, codecs, datasets, extractors, analyzers, tasks, rates,
        sequences, limit, segments, frames, stride, margin, intra_period, structure, seed. A single name needs no list.

    Raises
    ------
    BenchError
        If a name, option or field is wrong, if the run's folder cannot be written, or if the run is interrupted.
    """
    from bench.request import Request, choose, measure
    from bench.results.rows import RD_FILE, rd_frame

    fields = {key: _items(key, value) for key, value in grid.items()}
    definition, plan = choose(suite, preset, smoothness, recognition, **fields)
    place = None if out is None else Path(out)
    request = Request(definition, plan, place, resume, jobs, scheduler, job_limit, timing, figures)
    folder = measure(request, progress_bar).report.folder
    return Run(folder, rd_frame(folder / RD_FILE))


def _items(key: str, value: Any) -> Any:
    """Convert a single name to a tuple, for fields that are lists."""
    if key not in (*GROUPS.values(), "rates", "sequences"):
        return value
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def load_runs(*folders: str | Path, trusted: bool = False) -> Runs:
    """Load the rows of one or more runs.

    The result's `table` is the DataFrame of all rows, a job of several runs once; its `points` are their means over the
    segments of each sequence.

    Parameters
    ----------
    folders
        Folders of runs.
    trusted
        Allow the use of files and programs that their run.json name; only for your own runs.

    Raises
    ------
    BenchError
        If a run cannot be read, or two runs state different results for the same job.
    """
    from bench.report.rows import load_runs

    return load_runs([Path(folder) for folder in folders], trusted)


def make_report(
    *runs: str | Path | Run, out: str | Path | None = None, page: str | Path | None = None, trusted: bool = False
) -> Path:
    """Build a report of one or more runs, as ``bench report`` does.

    Parameters
    ----------
    runs
        Results of `run`, or folders of runs.
    out
        Folder of the report; by default reports/ and the name of the first run.
    page
        Path of an HTML file that is to hold the whole report; by default there is none.
    trusted
        Allow the use of files and programs that the runs' run.json name; only for your own runs.

    Returns
    -------
    pathlib.Path
        Folder of the report.

    Raises
    ------
    BenchError
        If no run is named, or a folder holds no run that can be read.
    """
    from bench.report.build import build_report

    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    if not folders:
        raise BenchError("name at least one run to report of")
    target = Path(out) if out is not None else Path("reports") / folders[0].resolve().name
    with progress_bar("reporting") as progress:
        build_report(folders, target, progress, None if page is None else Path(page), trusted)
    return target


def train_weights(component: str, **options: Any) -> list[dict[str, Any]]:
    """Train a learned codec or classifier, as ``bench train`` does; docs/training.md has the options.

    Parameters
    ----------
    component
        Name with options, such as ``"sci:preset=paper"``.
    options
        Those of `bench.train.options.TrainingOptions`.

    Returns
    -------
    list
        The content of each stage's card.json; empty with several `devices`, whose folders have them.

    Raises
    ------
    BenchError
        If the component is not trained here, an option is unknown or has no effect, or training fails.
    """
    from bench.train.options import TrainingOptions
    from bench.train.run import train_component

    if unknown := {*options} - {*TrainingOptions.__dataclass_fields__}:
        raise BenchError(f"bench train has no option {min(unknown)}")
    return train_component(component, TrainingOptions(**options), bar=progress_bar)


def list_components(kind: str = "") -> pd.DataFrame:
    """List components and whether they can run here, as ``bench list`` does.

    Parameters
    ----------
    kind
        codecs, datasets, paradigms, extractors, analyzers or tasks, also in singular or shortened; all by default.

    Returns
    -------
    pandas.DataFrame
        The columns are kind, name, available (bool), state (version, or why it cannot run) and about.

    Raises
    ------
    BenchError
        If there is no such kind.
    """
    kinds = groups(kind)
    if not kinds:
        raise BenchError(f"no kind of component named '{kind}' (there are: {', '.join(GROUPS.values())})")
    lines = [(group, *state) for group, base in kinds.items() for state in states(base)]
    return pd.DataFrame(lines, columns=["kind", "name", "available", "state", "about"])
