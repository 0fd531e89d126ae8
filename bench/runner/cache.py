"""The contents of the user's cache, and the removal of stored results that no run has used for a long time."""

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
    """A folder of the cache.

    Attributes
    ----------
    name
        Path of the folder below the cache's root.
    files, size
        Number of its files, and their bytes.
    used
        When the last of them was written or used, in seconds since the epoch; 0 for an empty folder.
    """

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
    """The folders of a cache: the stored results, then each downloaded dataset, then all others."""
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
            with contextlib.suppress(FileNotFoundError):  # a run that is active meanwhile has removed it
                path = Path(above, name)
                yield path, path.lstat()


def prune(store: Store, days: float, most: float) -> tuple[int, int]:
    """Remove results that no run has used for a number of days, then the least recently used ones above a size.

    Runs may be active meanwhile: a run computes a removed result again. Unfinished files, locks and working folders of
    killed runs and of earlier versions of the suite are removed, too.

    Parameters
    ----------
    days
        Results that were not used for more than so many days are removed.
    most
        Bytes that the remaining results may take.

    Returns
    -------
    tuple
        Number of removed results, and their bytes.

    Raises
    ------
    FatalError
        If the files cannot be removed.
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
    """The stored results; of each, the file that the store reads first comes first."""
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
    """Remove unfinished files, locks and working folders that are older than a day: no running process needs them."""
    yesterday = time.time() - DAY
    for path in (*root.glob(f"{_ENTRIES}/{UNFINISHED}*"), *root.glob("locks/*"), *root.glob("scratch/*/*")):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime >= yesterday:
                continue
            if path.name.startswith(UNFINISHED):
                path.unlink()
            elif path.is_dir():
                if not path.with_suffix(".lock").exists():  # from an earlier version, which had no locks there
                    shutil.rmtree(path)
            elif lock := take_lock(path, wait=False):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                lock.release()
