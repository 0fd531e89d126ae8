"""``bench iqa``: quality scores without a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import split
from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(iqa)


def iqa(
    run: Annotated[Path, typer.Argument(help="Folder of a run that keeps its pictures.")],
    metrics: Annotated[
        str, typer.Option(help="niqe, brisque, musiq, ilniqe, pi, dbcnn, cnniqa; several with commas.")
    ] = "niqe,brisque,musiq",
) -> None:
    """Score a run's reconstructions without a reference (pyiqa, extra `iqa`); writes iqa.csv to the run's folder.

    NIQE and BRISQUE need no network after `bench data get iqa`. If the weights of a metric cannot be downloaded, its
    rows say why. Exit code 1 if a picture could not be scored, or no metric was available.
    """
    from collections import Counter

    from bench.measure.iqa import score_run

    with progress_bar("scoring") as progress:
        rows = score_run(run, split(metrics), progress)
    for (metric, status, reason), count in Counter((row.metric, row.status, row.reason) for row in rows).items():
        typer.echo(f"{metric:<8} {count} {status}" + (f": {reason}" if reason else ""), err=status != "ok")
    typer.echo(run / "iqa.csv")
    if any(row.status == "failed" for row in rows) or not any(row.status == "ok" for row in rows):
        raise typer.Exit(1)
