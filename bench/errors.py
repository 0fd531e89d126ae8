"""Exceptions for mistakes of users, and text of other programs as one line of a message."""


class BenchError(Exception):
    """A mistake of the user, or something that is missing on this machine.

    The message says in one line what is wrong and what to do. The command line prints it and exits with code 2. Any
    other exception is a bug.
    """


class StreamError(BenchError):
    """A stream is truncated or damaged, is not of this suite, or was coded by another codec or with other weights."""


def one_line(text: str) -> str:
    """Convert the output of a program or library to one line of printable text."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
