"""Functions that several verbs use: opening the store, parsing lists, printing remarks, writing text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError, one_line

if TYPE_CHECKING:
    from bench.interfaces import SequenceInfo
    from bench.runner.store import Store


# Options of the verbs that read a recording.
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT, for a recording without a sidecar.")]
Camera = Annotated[str, typer.Option(help="Camera that wrote the recording as a raw dump: sps10.")]
SpikeRate = Annotated[
    float | None, typer.Option(help="Spikes per frame at unit luminance; by default the sidecar's, else estimated.")
]
Start = Annotated[int, typer.Option(min=0, help="Index of the first spike frame.")]
Stride = Annotated[int, typer.Option(min=1, help="Spike frames between coding instants.")]
Margin = Annotated[int, typer.Option(min=0, help="Spike frames before the first and after the last instant.")]


def open_store() -> Store:
    """Open the store in the user's cache; BENCH_CACHE names another folder."""
    from bench.runner import store

    return store.open_store()


def split(text: str) -> tuple[str, ...]:
    """Split a comma-separated list of specs. A comma between options of one spec (``a:k=v,k=v``) does not split.

    Raises
    ------
    BenchError
        If a quote is not closed.
    """
    if text.count('"') % 2:
        raise BenchError(f"'{text}': a quote is not closed; within double quotes, a quote is doubled")
    parts: list[str] = []
    for part in (piece.strip() for piece in re.findall(r'(?:[^,"]|"[^"]*")+', text)):
        # "k=v" after a spec with options is another option of that spec.
        if parts and "=" in part and ":" in parts[-1] and ":" not in part.partition("=")[0]:
            parts[-1] += "," + part
        else:
            parts.append(part)
    return tuple(parts)


def rate_points(text: str) -> tuple[int | float | str, ...]:
    """Parse a comma-separated list of rate points; integers and decimals become numbers."""
    from bench.interfaces import split_names
    from bench.rates import written_point

    return tuple(map(written_point, split_names(text)))


def one_rate_point(text: str) -> int | float | str | None:
    """Parse the option of a verb that takes one rate point; None if the option is not given.

    Raises
    ------
    BenchError
        If it names none or several.
    """
    points = rate_points(text)
    if text and len(points) != 1:
        raise BenchError(f"--rate takes one rate point, not '{text}'")
    return points[0] if points else None


def remarks(infos: Iterable[SequenceInfo]) -> Iterator[str]:
    """Yield one line for each sequence that looks wrong."""
    yield from (f"note: {one_line(info.name)}: {one_line(info.remark)}" for info in infos if info.remark)


def save_text(path: Path, text: str) -> None:
    """Write a file that the user named, atomically."""
    from bench.files import disk_errors, write_atomic

    with disk_errors(path):
        write_atomic(path, text.encode())
