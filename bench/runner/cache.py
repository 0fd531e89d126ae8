"""What lies in the user's cache, and the removal of stored results that no run has used for long."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.files import UNFINISHED, disk_errors
from bench.runner.locks import take_lock
from bench.runner.store import Store

DAY = 24 * 3600.0
_ENTRIES = "[0-9a-f][0-9a-f]"  # folders of a store's entries


@dataclass(frozen=True)
class Part:
    """A folder of the cache: how many files it has, their bytes, and when the last of them was written or used."""

    name: str
    files: int
    size: int
    used: float


@dataclass
class _Entry:
    """The files of one stored result."""

    paths: list[Path] = field(default_factory=list)
    size: int = 0
    used: float = 0.0


def parts(root: Path) -> list[Part]:
    """The folders of a cache, the stored results first; those of fetched data one by one."""
    folders = sorted(path for path in root.glob("*") if path.is_dir() and path.name not in ("store", "data"))
    data = sorted(path for path in root.glob("data/*") if path.is_dir())
    return [_part(root, folder) for folder in (root / "store", *data, *folders) if folder.is_dir()]


def _part(root: Path, folder: Path) -> Part:
    states = [state for _, state in _files(folder)]
    used = max((state.st_mtime for state in states), default=0.0)
    return Part(str(folder.relative_to(root)), len(states), sum(state.st_size for state in states), used)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for above, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a run that goes on beside this has removed it
                path = Path(above, name)
                yield path, path.lstat()


def prune(store: Store, days: float, most: float) -> tuple[int, int]:
    """Remove the results that were not used for so many days, then the least recently used ones above so many bytes.

    Runs may go on beside it: to them a removed result is one that was never there, and is made anew. What killed runs
    and earlier versions of the suite left behind goes too.

    Returns
    -------
    tuple
        How many results were removed, and their bytes.
    """
    entries = sorted(_entries(store.root), key=lambda entry: entry.used)
    total, oldest = sum(entry.size for entry in entries), time.time() - days * DAY
    removed = freed = 0
    with disk_errors(store.root):
        for entry in entries:
            if entry.used >= oldest and total - freed <= most:
                break
            for path in entry.paths:
                path.unlink(missing_ok=True)
            removed, freed = removed + 1, freed + entry.size
    store.sweep()
    _remove_remains(store.root)
    return removed, freed


def _entries(root: Path) -> list[_Entry]:
    """Stored results; the file that is read first comes first."""
    entries: defaultdict[str, _Entry] = defaultdict(_Entry)
    for folder in root.glob(_ENTRIES):
        for path, state in sorted(_files(folder), key=lambda file: file[0].suffix, reverse=True):
            if not path.name.startswith(UNFINISHED):
                entry = entries[path.stem]
                entry.paths.append(path)
                entry.size += state.st_size
                entry.used = max(entry.used, state.st_mtime)
    return list(entries.values())


def _remove_remains(root: Path) -> None:
    """Remove what no living process can need: unfinished files, locks and working folders of the day before."""
    yesterday = time.time() - DAY
    for path in (*root.glob(f"{_ENTRIES}/{UNFINISHED}*"), *root.glob("locks/*"), *root.glob("scratch/*/*")):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime >= yesterday:
                continue
            if path.name.startswith(UNFINISHED):
                path.unlink()
            elif path.is_dir():
                if not path.with_suffix(".lock").exists():  # an earlier version's, which had no locks there
                    shutil.rmtree(path)
            elif lock := take_lock(path, wait=False):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                lock.release()
