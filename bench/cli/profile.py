"""``bench profile``: cost of the stages of a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import one_rate_point, split
from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(profile)


def profile(
    paradigm: Annotated[str, typer.Option(help="cta, atc or caas; several with commas.")] = "caas",
    codec: Annotated[str, typer.Option(help="Codecs, as name or name:key=value; several with commas.")] = "sci",
    dataset: Annotated[str, typer.Option(help="Dataset of the sequence.")] = "s-motion",
    sequence: Annotated[str, typer.Option(help="Name of the sequence; the first by default.")] = "",
    extractor: Annotated[str, typer.Option(help="The extractor.")] = "sci",
    analyzer: Annotated[str, typer.Option(help="The analyzer; the extractor's own by default.")] = "",
    rate: Annotated[str, typer.Option(help="Rate point; the middle one of each codec by default.")] = "",
    repeats: Annotated[int, typer.Option(min=1, help="Number of times that each stage is timed.")] = 5,
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = Path("profile.csv"),
) -> None:
    """Measure the cost of each stage of a chain: parameters, multiply-accumulates, bits, seconds and peak memory.

    Costs are per frame, by side and type of frame. Stages run one at a time, each in a process of its own. Use an idle
    machine.
    """
    from bench.measure.profile import Profiled, ProfileRow, profile_chains
    from bench.results.tables import write_table

    point = one_rate_point(rate)
    chains = [
        Profiled(way, name, "" if point is None else point, dataset, sequence, extractor, analyzer, repeats)
        for way in split(paradigm)
        for name in split(codec)
    ]
    with progress_bar("profiling") as progress:
        rows = profile_chains(chains, progress)
    write_table(out, ProfileRow, rows)
    for row in rows:
        what = f"{row.paradigm} {row.codec} {row.rate_point}  {row.side:<6} {row.stage} {row.frame}".ljust(44)
        if row.status != "ok":
            typer.echo(f"{what} {row.status}: {row.reason}")
            continue
        macs = "" if row.macs is None else f"{row.macs / 1e9:.3f} GMAC"
        bits = "" if row.bits is None else f"{row.bits:.0f} bits"
        typer.echo(f"{what} {1000 * (row.seconds or 0):9.2f} ms {macs:>12} {bits:>12}".rstrip())
    typer.echo(f"-> {out}")
