"""``bench list``, ``doctor``, ``conform`` and ``explain``: components, this machine, codecs under test, and rows."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin

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
    kind: Annotated[
        str, typer.Argument(help="codecs, datasets, paradigms, extractors, analyzers, tasks or suites.")
    ] = "",
    name: Annotated[
        str, typer.Argument(help="Name of one, to print its options and rate points, or a suite's grids.")
    ] = "",
) -> None:
    """List components and whether they can run here, or describe one of them.

    Examples:

      bench list codecs vvenc

      bench list suites quick
    """
    from rich.console import Console
    from rich.table import Table

    from bench.registry import GROUPS, groups, states

    wanted = kind.lower().rstrip("s")
    kinds = groups(kind)
    suites = bool(wanted) and "suites".startswith(wanted)
    if not kinds and not suites:
        raise BenchError(f"no kind of component named '{kind}' (there are: {', '.join(GROUPS.values())}, suites)")
    if suites:
        _list_suites(name)
        return
    if name:
        for base in kinds.values():
            _describe(base, name)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "state", "about"):
        table.add_column(column, overflow="fold")
    for group, base in kinds.items():
        for component, _, state, about in states(base):
            table.add_row(group, component, state, about)
    Console(markup=False).print(table)


def _describe(base: type[Component], name: str) -> None:
    """Print a component's options, and a codec's rate points."""
    from bench.errors import one_line
    from bench.interfaces import Codec, Content
    from bench.interfaces.checked import availability, rate_points
    from bench.registry import component_class, create

    found = component_class(base, name)
    typer.echo(f"{name}: {one_line((found.__doc__ or '').strip().partition(chr(10))[0])}")
    try:
        component = create(base, name)
    except BenchError as error:  # an option is missing or wrong
        typer.echo(f"  {error}")
    else:
        state = availability(component)
        typer.echo(f"  {state.version or 'available' if state.ok else f'not here: {state.reason}'}")
        if isinstance(component, Codec):
            typer.echo(f"  takes {' and '.join(sorted(component.accepts))}")
            for content in (Content.FEATURES, Content.SPIKES):
                if component.takes(content):
                    points = " ".join(map(str, rate_points(component, content)))
                    typer.echo(f"  rate points for {content.value}: {points}")
    typer.echo("options:" if found.Options.model_fields else "no options")
    for key, field in found.Options.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "must be given" if field.is_required() else f"default {value!r}"
        about = f"; {one_line(field.description)}" if field.description else ""
        typer.echo(f"  {key}: {_values(field.annotation)}, {default}{about}")


def _values(annotation: object) -> str:
    """The values of an option, or their type, as text."""
    if get_origin(annotation) is Literal:
        return " ".join(map(str, get_args(annotation)))
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _list_suites(name: str) -> None:
    """Print the shipped suites with their presets, or the grids of one."""
    from bench.runner.spec import SUITES, load_suite, suite_presets

    if not name:
        for path in sorted(SUITES.glob("*.toml"), key=lambda path: path.stem):
            comment = " ".join(line.removeprefix("#").strip() for line in _comment(path))
            about = re.split(r"\.(?= [A-Z`])", comment)[0]
            presets = [preset for preset in suite_presets(path.stem) if preset]
            typer.echo(f"{path.stem:<16}{about.rstrip('.')}" + (f" (presets: {', '.join(presets)})" if presets else ""))
        return
    for preset in suite_presets(name):
        if preset:
            typer.echo(f"preset {preset}:")
        suite = load_suite(name, preset)
        for number, grid in enumerate(suite.grids, start=1):
            stated = grid.model_dump(mode="json", exclude_unset=True, exclude={"name"})
            codecs = stated.pop("codecs", [])
            typer.echo(f"grid {number}: " + ", ".join(f"{key} {_words(value)}" for key, value in stated.items()))
            for entry in codecs:
                limits = "".join(f", {key} {_words(value)}" for key, value in entry.items() if key != "codec")
                typer.echo(f"  {entry['codec']}{limits}")


def _comment(path: Path) -> list[str]:
    return list(itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()))


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def doctor() -> None:
    """Print what works on this machine and what to do about the rest; exit code 1 if the default job cannot run."""
    import shutil

    from bench.files import cache_root
    from bench.registry import create
    from bench.results.provenance import provenance

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
    """Check a codec with the conformance kit; exit code 1 if a check fails."""
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
    results: Annotated[Path, typer.Option(help="Folder in which runs are searched.")] = Path("results"),
) -> None:
    """Print a row, or a line of a report's table, with its condition card and the command that measures it again."""
    from bench.results.explain import explain_cell, explain_row

    for line in explain_cell(row) if ".csv:" in row else explain_row(row, results):
        typer.echo(line)
