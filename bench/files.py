"""Files: the folder of the user's cache, atomic writing, and errors of the disk."""

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
    """A fault of this machine and not of a codec, such as a full disk. It ends the run; later jobs do not start."""


def cache_root() -> Path:
    """The folder of the suite's cache: the value of BENCH_CACHE, or a folder in the platform's user cache.

    Raises
    ------
    BenchError
        If BENCH_CACHE is not set and the user has no home folder.
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


# End of the message of a run that stops early.
GO_ON = "; what was measured is kept, go on with --resume"


@contextmanager
def disk_errors(place: Path, hint: str = "") -> Iterator[None]:
    """Turn an `OSError` of the disk (full, read-only, a file in place of a folder) into a `FatalError`.

    Parameters
    ----------
    place
        The file or folder that is written, for the message.
    hint
        What the user can do, appended to the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise FatalError(disk_message(place, error, hint)) from error
        raise


def disk_message(place: object, error: OSError, hint: str = "") -> str:
    """The message for an error of the disk."""
    return f"cannot write under {place}: {error.strerror}{hint}{GO_ON}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically: it exists either with all data or not at all."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for atomic writing: it appears under its name when the ``with`` block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
    try:
        with unfinished.open("xb") as file:  # permissions follow the umask; some file systems have no chmod
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
