"""``bench cache``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from bench.errors import BenchError

_GIB = 2**30


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(cache)


def cache(
    prune: Annotated[bool, typer.Option("--prune", help="Remove stored results by --days, then by --gib.")] = False,
    days: Annotated[float | None, typer.Option(min=0, help="Keep results used within the last N days.")] = None,
    gib: Annotated[
        float | None, typer.Option(min=0, help="Keep the most recently used results, N GiB at most.")
    ] = None,
) -> None:
    """Show the size of the cache, or remove stored results from it.

    Runs may continue meanwhile: they compute missing results again. Downloaded data (data/...) are not pruned; you can
    remove their folder, and `bench data get` downloads them again.
    """
    from rich.console import Console
    from rich.table import Table

    from bench.cli._shared import open_store
    from bench.files import cache_root
    from bench.runner import cache as contents

    if prune and days is None and gib is None:
        raise BenchError("--prune needs a bound: --days N, --gib N, or both (--days 0 removes all stored results)")
    if not prune and (days is not None or gib is not None):
        raise BenchError("--days and --gib say what --prune keeps; add --prune")
    if prune:
        kept_days = float("inf") if days is None else days
        most = float("inf") if gib is None else gib * _GIB
        removed, freed = contents.prune(open_store(), kept_days, most)
        typer.echo(f"removed {removed} stored results, {_size(freed)}")
    root = cache_root()
    table = Table(box=None, pad_edge=False)
    for column, justify in (("part", "left"), ("files", "right"), ("size", "right"), ("last used", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    parts = contents.parts(root)
    for part in parts:
        used = f"{datetime.fromtimestamp(part.used):%Y-%m-%d}" if part.files else ""
        table.add_row(part.name, str(part.files), _size(part.size), used)
    console = Console(markup=False)
    console.print(table)
    console.print(f"{_size(sum(part.size for part in parts))} in {root}", highlight=False, soft_wrap=True)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
