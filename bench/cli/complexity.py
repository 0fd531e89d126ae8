"""``bench complexity``: parameters and multiply-accumulates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import BenchError

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
    import csv
    import io

    from rich.console import Console
    from rich.table import Table

    from bench.complexity import count
    from bench.interfaces import Codec
    from bench.registry import create
    from bench.runner.store import write_atomic

    made: Any = create(Codec, codec)
    if preset:
        made = type(made)(**{**made.options.model_dump(), "preset": preset})
    if not hasattr(made, "workload"):
        raise BenchError(
            f"{made.name} is no network: multiply-accumulates are not defined for it; its time is in rd.csv"
        )
    width, height = _size(size)
    parts = count(made.workload((height, width)))
    table = Table(
        box=None, pad_edge=False, title=f"{made.spec} at {width}x{height}", title_justify="left", title_style=""
    )
    for column in ("part", "side", "frame", "M parameters", "paper", "GMAC", "paper"):
        table.add_column(column, justify="left" if column in ("part", "side", "frame") else "right")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for part in parts:
        parameters, macs = part.parameters / 1e6, part.macs / 1e9
        stated, stated_macs = part.published
        table.add_row(
            part.part,
            part.side,
            part.frame,
            f"{parameters:.3f}",
            _beside(parameters, stated),
            f"{macs:.2f}",
            _beside(macs, stated_macs),
        )
        writer.writerow(
            (
                made.spec,
                width,
                height,
                part.part,
                part.side,
                part.frame,
                part.parameters,
                "" if stated is None else round(stated * 1e6),
                part.macs,
                "" if stated_macs is None else round(stated_macs * 1e9),
                " ".join(f"{name}:{times}" for name, times in part.uncounted.items()),
            )
        )
    console = Console(markup=False)
    console.print(table)
    others = sorted({name for part in parts for name in part.uncounted})
    console.print(f"not counted, element by element: {', '.join(others)}", highlight=False, soft_wrap=False)
    target = out or Path(f"complexity-{made.name}.csv")
    write_atomic(target, text.getvalue().encode())
    typer.echo(f"-> {target}")


def _beside(measured: float, published: float | None) -> str:
    return "" if published is None else f"{published:g} ({100 * (measured / published - 1):+.1f} %)"


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 0 < int(width) <= 8192 and 0 < int(height) <= 8192):
        raise BenchError(f"'{text}' is no frame size (WIDTHxHEIGHT, up to 8192x8192)")
    return int(width), int(height)
