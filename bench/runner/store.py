"""A content-addressed store for what stages make.

An entry's key is a hash over everything that can change it; an entry is written once, by atomic rename, and its
own hash is checked at every read, so a half-written, damaged or pruned entry counts as absent and is made again.
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
    """The store lacks an entry and may not make it."""


@dataclass(frozen=True)
class Entry:
    """One stored result.

    Attributes
    ----------
    identity
        SHA-256 of the data: what a later stage's key is made of.
    facts
        What was noted when it was made (seconds, estimates).
    data
        The bytes.
    """

    identity: str
    facts: dict[str, Any]
    data: bytes

    def array(self) -> np.ndarray:
        """The data as the array that it was."""
        return np.load(io.BytesIO(self.data), allow_pickle=False)


Made = tuple[bytes, dict[str, Any]]
_LOCK = ".lock"
_DAY = 24 * 3600.0
_ELSEWHERE = " (BENCH_CACHE names another folder)"


class Store:
    """Entries under a folder. With `make=False` a missing entry raises `MissError` instead of being made."""

    def __init__(self, root: Path, *, make: bool = True) -> None:
        self.root = root
        self.make = make

    def get(self, key: str, maker: Callable[[], Made]) -> Entry:
        """Read an entry; make it first, once, even with several processes asking."""
        found = self._read(key)
        if found is not None:
            return found
        if not self.make:
            raise MissError(key)
        with self._locked(key):
            found = self._read(key)
            if found is None:
                data, facts = maker()
                self._write(key, data, facts)
                found = Entry(hashlib.sha256(data).hexdigest(), facts, data)
            return found

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A working folder of this process's own, gone afterwards."""
        folder, lock = self._make_scratch()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()

    def make_scratch(self) -> Path:
        """A new working folder that is this process's until it ends; then `sweep` removes it."""
        return self._make_scratch()[0]

    def _make_scratch(self) -> tuple[Path, Lock]:
        with disk_errors(self.root, _ELSEWHERE):
            self._scratch.mkdir(parents=True, exist_ok=True)
            folder = self._scratch / uuid.uuid4().hex
            lock = take_lock(folder.with_suffix(_LOCK))  # before there is a folder that `sweep` could take
            assert lock is not None  # noqa: S101 -- it was waited for
            folder.mkdir()
            return folder, lock

    def sweep(self) -> None:
        """Remove working folders that ended processes left behind, as told by their locks."""
        for path in self._scratch.glob(f"*{_LOCK}"):
            with suppress(OSError):  # another user's
                if lock := take_lock(path, wait=False):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    lock.release()

    @property
    def _scratch(self) -> Path:
        # Machines may share a store on a file system that keeps locks to each machine, so each has a folder of its own.
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
        with suppress(OSError):  # a store that may only be read
            if time.time() - facts_path.stat().st_mtime > _DAY:
                os.utime(facts_path)  # when it was last used, to the day: what `bench cache --prune` goes by
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
    """An array as .npy bytes."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
