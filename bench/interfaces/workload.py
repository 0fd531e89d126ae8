"""The interface of components whose networks ``bench complexity`` counts, part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Work:
    """One part of a component's computation.

    Attributes
    ----------
    part, side, frame
        Name of the part, where it runs (``camera``, ``cloud`` or ``both``), and the type of frame that it is for:
        ``I``, ``P``, or empty for all.
    run
        Computes the part once.
    modules
        Modules with its parameters. Only parameters that `run` uses are counted.
    published
        Row of the paper's tables with the figures to compare with, as ``table/row``; empty for none.
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
        """The component's parts for frames of `size`, (H, W) in pixels, with random weights."""
