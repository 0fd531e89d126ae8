"""``bench explain``: where a row or a line of a table comes from, and whether it comes out again."""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bench.cli.run import NUMBERS, TEXTS, grid_fields
from bench.errors import BenchError
from bench.progress import progress_bar

if TYPE_CHECKING:
    from bench.check.again import Again
    from bench.check.gate import Line


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(explain)


def explain(
    row: Annotated[str, typer.Argument(help="A job's twelve hex digits, RUN#JOB, or TABLE.csv:LINE of a report.")],
    results: Annotated[Path, typer.Option(help="Folder in which runs are searched.")] = Path("results"),
    again: Annotated[
        bool, typer.Option("--run", help="Measure it again and print then, now and the difference.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="With --run: use files and programs that the command names; only your own.")
    ] = False,
) -> None:
    """Print a row, or a line of a report's table, with its condition card and the command that measures it again.

    With --run, measure its rows again with the present code, into a temporary folder and with an empty store. Exit
    code 0: equal within the tolerance of `bench check`, 1: not equal, 2: cannot be measured here.

    Examples:

      bench explain fb6b4eeb906f

      bench explain reports/paper/table_iv.csv:1 --run
    """
    from bench.results.explain import cell_commands, explain_cell, explain_row, row_commands

    is_cell = ".csv:" in row
    if not again:
        for line in explain_cell(row) if is_cell else explain_row(row, results):
            typer.echo(line)
        return
    _measure_again(row, cell_commands(row) if is_cell else row_commands(row, results), results, trust)


def _measure_again(name: str, commands: list[str], results: Path, trust: bool) -> None:
    from bench.check.again import measure_again
    from bench.paths import user_path

    run = user_path(name.rpartition("#")[0]) if "#" in name else None
    words = [shlex.split(command)[1:] for command in commands]
    grids = [_fields(rest) for verb, *rest in words if verb == "run"]
    if not grids:
        raise BenchError(f"{name} has no rows to measure again; run its command: {commands[0]}")
    others = sorted({verb for verb, *_ in words} - {"run", "report"})
    if others:
        typer.echo(f"note: {', '.join(f'`bench {verb}`' for verb in others)} of this line is not run again")
    folders = [run] if run else sorted(path.parent for path in results.glob("*/rd.csv"))
    count = 0
    differences: list[Line] = []
    for grid in grids:
        outcome = measure_again(grid, folders, trust, progress_bar)
        for row in outcome.rows:
            _print(row)
        count += len(outcome.rows)
        differences += outcome.differences
    for line in differences:
        typer.echo(f"not equal: {line.name}" + (f": {line.detail}" if line.detail else ""))
    if differences:
        raise typer.Exit(1)
    typer.echo(f"equal within the gate's tolerance: {count} {'rows' if count > 1 else 'row'}")


def _print(row: Again) -> None:
    """Print a table of one row's figures."""
    typer.echo(f"{row.name}, then in {row.run}")
    width = max(len(title) for title, *_ in row.figures)
    typer.echo(f"  {'':<{width}}  {'then':>14}  {'now':>14}  {'difference':>12}")
    for title, then, now, digits in row.figures:
        difference = now - then
        text = f"{difference:+.{digits + 2 if digits else 0}f}" if math.isfinite(difference) else ""
        if title == "bits" and then:
            text += f"  ({100 * (now / then - 1):+.2f} %)"
        typer.echo(f"  {title:<{width}}  {then:>14.{digits}f}  {now:>14.{digits}f}  {text:>12}".rstrip())


class _Options(argparse.ArgumentParser):
    """A parser that tells a mistake as the suite does."""

    def error(self, message: str) -> NoReturn:
        raise BenchError(f"a command of the table is refused: {message}")


def _fields(words: list[str]) -> dict[str, Any]:
    """The fields of the grid that a command `bench run`, as `bench explain` prints it, measures.

    Raises
    ------
    BenchError
        If it has options that such a command never has.
    """
    parser = _Options(add_help=False, allow_abbrev=False)
    for name in TEXTS:
        parser.add_argument(f"--{name}", default="")
    for name in NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, type=str if name == "structure" else int)
    parser.add_argument("--smoothness", action="store_true")
    parser.add_argument("--recognition", action="store_true")
    return grid_fields(vars(parser.parse_args(words)))
