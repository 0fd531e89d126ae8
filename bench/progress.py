"""Progress of long work, on a terminal, in a notebook or in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bench.errors import one_line

# A function that shows progress. Arguments: number of steps done, number of all steps, and a label.
Progress = Callable[[int, int, str], None]

_LINE_SECONDS = 60.0


def silent(done: int, total: int, label: str) -> None:
    """Show no progress."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show progress within a ``with`` block, which gets a function ``update(done, total, label)``.

    A terminal shows a bar with the remaining time, a notebook one line that is updated; elsewhere, such as in a log,
    one line is written to standard error each minute.
    """
    if (ipython := _notebook()) is not None:
        yield _line_in_place(title, ipython)
        return
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
    """Write a line to standard error each minute, by a thread, so that it also appears during a long step."""
    began, ended, done_so_far, last_label = time.monotonic(), threading.Event(), "begun", ""

    def update(done: int, total: int, label: str) -> None:
        nonlocal done_so_far, last_label
        done_so_far, last_label = f"{done} of {total}", label and f", {label}"

    def tell() -> None:
        while not ended.wait(_LINE_SECONDS):
            line = f"{title}: {done_so_far} after {(time.monotonic() - began) / 60:.0f} min{last_label}"
            with suppress(OSError, ValueError):  # the reader of standard error has ended
                print(one_line(line), file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield update
    finally:
        ended.set()
        teller.join(timeout=1)


def _notebook() -> Any:
    """The module IPython if this process is the kernel of a notebook, else None."""
    ipython = sys.modules.get("IPython")
    kernel = ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
    return ipython if kernel else None


def _line_in_place(title: str, ipython: Any) -> Progress:
    """Show progress as one line of a notebook cell's output, which each update replaces."""
    began = time.monotonic()
    line = ipython.display.display({"text/plain": title}, raw=True, display_id=True)

    def update(done: int, total: int, label: str) -> None:
        spent = time.monotonic() - began
        left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else ""
        line.update({"text/plain": f"{title}: {done} of {total} in {spent:.0f} s{left} {label}".rstrip()}, raw=True)

    return update
