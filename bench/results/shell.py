"""Commands that the suite prints for pasting into a shell.

Parts of them come from result files of other people. Quoting makes sure that they start `bench` and nothing else.
"""

from __future__ import annotations

import shlex


def flag(name: str, value: object) -> str:
    """A flag and its quoted value. A value that begins with a dash is joined by ``=``, so it is not read as a flag."""
    quoted = shlex.quote(str(value))
    return f"{name}={quoted}" if quoted.startswith("-") else f"{name} {quoted}"


def commands(text: str) -> list[str]:
    """Split a line of commands at ``&&`` and quote every word of them anew.

    Raises
    ------
    ValueError
        If one of the commands does not start `bench`, or the text has characters that cannot be printed.
    """
    split: list[list[str]] = [[]]
    for word in shlex.split(text):
        if word == "&&":
            split.append([])
        else:
            split[-1].append(word)
    if any(words[:1] != ["bench"] for words in split) or not text.isprintable():
        raise ValueError("not a command of this suite")
    return [shlex.join(words) for words in split]


def inert(text: str) -> str:
    """The same line of commands with every word quoted anew (`commands`); an empty text stays empty."""
    return " && ".join(commands(text)) if text else ""
