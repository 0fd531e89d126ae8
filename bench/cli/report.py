"""``bench report``: figures and tables of runs."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BenchError
from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; reports/<first run> by default.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="HTML file to write: the whole report as one page that needs no network.")
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(help="Draw this figure alone, as PNG, SVG and PDF: the name of its file. May be repeated."),
    ] = None,
    style: Annotated[
        str, typer.Option(help="screen, paper (one column of 8.5 cm) or slides (16:9, large letters).")
    ] = "screen",
    open_: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser; without --page it is OUT/index.html.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Use the files and programs that run.json names; only for your own runs.")
    ] = False,
) -> None:
    """Build a report with RD plots, BD-rates, tables and pictures from the rows of one or more runs.

    Examples:

      bench report results/paper

      bench report results/paper --figure rd_s-motion --style paper --out figures/
    """
    from bench.report.build import build_report, draw_figures
    from bench.report.style import STYLES
    from bench.results.document import read_run_file

    if style not in STYLES:
        raise BenchError(f"no style named '{style}' (there are: {', '.join(STYLES)})")

    target = out or Path("reports") / runs[0].resolve().name
    if figure:
        if page or open_:
            raise BenchError("--figure draws figures alone; leave out --page and --open")
        for path in draw_figures(runs, target, figure, style, trust):
            typer.echo(path)
        return
    page = page or (target / "index.html" if open_ else None)
    with progress_bar("reporting") as progress:
        written = build_report(runs, target, progress, page, trust, style)
    for run in runs:
        if read_run_file(run)["status"] != "finished":
            typer.echo(f"bench: {run} is not finished, its report lacks rows (`bench run --resume` goes on)", err=True)
    typer.echo(f"{len(written)} files in {target}/, start with {page or target / 'README.md'}")
    if open_ and page and not webbrowser.open(page.resolve().as_uri()):
        raise BenchError(f"no browser was found to open {page}")
