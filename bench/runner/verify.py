"""Decodes the streams that a run keeps, each in a fresh process, and compares bits and frames with the run's rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.errors import BenchError
from bench.interfaces import Codec
from bench.results.document import read_run_file, stream_path, usable_origin
from bench.results.rows import RD_FILE, STREAMS, RDRow, codec_spec, read_rows
from bench.runner.decode import decode_fresh
from bench.runner.store import Store
from bench.tools import kill_tools

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Check:
    """The check of one row's stream: `problem` says what is wrong with it, and is empty where nothing is."""

    row: RDRow
    problem: str = ""


def verify_run(folder: Path, store: Store, trusted: bool = False) -> Iterator[Check]:
    """Check the stream of every measured row, as many at a time as there are cores; yields the checks by row.

    Parameters
    ----------
    folder
        The run's folder.
    store
        Store for working folders.
    trusted
        See `bench.results.document.read_run_file`.

    Raises
    ------
    BenchError
        If the run has no streams, or run.json names code or a program as a row's codec and the run is not trusted.
    """
    document = read_run_file(folder, trusted)
    rows = [row for row in read_rows(folder / RD_FILE) if row.status == "ok"]
    codecs = [usable_origin(document, Codec, codec_spec(row.codec, row.options)) for row in rows]
    if rows and not any(stream_path(folder, row.job).exists() for row in rows):
        raise BenchError(
            f"the {len(rows)} streams of {folder} are not here, so there is nothing to verify: a run keeps them in "
            f"{folder / STREAMS} where it was made, and Git ignores that folder; `bench explain` names the command "
            "that makes a row again"
        )

    def check(pair: tuple[RDRow, str]) -> Check:
        return Check(pair[0], _problem(folder, pair[0], store, pair[1]))

    yield from in_threads(check, zip(rows, codecs, strict=True))


def in_threads(
    check: Callable[[A], B], items: Iterable[A], most: int | None = None, stop: Callable[[], None] = kill_tools
) -> Iterator[B]:
    """The results of checks that each wait for a process of their own, in the order of the items.

    Parameters
    ----------
    most
        Number of checks at a time; as many as there are cores by default.
    stop
        Ends the processes that checks wait for; it is called after an interrupt.
    """
    with ThreadPoolExecutor(most or os.cpu_count()) as pool:
        try:
            yield from pool.map(check, items)
        except BaseException:  # an interrupt: the end of the pool waits for its threads, which wait for processes
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise


def _problem(folder: Path, row: RDRow, store: Store, spec: str) -> str:
    path = stream_path(folder, row.job)
    try:
        stream = path.read_bytes()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if row.bits != 8 * len(stream):
        return f"the file has {8 * len(stream)} bits, the row states {row.bits}"
    try:
        with store.scratch() as scratch:
            _, sha256 = decode_fresh(stream, scratch, spec)
    except BenchError as error:
        return str(error)
    if sha256 != row.decoded_sha256:
        return f"decodes to other frames ({sha256[:12]}, the row states {row.decoded_sha256[:12]})"
    return ""
