"""``bench complexity``: parameters and multiply-accumulates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.complexity import Counted

COLUMNS = (
    "codec", "width", "height", "part", "side", "frame", "parameters", "published_parameters", "macs",
    "published_macs", "not_counted",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(complexity)


def complexity(
    codec: Annotated[str, typer.Argument(help="A codec, with or without options.")],
    preset: Annotated[str, typer.Option(help="Preset: small, official, paper, full; the codec's default.")] = "",
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "256x256",
    out: Annotated[Path | None, typer.Option(help="CSV file to write (default complexity-CODEC.csv).")] = None,
) -> None:
    """Count a codec's parts: parameters, and multiply-accumulates a frame, by side and type of frame.

    Networks are counted as they are built; no weights are needed. The paper's figures stand beside its own parts.
    """
    from bench.complexity import count
    from bench.interfaces import Codec
    from bench.registry import create
    from bench.runner.store import write_atomic

    made: Any = create(Codec, codec)
    if not hasattr(made, "workload"):
        raise BenchError(
            f"{made.name} is not one of the suite's networks, only those are counted; its time is in rd.csv"
        )
    if preset:
        made = type(made)(**{**made.options.model_dump(), "preset": preset})
    width, height = _size(size)
    target = out or Path(f"complexity-{made.name}.csv")
    if target.is_dir():
        raise BenchError(f"{target} is a folder, --out names a file")
    parts = count(made.workload((height, width)))
    rows = [_row(made.spec, width, height, part) for part in parts]
    try:
        write_atomic(target, _csv(rows))
    except OSError as error:
        raise BenchError(f"cannot write {target}: {error.strerror}") from error
    _print(f"{made.spec} at {width}x{height}", rows)
    others = {name for part in parts for name in part.uncounted}
    typer.echo(f"not counted: {len(others)} kinds of element-wise and other operations (CSV: not_counted)")
    typer.echo(f"-> {target}")


def _row(spec: str, width: int, height: int, part: Counted) -> dict[str, Any]:
    from bench.complexity import PUBLISHED_SIZE

    parameters, macs = part.published
    if (width, height) != PUBLISHED_SIZE:
        macs = None
    values = (
        spec, width, height, part.part, part.side, part.frame, part.parameters,
        None if parameters is None else round(parameters * 1e6), part.macs,
        None if macs is None else round(macs * 1e9),
        " ".join(f"{name}:{times}" for name, times in part.uncounted.items()),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    """One line a part, within 80 columns."""
    from rich.console import Console
    from rich.table import Table

    figures = {"Mparam": ("parameters", 1e6), "GMAC": ("macs", 1e9)}
    # Columns beside a figure appear where at least one part has a published one.
    beside = {key for key, _ in figures.values() if any(row[f"published_{key}"] is not None for row in rows)}
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    for column in ("part", "side"):
        table.add_column(column, no_wrap=True)
    for name, (key, _) in figures.items():
        for column in (name, "paper", "%") if key in beside else (name,):
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = [f"{row['part']} ({row['frame']})" if row["frame"] else row["part"], row["side"]]
        for key, unit in figures.values():
            cells.append(f"{row[key] / unit:.3f}")
            if key in beside:
                cells += _beside(row[key], row[f"published_{key}"], unit)
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
