"""``bench iqa``."""

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
    run: Annotated[Path, typer.Argument(help="Folder of a run, with the pictures it kept.")],
    metrics: Annotated[
        str, typer.Option(help="niqe, brisque, musiq, ilniqe, pi, dbcnn, cnniqa; several with commas.")
    ] = "niqe,brisque,musiq",
) -> None:
    """Score a run's reconstructions without a reference (pyiqa, extra `iqa`), into iqa.csv beside its rows.

    NIQE and BRISQUE work without a network after `bench data get iqa`. A metric whose weights cannot be had leaves
    rows with the reason. Exit code 1 where a picture could not be scored, or no metric could be had at all.
    """
    from collections import Counter

    from bench.measure.iqa import score_run

    with progress_bar("scoring") as progress:
        rows = score_run(run, split(metrics), progress)
    for (metric, status, reason), count in Counter((row.metric, row.status, row.reason) for row in rows).items():
        typer.echo(f"{metric:<8} {count} {status}" + (f": {reason}" if reason else ""))
    typer.echo(run / "iqa.csv")
    if any(row.status == "failed" for row in rows) or not any(row.status == "ok" for row in rows):
        raise typer.Exit(1)
