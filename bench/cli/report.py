"""``bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; reports/<run> by default.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Also write all of it as one page for a browser, 5 MB, offline.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="The runs are your own: use the files and programs that run.json names.")
    ] = False,
) -> None:
    """Build RD plots, BD-rate matrix, tables and pictures from the rows of one or more runs."""
    from bench.report.build import build_report
    from bench.results.document import read_run_file

    target = out or Path("reports") / runs[0].resolve().name
    with progress_bar("reporting") as progress:
        written = build_report(runs, target, progress, page, trust)
    for run in runs:
        if read_run_file(run)["status"] != "finished":
            typer.echo(f"bench: {run} is not finished, its report lacks rows (`bench run --resume` goes on)", err=True)
    typer.echo(f"{len(written)} files in {target}/, start with {page or target / 'README.md'}")
