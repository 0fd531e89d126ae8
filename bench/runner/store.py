"""A content-addressed store for the results of stages.

The key of an entry is a hash of everything that can change the entry. An entry is written once, by atomic rename, and
the hash of its data is checked at every read: an incomplete or damaged entry counts as absent and is made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import cache_root, disk_errors, write_atomic
from bench.runner.locks import Lock, locked, take_lock


class MissError(Exception):
    """The store lacks an entry and may not make it (`Store.make`)."""


@dataclass(frozen=True)
class Entry:
    """One stored result.

    Attributes
    ----------
    identity
        SHA-256 of the data in hex; the keys of later stages contain it.
    facts
        Facts that are stored with the data, such as ``estimated_bits``.
    data
        The bytes.
    """

    identity: str
    facts: dict[str, Any]
    data: bytes

    def array(self) -> np.ndarray:
        """The array that the data are (`array_bytes`)."""
        return np.load(io.BytesIO(self.data), allow_pickle=False)


# The data and the facts of a new entry.
Contents = tuple[bytes, dict[str, Any]]
_LOCK = ".lock"
_DAY = 24 * 3600.0
_ELSEWHERE = " (BENCH_CACHE names another folder)"


class Store:
    """The entries in a folder.

    Parameters
    ----------
    root
        The folder.
    make
        Whether to make an entry that is absent; if not, `get` raises `MissError`.
    """

    def __init__(self, root: Path, *, make: bool = True) -> None:
        self.root = root
        self.make = make

    def get(self, key: str, maker: Callable[[], Contents]) -> Entry:
        """Read an entry; if it is absent, make it first, only once even if several processes ask for it.

        Parameters
        ----------
        key
            Hash of everything that can change the entry, in hex.
        maker
            Function that returns the data and facts of the entry.

        Raises
        ------
        MissError
            If the entry is absent and may not be made.
        FatalError
            If the disk is full or refuses a file.
        """
        entry = self._read(key)
        if entry is not None:
            return entry
        if not self.make:
            raise MissError(key)
        with self._locked(key):
            entry = self._read(key)
            if entry is None:
                data, facts = maker()
                self._write(key, data, facts)
                entry = Entry(hashlib.sha256(data).hexdigest(), facts, data)
            return entry

    def has(self, key: str) -> bool:
        """Whether an entry is there, though it may be damaged."""
        return all(path.is_file() for path in self._paths(key))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A working folder for this process alone, which is removed at the end of the context."""
        folder, lock = self._make_scratch()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()

    def make_scratch(self) -> Path:
        """A new working folder for this process alone; once the process has ended, `sweep` removes it."""
        return self._make_scratch()[0]

    def _make_scratch(self) -> tuple[Path, Lock]:
        with disk_errors(self.root, _ELSEWHERE):
            self._scratch.mkdir(parents=True, exist_ok=True)
            folder = self._scratch / uuid.uuid4().hex
            lock = take_lock(folder.with_suffix(_LOCK))  # before the folder exists, so that `sweep` cannot remove it
            assert lock is not None  # noqa: S101 -- only `wait=False` gives None
            folder.mkdir()
            return folder, lock

    def sweep(self) -> None:
        """Remove the working folders of processes that have ended: nobody holds their locks."""
        for path in self._scratch.glob(f"*{_LOCK}"):
            with suppress(OSError):  # the folder of another user
                if lock := take_lock(path, wait=False):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    lock.release()

    @property
    def _scratch(self) -> Path:
        # Machines may share a store on a file system whose locks hold on one machine only: each has its own folder.
        return self.root / "scratch" / (platform.node() or "here")

    def _paths(self, key: str) -> tuple[Path, Path]:
        base = self.root / key[:2] / key
        return base.with_suffix(".json"), base.with_suffix(".bin")

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self.root / "locks"
        with ExitStack() as stack:
            with disk_errors(self.root, _ELSEWHERE):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(folder / key))
            yield

    def _read(self, key: str) -> Entry | None:
        facts_path, data_path = self._paths(key)
        try:
            noted = json.loads(facts_path.read_bytes())
            data = data_path.read_bytes()
        except (OSError, ValueError):
            return None
        if not isinstance(noted, dict) or hashlib.sha256(data).hexdigest() != noted.get("sha256"):
            return None
        with suppress(OSError):  # the store is read-only
            if time.time() - facts_path.stat().st_mtime > _DAY:
                os.utime(facts_path)  # the time of last use, to within a day, for `bench cache --prune`
        return Entry(noted["sha256"], noted["facts"], data)

    def _write(self, key: str, data: bytes, facts: dict[str, Any]) -> None:
        facts_path, data_path = self._paths(key)
        noted = {"sha256": hashlib.sha256(data).hexdigest(), "facts": facts}
        with disk_errors(self.root, _ELSEWHERE):
            write_atomic(data_path, data)
            write_atomic(facts_path, json.dumps(noted).encode())


def open_store() -> Store:
    """The store in the user's cache (BENCH_CACHE moves it)."""
    return Store(cache_root() / "store")


def array_bytes(array: np.ndarray) -> bytes:
    """The bytes of a .npy file that holds the array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
