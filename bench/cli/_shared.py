"""Functions that several verbs use: opening the store, parsing lists, printing remarks, writing text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bench.errors import BenchError, one_line

if TYPE_CHECKING:
    from bench.interfaces import SequenceInfo
    from bench.runner.store import Store

T = TypeVar("T")

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


def files_and_targets(paths: Sequence[Path], suffix: str, out: Path, target: str) -> list[tuple[Path, Path]]:
    """The files that a user gives, each with what it is written to.

    Parameters
    ----------
    paths
        Files, and folders of which all files with the suffix are meant.
    suffix
        ``.dat`` or ``.spk``.
    out
        What a single file is written to. Else a folder, in which each file's target has its name.
    target
        The suffix of a target in a folder.

    Raises
    ------
    BenchError
        If a folder has no such file; or, of several files, two have the same name, or `out` is a file.
    """
    from bench.paths import listed

    files: list[Path] = []
    for path in paths:
        inside = listed(path, (suffix,)) if path.is_dir() else [path]
        if not inside:
            raise BenchError(f"{path} is a folder without {suffix} files")
        files += inside
    if len(paths) == 1 and not paths[0].is_dir():
        return [(files[0], out)]
    counts = Counter(path.stem.casefold() for path in files)
    twice = next((path for path in files if counts[path.stem.casefold()] > 1), None)
    if twice:
        raise BenchError(f"two files are named {twice.stem}, and would be written to one; give one of them by itself")
    if out.is_file():
        raise BenchError(f"{out} is a file; name a folder for what {len(files)} files become")
    return [(path, out / f"{path.stem}{target}") for path in files]


def for_each(items: Sequence[T], work: Callable[[T], str], faults: Sequence[str] = ()) -> None:
    """Print what `work` returns for each item; with several items, one that fails is named and the others go on.

    Parameters
    ----------
    faults
        What is wrong with items that failed before, said first.

    Raises
    ------
    BenchError
        If the only item fails.
    typer.Exit
        With code 2 at the end, if one of several has failed.
    """
    for fault in faults:
        typer.echo(f"bench: {one_line(fault)}", err=True)
    failed = bool(faults)
    for item in items:
        try:
            typer.echo(work(item))
        except BenchError as error:
            if len(items) == 1:
                raise
            typer.echo(f"bench: {one_line(str(error))}", err=True)
            failed = True
    if failed:
        raise typer.Exit(2)


def save_text(path: Path, text: str) -> None:
    """Write a file that the user named, atomically."""
    from bench.files import disk_errors, write_atomic

    with disk_errors(path):
        write_atomic(path, text.encode())
