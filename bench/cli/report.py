"""``bench report``: figures and tables of runs."""

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
        Path | None, typer.Option(help="HTML file to write, 5 MB: the whole report as one page that needs no network.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Use the files and programs that run.json names; only for your own runs.")
    ] = False,
) -> None:
    """Build a report with RD plots, BD-rates, tables and pictures from the rows of one or more runs."""
    from bench.report.build import build_report
    from bench.results.document import read_run_file

    target = out or Path("reports") / runs[0].resolve().name
    with progress_bar("reporting") as progress:
        written = build_report(runs, target, progress, page, trust)
    for run in runs:
        if read_run_file(run)["status"] != "finished":
            typer.echo(f"bench: {run} is not finished, its report lacks rows (`bench run --resume` goes on)", err=True)
    typer.echo(f"{len(written)} files in {target}/, start with {page or target / 'README.md'}")
