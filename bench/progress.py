"""What long work tells of how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Takes how much is done, of how much, and a label.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, label: str) -> None:
    """The progress that nobody watches."""
