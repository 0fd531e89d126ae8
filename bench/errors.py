"""The one exception type that a user can cause."""


class BenchError(Exception):
    """A mistake or a missing thing outside the suite: one line that says what is wrong and what to do.

    The command line prints the message and exits with code 2. Any other exception is a bug.
    """


class StreamError(BenchError):
    """A stream that is truncated, corrupt, foreign or made with other weights."""
