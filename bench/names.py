"""Converts names that users choose (of datasets, sequences, codecs) to file names and to labels in figures."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

# Longest file name in characters: file systems allow 255 bytes, and prefix and suffix need room.
_MOST = 80
_HASH = 8
# Windows reserves these names for devices.
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d")


def file_name(*parts: str) -> str:
    """Name of a file or folder, without suffix, that is valid in every file system and shell.

    Lower-case letters, digits, ``-`` and ``_`` are kept. If any other character is replaced, or another name could give
    the same file name (upper case, long names), digits of a hash are appended. So different names never share a file.

    Parameters
    ----------
    parts
        Names that are joined, such as dataset and sequence.

    Examples
    --------
    >>> file_name("s-motion", "low-1")
    's-motion_low-1'
    >>> file_name("train/3")
    'train-3-64feeb38'
    """
    text = "_".join(parts)
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^\w-]+", "-", letters).strip("-")[: _MOST - _HASH - 1]
    apart = len(parts) < 2 or not any("_" in part for part in parts)
    if text and safe == text == text.lower() and apart and not _like_another(text):
        return text
    digits = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{safe or 'name'}-{digits}"


def _like_another(text: str) -> bool:
    """Whether the text is reserved by Windows, or ends like a name with an appended hash."""
    return bool(_RESERVED.fullmatch(text) or re.search(rf"-[0-9a-f]{{{_HASH}}}$", text))


def short(text: str, most: int) -> str:
    """Shorten a text to `most` characters by replacing its middle with an ellipsis."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1].rstrip()}…{text[len(text) - end :].lstrip()}"


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Shorten names as `short` does, and number those that would be equal; returns the short text of each name."""
    names = dict.fromkeys(names)
    texts: dict[str, str] = {name: name for name in names if len(name) <= most}
    labels = set(texts)
    for name in names:
        if name in texts:
            continue
        text, number = short(name, most), 1
        while text in labels:
            number += 1
            text = f"{short(name, most)} #{number}"
        texts[name] = text
        labels.add(text)
    return texts
