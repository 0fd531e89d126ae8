"""Names that users choose (of datasets, sequences, codecs) as names of files and as words in figures."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

# Characters of a file's name, so that prefix and suffix have room everywhere.
_MOST = 80
_HASH = 8
# Windows keeps these names for devices.
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d")


def file_name(*parts: str) -> str:
    """A name for a file or folder, without suffix, that every file system and shell takes.

    Small letters, digits, ``-`` and ``_`` stay as they are. Where anything else is lost, or where another name could
    give the same file (capitals, long names), digits of a hash follow, so that two names are never one file.

    Parameters
    ----------
    parts
        Names that make it together, such as dataset and sequence.

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
    """Whether it is a device's name, or looks as if a hash had been added."""
    return bool(_RESERVED.fullmatch(text) or re.search(rf"-[0-9a-f]{{{_HASH}}}$", text))


def short(text: str, most: int) -> str:
    """A text, or its beginning and end where it has more characters than a figure has room for."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1].rstrip()}…{text[len(text) - end :].lstrip()}"


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Different names as `short` gives them, numbered where two would be alike."""
    names = dict.fromkeys(names)
    texts: dict[str, str] = {name: name for name in names if len(name) <= most}
    taken = set(texts)
    for name in names:
        if name in texts:
            continue
        text, number = short(name, most), 1
        while text in taken:
            number += 1
            text = f"{short(name, most)} #{number}"
        texts[name] = text
        taken.add(text)
    return texts
