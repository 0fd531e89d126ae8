"""Locks on files that the kernel holds and releases, however their process ends.

A file with a process's number would not do: containers and machines that share a folder count processes each for
itself, whereas all of them respect such a lock.
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
        Descriptor of the open file that the kernel has locked; a number, so garbage collection does not close it.
    """

    path: Path
    handle: int

    def release(self) -> None:
        """Remove the file, then unlock it: a process that waits for it sees that it is gone, and creates another."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.handle)


def take_lock(path: Path, *, wait: bool = True) -> Lock | None:
    """Lock a file, which is created if it does not exist.

    Parameters
    ----------
    wait
        Whether to wait for a process that holds the lock.

    Returns
    -------
    Lock or None
        None where another process holds the lock and `wait` is false.

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
        os.close(handle)  # the previous holder has removed the file since it was opened here: try again


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of a file, and hold it within the context; raises as `take_lock`."""
    lock = take_lock(path)
    assert lock is not None  # noqa: S101 -- only `wait=False` gives None
    try:
        yield
    finally:
        lock.release()


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that now lies at the path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
