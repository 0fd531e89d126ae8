"""What a learned component computes, part by part: what `bench complexity` counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Work:
    """One part.

    Attributes
    ----------
    part, side, frame
        Its name, where it runs (camera or cloud), and the type of frame (I, P; empty for all).
    run
        Does it once.
    modules
        Where its parameters are; those that a run touches count.
    published
        Row of the paper's tables that it is to be compared with, as ``table/row``; empty for none.
    """

    part: str
    side: str
    frame: str
    run: Callable[[], object]
    modules: tuple[nn.Module, ...]
    published: str = ""


class HasWorkload(ABC):
    """A component whose networks `bench complexity` counts."""

    @abstractmethod
    def workload(self, size: tuple[int, int]) -> Iterator[Work]:
        """Its parts at H x W, with random weights."""
