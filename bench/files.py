"""Files: the user's cache, writing whole files or none, and what a disk may refuse."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import platformdirs

from bench.errors import BenchError
from bench.paths import user_path

UNFINISHED = ".new-"


class FatalError(BenchError):
    """A fault of this machine, not of a codec (a full disk): it ends the run, and later jobs are not tried."""


def cache_root() -> Path:
    """The suite's folder in the user's cache: BENCH_CACHE, or the platform's own place.

    Raises
    ------
    BenchError
        If the user has no home folder, and nothing else is stated.
    """
    stated = os.environ.get("BENCH_CACHE")
    try:
        return user_path(stated) if stated else platformdirs.user_cache_path("spikebench").expanduser()
    except RuntimeError:
        raise BenchError("this user has no home folder: set BENCH_CACHE to a folder for the suite's cache") from None


DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EEXIST}
    | {errno.ENAMETOOLONG, errno.EISDIR, errno.EFBIG}
)


# What a run that ends early tells its user.
GO_ON = "; what was measured is kept, go on with --resume"


@contextmanager
def disk_errors(place: Path, hint: str = "") -> Iterator[None]:
    """Turn a full or read-only disk, or a file where a folder should be, into one line that ends the run."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise FatalError(disk_message(place, error, hint)) from error
        raise


def disk_message(place: object, error: OSError, hint: str = "") -> str:
    """What a user reads when the disk is at fault."""
    return f"cannot write under {place}: {error.strerror}{hint}{GO_ON}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that is there once all is written, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
    try:
        with unfinished.open("xb") as file:  # with the permissions that the umask says; some file systems have no chmod
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
