"""The suite from Python: ``import bench`` gives what is here, with the defaults of the command line.

For one:

    import bench

    done = bench.run(paradigms="caas", codecs=["vvenc", "x265"], limit=2)
    done.rows.groupby(["codec", "rate_point"])[["bpp", "psnr"]].mean()
    bench.make_report(done)

Errors of the user's are `bench.errors.BenchError`, with one line that says what is wrong.
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
from bench.registry import GROUPS, create, register, states
from bench.sampling import Sampling
from bench.spikes import read_dat, simulate

if TYPE_CHECKING:
    from bench.report.rows import Runs

__all__ = [
    "Analyzer", "BenchError", "Chain", "Codec", "Dataset", "Extractor", "Paradigm", "Run", "Sampling", "Task",
    "create", "list_components", "load_runs", "make_report", "read_dat", "register", "run", "simulate",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run that is measured.

    Attributes
    ----------
    folder
        Where rd.csv, run.json, streams and figures lie.
    rows
        One line for each point, with the columns of rd.csv (docs/results.md).
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

    Points that fail or cannot be measured are rows too, with the reason in the column `reason`.

    Parameters
    ----------
    suite, preset
        A shipped suite by name, or a TOML file, and its size; fields of the grid override the suite's.
    out
        Folder of the run; by default one under results/ that is named after the grid.
    resume
        Go on with the run in the folder.
    jobs
        Worker processes, one thread each; 0 is one per core.
    scheduler
        A Dask scheduler to work on instead: ``tcp://HOST:PORT``, or ``local:N`` for N workers here.
    job_limit
        Seconds after which a job is stopped and a failed row (0: never), by default a day.
    timing
        Repeats that every point is timed by, alone, afterwards.
    figures
        Draw RD curves and pictures into the run's folder.
    smoothness, recognition
        Also take the Laplacian norms of all features; also classify without compression.
    grid
        Fields of `bench.runner.spec.RunSpec`: paradigms, codecs, datasets, extractors, analyzers, tasks, rates,
        sequences, limit, segments, frames, stride, margin, intra_period, structure, seed. One name may stand without a
        list.

    Raises
    ------
    BenchError
        If a name, option or field is wrong, or the run cannot be written.
    """
    from bench.request import DAY, Request, choose, measure
    from bench.results.rows import RD_FILE, rd_frame

    fields = {key: _items(key, value) for key, value in grid.items()}
    chosen, plan = choose(suite, preset, smoothness, recognition, **fields)
    limit = DAY if job_limit is None else job_limit
    place = None if out is None else Path(out)
    request = Request(chosen, plan, place, resume, jobs, scheduler, limit, timing, figures)
    folder = measure(request, progress_bar).report.folder
    return Run(folder, rd_frame(folder / RD_FILE))


def _items(key: str, value: Any) -> Any:
    """A field as the grid has it: a name alone becomes a list."""
    if key not in (*GROUPS.values(), "rates", "sequences"):
        return value
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def load_runs(*folders: str | Path, trusted: bool = False) -> Runs:
    """Rows of one or more runs together: `table` is their DataFrame, `points` their means of every sequence.

    Parameters
    ----------
    trusted
        The runs are your own: files and programs that their run.json names may be used.
    """
    from bench.report.rows import load_runs

    return load_runs([Path(folder) for folder in folders], trusted)


def make_report(
    *runs: str | Path | Run, out: str | Path | None = None, page: str | Path | None = None, trusted: bool = False
) -> Path:
    """Build the report of runs, as ``bench report`` does; gives its folder, by default reports/ and the run's name.

    Parameters
    ----------
    page
        Also write all of it as one page for a browser.
    """
    from bench.report.build import build_report

    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    if not folders:
        raise BenchError("name at least one run to report of")
    target = Path(out) if out is not None else Path("reports") / folders[0].resolve().name
    with progress_bar("reporting") as progress:
        build_report(folders, target, progress, None if page is None else Path(page), trusted)
    return target


def list_components(kind: str = "") -> pd.DataFrame:
    """Components with their state and what they are, as ``bench list`` does.

    Parameters
    ----------
    kind
        codecs, datasets, paradigms, extractors, analyzers or tasks; all by default.
    """
    kinds = {group: base for base, group in GROUPS.items() if kind in ("", group)}
    if not kinds:
        raise BenchError(f"no kind of component named '{kind}' (there are: {', '.join(GROUPS.values())})")
    lines = [(group, *state) for group, base in kinds.items() for state in states(base)]
    return pd.DataFrame(lines, columns=["kind", "name", "available", "state", "about"])
