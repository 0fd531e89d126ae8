"""``bench complexity``: parameters and multiply-accumulates of networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.measure.networks import NetworkRow


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(complexity)


def complexity(
    codec: Annotated[str, typer.Argument(help="A learned codec: name or name:key=value.")],
    preset: Annotated[
        str, typer.Option(help="Preset: small, official, paper or full; by default the codec's own.")
    ] = "",
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "256x256",
    out: Annotated[Path | None, typer.Option(help="CSV file to write, with all digits.")] = None,
) -> None:
    """Count a codec's parameters, and multiply-accumulates per frame, by part, side and type of frame.

    No weights are needed. For parts of the paper's codec, the paper's figures are printed beside ours.
    """
    from bench.measure.networks import NetworkRow, count_networks
    from bench.results.tables import write_table

    width, height = _size(size)
    if out and out.is_dir():
        raise BenchError(f"{out} is a folder, --out names a file")
    rows = count_networks(codec, preset, width, height)
    if out:
        write_table(out, NetworkRow, rows)
    _print(f"{rows[0].codec} at {width}x{height}", rows)
    others = {name.partition(":")[0] for row in rows for name in row.not_counted.split()}
    typer.echo(f"not counted: {len(others)} kinds of element-wise and other operations (--out lists them)")
    if out:
        typer.echo(f"-> {out}")


def _print(title: str, rows: list[NetworkRow]) -> None:
    """Print one line for each part, in at most 80 columns."""
    from rich.console import Console
    from rich.table import Table

    figures = {"Mparam": ("parameters", 1e6), "GMAC": ("macs", 1e9)}
    # A figure gets columns for the published one if at least one part has it.
    beside = {key for key, _ in figures.values() if any(getattr(row, f"published_{key}") is not None for row in rows)}
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    for column in ("part", "side"):
        table.add_column(column, no_wrap=True)
    for name, (key, _) in figures.items():
        for column in (name, "paper", "%") if key in beside else (name,):
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = [f"{row.part} ({row.frame})" if row.frame else row.part, row.side]
        for key, unit in figures.values():
            figure = getattr(row, key)
            cells.append(f"{figure / unit:.3f}")
            if key in beside:
                cells += _beside(figure, getattr(row, f"published_{key}"), unit)
        table.add_row(*cells)
    Console(markup=False, highlight=False).print(table)
    if beside:
        typer.echo("paper: the published figure; %: how much larger or smaller ours is")


def _beside(measured: float, published: float | None, unit: float) -> tuple[str, str]:
    if published is None:
        return "", ""
    return f"{published / unit:.2f}", f"{100 * (measured / published - 1):+.1f}"


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 8192 and 0 < int(height) <= 8192):
        raise BenchError(f"'{text}' is no frame size (WIDTHxHEIGHT, up to 8192x8192)")
    return int(width), int(height)
