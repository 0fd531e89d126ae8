"""``bench list``: components with their options and rate points, and suites."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from bench.errors import BenchError, one_line

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from bench.interfaces import Component
    from bench.runner.spec import RunSpec

# Signs of the limits that an option's value may have, by the attribute of pydantic's constraint.
_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("list")(list_components)


def list_components(
    kind: Annotated[
        str, typer.Argument(help="codecs, datasets, paradigms, extractors, analyzers, tasks or suites.")
    ] = "",
    name: Annotated[
        str, typer.Argument(help="Name of one, to print its options and rate points, or a suite's grids.")
    ] = "",
) -> None:
    """List components and whether they can run here, or describe one of them; or list the suites.

    Examples:

      bench list codecs vvenc

      bench list suites

      bench list suites quick
    """
    from bench.registry import GROUPS, groups

    prefix = kind.lower().rstrip("s")
    kinds = groups(kind)
    suites = bool(prefix) and "suites".startswith(prefix)
    if not kinds and not suites:
        raise BenchError(f"no kind of component named '{kind}' (there are: {', '.join(GROUPS.values())}, suites)")
    if suites and name:
        _describe_suite(name)
    elif suites:
        _list_suites()
    elif name:
        for base in kinds.values():
            _describe(base, name)
    else:
        for number, (group, base) in enumerate(kinds.items()):
            if number:
                typer.echo()
            _print_states(group, base)


def _print_states(group: str, base: type[Component]) -> None:
    """Print a table of the components of one kind, and whether they can run here."""
    from rich.console import Console
    from rich.table import Table

    from bench.registry import states

    table = Table(box=None, pad_edge=False)
    table.add_column(group, no_wrap=True)
    table.add_column("state", overflow="fold", ratio=1)
    table.add_column("about", overflow="fold", ratio=1)
    for name, _, state, about in states(base):
        table.add_row(name, state, about)
    console = Console(markup=False, highlight=False)
    with console.capture() as text:  # rich ends the program where nobody reads the other end of a pipe
        console.print(table)
    typer.echo(text.get(), nl=False)


def _describe(base: type[Component], name: str) -> None:
    """Print a component's options, and a codec's rate points."""
    from bench.interfaces import Codec, Content
    from bench.interfaces.checked import availability, rate_points
    from bench.registry import component_class, create

    component_type = component_class(base, name)
    _print(f"{name}: {one_line((component_type.__doc__ or '').strip().partition(chr(10))[0])}")
    try:
        component = create(base, name)
    except BenchError as error:  # an option is missing or wrong
        _print(str(error), 2)
    else:
        state = availability(component)
        _print(state.version or "available" if state.ok else f"not here: {state.reason}", 2)
        if isinstance(component, Codec):
            _print(f"takes {' and '.join(sorted(component.accepts))}", 2)
            for content in (Content.FEATURES, Content.SPIKES):
                if component.takes(content):
                    try:
                        points = " ".join(map(str, rate_points(component, content)))
                    except BenchError as error:  # they depend on weights that are absent
                        points = f"none here: {error}"
                    _print(f"rate points for {content.value}: {points}", 2)
    typer.echo("options:" if component_type.Options.model_fields else "no options")
    for key, field in component_type.Options.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "must be given" if field.is_required() else f"default {value!r}"
        about = f". {one_line(field.description)}" if field.description else ""
        _print(f"{key}: {_values(field)}, {default}{about}", 2)


def _values(field: FieldInfo) -> str:
    """The values of an option, or their type with its limits, as text."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return " ".join(repr(value) if value == "" else str(value) for value in get_args(annotation))
    kind = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    limits = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in _LIMITS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([kind, *limits])


def _list_suites() -> None:
    """Print the shipped suites: what each is for, its datasets and codecs, and how long it takes."""
    from bench.runner.spec import SUITES, load_suite, suite_presets

    for path in sorted(SUITES.glob("*.toml"), key=lambda path: path.stem):
        suite = load_suite(path.stem)
        typer.echo(path.stem)
        _print(suite.about, 2)
        for number, preset in enumerate(suite_presets(path.stem)):
            size = f"preset {preset}: " if preset else ""
            takes = f"; {suite.takes}" if suite.takes and not number else ""
            _print(f"{size}{_extent(load_suite(path.stem, preset).grids)}{takes}", 2)


def _extent(grids: Iterable[RunSpec]) -> str:
    """The different datasets and codecs of a suite's grids, as text."""
    datasets, codecs = [], []
    for grid in grids:
        datasets += [name.partition(":")[0] for name in grid.datasets]
        codecs += [entry.codec.partition(":")[0] for entry in grid.codecs]
    named = {"dataset": dict.fromkeys(datasets), "codec": dict.fromkeys(codecs)}
    return " x ".join(
        f"{len(names)} {kind}{'s' if len(names) > 1 else ''} ({' '.join(names)})" for kind, names in named.items()
    )


def _describe_suite(name: str) -> None:
    """Print the grids of a suite, preset by preset."""
    from bench.runner.spec import load_suite, suite_presets

    first = load_suite(name)
    for text in filter(None, (first.about, first.takes and f"takes {first.takes}")):
        _print(one_line(text))
    for preset in suite_presets(name):
        if preset:
            typer.echo(f"preset {preset}:")
        for number, grid in enumerate(load_suite(name, preset).grids, start=1):
            stated: dict[str, Any] = grid.model_dump(mode="json", exclude_unset=True, exclude={"name"})
            codecs = stated.pop("codecs", [])
            fields = ", ".join(f"{key} {_words(value)}" for key, value in stated.items())
            _print(f"grid {number}: {fields or 'all defaults'}")
            for entry in codecs:
                limits = "".join(f", {key} {_words(value)}" for key, value in entry.items() if key != "codec")
                _print(f"{entry['codec']}{limits}", 2)


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print(text: str, indent: int = 0) -> None:
    """Print a text in lines of the terminal's width, the second and further ones four columns deeper."""
    width = max(40, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    for line in lines:
        typer.echo(line)
