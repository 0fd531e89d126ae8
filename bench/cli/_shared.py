"""What verbs share: the store's place, parsing of lists, progress."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, one_line
from bench.progress import Progress

if TYPE_CHECKING:
    from bench.interfaces import SequenceInfo
    from bench.runner.store import Store

_LINE_SECONDS = 60.0


def open_store() -> Store:
    """The store in the user's cache (BENCH_CACHE moves it)."""
    from bench.runner import store

    return store.open_store()


def split(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; commas that belong to options (``a:k=v,k=v``) do not split."""
    if text.count('"') % 2:
        raise BenchError(f"'{text}': a quote is not closed; within double quotes, a quote is doubled")
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
        with _line_a_minute(title) as update:
            yield update
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


@contextmanager
def _line_a_minute(title: str) -> Iterator[Progress]:
    """Progress for logs: after each minute a line to standard error, also while a step takes long."""
    began, ended, done_so_far, last_label = time.monotonic(), threading.Event(), "begun", ""

    def update(done: int, total: int, label: str) -> None:
        nonlocal done_so_far, last_label
        done_so_far, last_label = f"{done} of {total}", label and f", {label}"

    def tell() -> None:
        while not ended.wait(_LINE_SECONDS):
            line = f"{title}: {done_so_far} after {(time.monotonic() - began) / 60:.0f} min{last_label}"
            with suppress(OSError, ValueError):  # whoever read it has gone
                print(one_line(line), file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield update
    finally:
        ended.set()
        teller.join(timeout=1)


def remarks(infos: Iterable[SequenceInfo]) -> Iterator[str]:
    """What looks wrong about sequences, a line each."""
    from bench.errors import one_line

    yield from (f"note: {one_line(info.name)}: {one_line(info.remark)}" for info in infos if info.remark)


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
