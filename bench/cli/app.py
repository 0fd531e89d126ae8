"""The application that collects all verbs."""

from __future__ import annotations

import typer

from bench.cli import (
    board,
    cache,
    complexity,
    data,
    explain,
    gate,
    inspect,
    iqa,
    listing,
    parity,
    profile,
    recommend,
    report,
    run,
    show,
    streams,
    train,
)
from bench.version import __version__

app = typer.Typer(
    name="bench",
    help="Spike-camera compression benchmark: CTA, ATC and CAAS on real codecs, with real bits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_VERBS = (
    run, listing, inspect, explain, data, cache, streams, show, recommend, report, iqa, gate, board, parity, train,
    complexity, profile,
)  # fmt: skip
for module in _VERBS:
    module.register(app)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"spikebench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Take options that come before a verb."""
