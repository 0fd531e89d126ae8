"""Exceptions for mistakes of users, and text of other programs and libraries as one line of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BenchError(Exception):
    """A mistake of the user, or something that is missing on this machine.

    The message says in one line what is wrong and what to do. The command line prints it and exits with code 2. Any
    other exception is a bug.
    """


class StreamError(BenchError):
    """A stream is truncated or damaged, is not of this suite, or was coded by another codec or with other weights."""


def first_fault(error: ValidationError, absent: str = "no such field") -> str:
    """The first thing that is wrong with data: its place, fields with dots between, and what is wrong.

    Parameters
    ----------
    absent
        What is wrong with a field that the model does not have.
    """
    first = error.errors()[0]
    wrong = absent if first["type"] == "extra_forbidden" else first["msg"]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), wrong)))


def one_line(text: str) -> str:
    """Convert the output of a program or library to one line of printable text."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
