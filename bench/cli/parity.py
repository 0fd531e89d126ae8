"""``bench parity``: our networks of published codecs against their authors' results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import BenchError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(parity)


def parity(
    codec: Annotated[
        str, typer.Argument(help="A codec with published networks, name or name:key=value: dcvc or dcvc-dc.")
    ],
    weights: Annotated[Path, typer.Option(help="Folder with the authors' checkpoints.")],
    case: Annotated[Path, typer.Option(help="File with frames and the results of the authors' code (.npz).")],
    rate_point: Annotated[str, typer.Option(help="0..3 or levelN; by default from the case's name.")] = "",
    precision: Annotated[str, typer.Option(help="float32 or float64; by default from the case's name.")] = "",
) -> None:
    """Compare a codec's networks with their authors' results; exit code 1 if a difference exceeds its bound.

    The bounds are 1e-4 in float32 and 1e-9 in float64, absolute for frames and relative for bits per pixel.
    """
    from rich.console import Console
    from rich.table import Table

    from baselines.neural.parity import read_case
    from bench.interfaces import Codec
    from bench.registry import resolve

    kind: Any
    kind, options = resolve(Codec, codec)
    if not hasattr(kind, "parity"):
        raise BenchError(f"{codec} has no published networks to compare with")
    fixed = {"preset": "official", "device": "cpu", "weights": str(weights)}
    for key, value in fixed.items():
        if options.get(key, value) != value:
            raise BenchError(f"parity compares with {key}={value}, not {options[key]}; leave out the option")
    official = kind(**options, **{key: value for key, value in fixed.items() if key not in options})
    table = Table(box=None, pad_edge=False)
    for column in ("frame", "component", "largest difference", "bound", ""):
        table.add_column(column, justify="left" if column in ("component", "") else "right")
    bad = 0
    for difference in official.parity(read_case(case, rate_point, precision)):
        verdict = "ok" if difference.ok else "FAIL"
        table.add_row(
            str(difference.frame), difference.component, f"{difference.value:.2e}", f"{difference.bound:.0e}", verdict
        )
        bad += not difference.ok
    Console(markup=False).print(table)
    if bad:
        typer.echo(f"{bad} comparisons past their bounds", err=True)
        raise typer.Exit(1)
