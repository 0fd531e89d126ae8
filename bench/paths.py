"""Reads paths and text files that users give, and lists folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.errors import BenchError

# Files that operating systems create in folders by themselves. Names with a leading dot (.DS_Store, ._x) are hidden
# in any case.
_LEFT_BEHIND = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"}
)


def user_path(text: str | Path) -> Path:
    """Convert a path from an option, a variable or a file of the user; ``~`` is the home folder, as in a shell."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib's method raises if there is no home folder)


def natural_order(path: str | Path) -> tuple[list[str | int], str]:
    """Sort key that compares the numbers in names as numbers: frame9 comes before frame10.

    Examples
    --------
    >>> sorted(["frame10.png", "frame9.png", "frame09.png"], key=natural_order)
    ['frame09.png', 'frame9.png', 'frame10.png']
    """
    name = str(path)
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def is_left_behind(path: Path) -> bool:
    """Whether a file or folder is hidden, or was created by an operating system for itself."""
    return path.name.startswith(".") or path.name.lower() in _LEFT_BEHIND


def listed(folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """List a folder in `natural_order`, without hidden files and those of operating systems (`is_left_behind`).

    Parameters
    ----------
    suffixes
        List only files with one of these suffixes, written in lower case; ``.png`` also matches ``.PNG``.

    Raises
    ------
    BenchError
        If it is not a folder, or cannot be read.
    """
    try:
        inside = sorted(folder.iterdir(), key=lambda path: natural_order(path.name))
    except OSError as error:
        raise BenchError(f"{folder}: {error.strerror}") from None
    own = [path for path in inside if not is_left_behind(path)]
    return [path for path in own if path.suffix.lower() in suffixes and path.is_file()] if suffixes else own


def read_user_text(path: Path) -> str:
    """Read a text file of the user: UTF-8, with or without a byte order mark.

    Raises
    ------
    BenchError
        If it is missing, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BenchError(f"{path} is not UTF-8 text; save it as UTF-8") from None


def word(text: str) -> str:
    """Replace the characters of a text that are unsafe in a folder's name by ``-``."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)


def free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or the first of `name-2`, `name-3`, ... that does not exist."""
    candidate, number = parent / name, 1
    while candidate.exists():
        number += 1
        candidate = parent / f"{name}-{number}"
    return candidate
