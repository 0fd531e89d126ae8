"""``bench list``, ``doctor``, ``conform`` and ``explain``: what is there, whether it works, where a row is from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.interfaces import Component


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("list")(list_components)
    app.command()(doctor)
    app.command()(conform)
    app.command()(explain)


def list_components(
    kind: Annotated[str, typer.Argument(help="codecs, datasets, paradigms, extractors, analyzers or tasks.")] = "",
) -> None:
    """List components, each available or why not."""
    from rich.console import Console
    from rich.table import Table

    from bench.registry import GROUPS

    kinds = {name: base for base, name in GROUPS.items() if not kind or name.startswith(kind.rstrip("s"))}
    if not kinds:
        raise BenchError(f"no kind of component named '{kind}' (there are: {', '.join(GROUPS.values())})")
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "state", "about"):
        table.add_column(column, overflow="fold")
    for name, base in kinds.items():
        for component in _described(base):
            table.add_row(name, *component)
    Console(markup=False).print(table)


def _described(base: type[Component]) -> list[tuple[str, str, str]]:
    from bench.registry import create, names

    found = []
    for name in names(base):
        try:
            component: Component = create(base, name)
            state = component.available()
            about = (component.__doc__ or "").strip().partition("\n")[0]
            found.append((name, state.version or "available" if state.ok else f"not here: {state.reason}", about))
        except BenchError as error:
            needs_option = "Field required" in str(error)
            found.append((name, "needs options" if needs_option else "broken", str(error)))
    return found


def doctor() -> None:
    """Check this machine: what works, what does not and what to do; exit code 1 where the default job cannot run."""
    import shutil

    from bench.datasets._files import cache_root
    from bench.registry import create
    from bench.runner.provenance import provenance

    facts = provenance()
    for key in ("suite", "git_commit", "python", "platform", "processor", "cores"):
        typer.echo(f"{key:>12}  {facts[key]}")
    typer.echo(f"{'packages':>12}  {', '.join(f'{name} {version}' for name, version in facts['packages'].items())}")
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{'cache':>12}  {root} ({shutil.disk_usage(root).free / 2**30:.0f} GiB free)")
    list_components("codecs")
    list_components("datasets")
    from bench.interfaces import Codec

    state = create(Codec, "vvenc").available()
    if not state.ok:
        typer.echo(f"the default job cannot run: {state.reason}", err=True)
        raise typer.Exit(1)


def conform(
    codec: Annotated[str, typer.Argument(help="A codec: name, name:key=value, or path/to/file.py:Class.")],
) -> None:
    """Run the conformance kit on a codec; exit code 1 where a check fails."""
    from bench.conform import conform as run_checks
    from bench.interfaces import Codec
    from bench.registry import create

    bad = 0
    for result in run_checks(create(Codec, codec)):
        typer.echo(
            f"{'FAIL' if result.problem else 'ok':>4}  {result.check}"
            + (f": {result.problem}" if result.problem else "")
        )
        bad += bool(result.problem)
    if bad:
        raise typer.Exit(1)


def explain(
    row: Annotated[str, typer.Argument(help="A job's twelve hex digits, RUN#JOB, or TABLE.csv:LINE of a report.")],
    results: Annotated[Path, typer.Option(help="Where runs are searched.")] = Path("results"),
) -> None:
    """Print a row (or a line of a report's table), its condition card, and the command that makes it again."""
    from bench.runner.explain import explain_cell, explain_row

    for line in explain_cell(row) if ".csv:" in row else explain_row(row, results):
        typer.echo(line)
