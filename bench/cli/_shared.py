"""What verbs share: the store's place, parsing of lists, progress."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.progress import Progress

if TYPE_CHECKING:
    from bench.runner.store import Store


def open_store() -> Store:
    """The store in the user's cache (BENCH_CACHE moves it)."""
    from bench.runner import store

    return store.open_store()


def split(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; commas that belong to options (``a:k=v,k=v``) do not split."""
    parts: list[str] = []
    for part in (piece.strip() for piece in re.findall(r'(?:[^,"]|"[^"]*")+', text)):
        # "k=v" after a component with options goes on with those options.
        if parts and "=" in part and ":" in parts[-1] and ":" not in part.partition("=")[0]:
            parts[-1] += "," + part
        else:
            parts.append(part)
    return tuple(parts)


def rate_points(text: str) -> tuple[int | float | str, ...]:
    """Comma-separated rate points, as names are; whole numbers and decimals become numbers."""
    from bench.interfaces import split_names
    from bench.runner.rates import written_point

    return tuple(map(written_point, split_names(text)))


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar with remaining time on a terminal, a line a minute elsewhere. Gives update(done, total, label)."""
    if not sys.stderr.isatty():
        yield _line_a_minute(title)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[label]}", style="dim"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, label="")
        yield lambda done, total, label: bar.update(task, completed=done, total=total, label=label)


def _line_a_minute(title: str, every_seconds: float = 60.0) -> Progress:
    """Progress for logs: after each minute a line to standard error."""
    began = told = time.monotonic()

    def update(done: int, total: int, label: str) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= every_seconds:
            told = now
            said = f", {label}" if label else ""
            print(f"{title}: {done} of {total} after {(now - began) / 60:.0f} min{said}", file=sys.stderr, flush=True)

    return update


def save_text(path: Path, text: str) -> None:
    """Write a file that the user named, whole or not at all."""
    from bench.runner.store import disk_errors, write_atomic

    with disk_errors(path):
        write_atomic(path, text.encode())


def word(text: str) -> str:
    """A text as part of a folder's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)


def free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or the first of `name-2`, `name-3`, ... that does not exist."""
    candidate, number = parent / name, 1
    while candidate.exists():
        number += 1
        candidate = parent / f"{name}-{number}"
    return candidate
