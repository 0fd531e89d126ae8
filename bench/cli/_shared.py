"""What verbs share: the store's place, parsing of lists, progress."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, one_line

if TYPE_CHECKING:
    from bench.interfaces import SequenceInfo
    from bench.runner.store import Store


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
    from bench.rates import written_point

    return tuple(map(written_point, split_names(text)))


def remarks(infos: Iterable[SequenceInfo]) -> Iterator[str]:
    """What looks wrong about sequences, a line each."""
    yield from (f"note: {one_line(info.name)}: {one_line(info.remark)}" for info in infos if info.remark)


def save_text(path: Path, text: str) -> None:
    """Write a file that the user named, whole or not at all."""
    from bench.files import disk_errors, write_atomic

    with disk_errors(path):
        write_atomic(path, text.encode())
