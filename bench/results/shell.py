"""Commands that are printed to be pasted into a shell: whatever a file says, they start `bench` and nothing else."""

from __future__ import annotations

import shlex


def flag(name: str, value: object) -> str:
    """A flag with its value; one that begins with a dash is no flag of its own."""
    quoted = shlex.quote(str(value))
    return f"{name}={quoted}" if quoted.startswith("-") else f"{name} {quoted}"


def commands(text: str) -> list[str]:
    """Split commands at ``&&``, every word quoted anew.

    Raises
    ------
    ValueError
        If one of them does not start `bench`.
    """
    found: list[list[str]] = [[]]
    for word in shlex.split(text):
        if word == "&&":
            found.append([])
        else:
            found[-1].append(word)
    if any(words[:1] != ["bench"] for words in found) or not text.isprintable():
        raise ValueError("not a command of this suite")
    return [shlex.join(words) for words in found]


def inert(text: str) -> str:
    """The same commands with every word quoted anew, see `commands`; none stays none."""
    return " && ".join(commands(text)) if text else ""
