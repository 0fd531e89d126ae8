"""Locks that the kernel holds: however their process ends, they are let go of, and they leave no file behind.

Unlike a process's number, such a lock means the same to containers and machines that share a folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds until it is released, or the process ends.

    Attributes
    ----------
    path
        The lock's file.
    handle
        The open file that the kernel has locked; a plain number, which no garbage collection closes.
    """

    path: Path
    handle: int

    def release(self) -> None:
        """Remove the file, then let go: whoever waits for it takes note that it is gone, and makes another."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.handle)


def take_lock(path: Path, *, wait: bool = True) -> Lock | None:
    """Take the lock of a file, which is made where it does not exist.

    Returns
    -------
    Lock or None
        None where another holds it and this process is not to wait.

    Raises
    ------
    BenchError
        If the file system has no locks.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(handle, path):
                return Lock(path, handle)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                message = (
                    "lies on a file system without locks (flock); use another folder (BENCH_CACHE moves the cache)"
                )
                raise BenchError(f"{path.parent} {message}") from None
            raise
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has removed the file since it was opened


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, after waiting for it."""
    lock = take_lock(path)
    assert lock is not None  # noqa: S101 -- it was waited for
    try:
        yield
    finally:
        lock.release()


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
