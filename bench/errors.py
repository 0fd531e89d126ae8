"""The one exception type that a user can cause, and what others said as a part of its line."""


class BenchError(Exception):
    """A mistake or a missing thing outside the suite: one line that says what is wrong and what to do.

    The command line prints the message and exits with code 2. Any other exception is a bug.
    """


class StreamError(BenchError):
    """A stream that is truncated, corrupt, foreign or made with other weights."""


def one_line(text: str) -> str:
    """What a program or a library said, as printable text on one line."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
