"""The dataset interface: named spike sequences with what is known of the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from bench.interfaces.component import Component


@dataclass(frozen=True)
class SequenceInfo:
    """What can be known of a sequence without loading it.

    Attributes
    ----------
    name
        Unique within the dataset.
    height, width, num_spikes
        Size of the recording (T spike frames).
    rate
        Spikes per frame that unit luminance fires (alpha / theta).
    speed_class
        ``low``, ``high`` or empty.
    speeds
        Measured or designed speeds in pixels per spike, by name.
    truth_at
        The spike indices that have a truth: None for all, an empty tuple for none.
    label
        Index of its class where the dataset has classes.
    rate_estimated
        Whether `rate` was estimated from the recording, since nothing states it.
    remark
        What looks wrong about the sequence, in one line for the user; empty where nothing does.
    """

    name: str
    height: int
    width: int
    num_spikes: int
    rate: float
    speed_class: Literal["", "low", "high"] = ""
    speeds: tuple[tuple[str, float], ...] = ()
    truth_at: tuple[int, ...] | None = ()
    label: int | None = None
    rate_estimated: bool = False
    remark: str = ""

    @property
    def rate_text(self) -> str:
        """The rate for people, with how it is known."""
        return f"{self.rate:g} (estimated)" if self.rate_estimated else f"{self.rate:g}"


class Recording(ABC):
    """An opened sequence. Reads what is asked for and no more, so that a recording may exceed memory."""

    @abstractmethod
    def spikes(self, start: int, stop: int) -> np.ndarray:
        """Spike frames start..stop-1 as (stop-start) x H x W uint8 in {0, 1}."""

    def truth(self, instants: SequenceOf[int]) -> np.ndarray:
        """Luminance at spike indices that have a truth, len(instants) x H x W float32 in [0, 1]."""
        raise LookupError("this recording has no truth")


class Dataset(Component):
    """A set of sequences. Listing is cheap; nothing is simulated or read before `open`.

    Subclass it, set `name`, write `sequences`, `fingerprint` and `open`, and name it in the entry points, group
    ``bench.datasets``. `prepare` is what ``bench data get NAME`` calls. A dataset whose spikes cost much to make
    says `keep = True`; the runner then makes them once.
    """

    keep: ClassVar[bool] = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that labels are indices of; none by default."""
        return ()

    @abstractmethod
    def sequences(self) -> list[SequenceInfo]:
        """All sequences, in a fixed order."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """Names a sequence's content: equal fingerprints mean equal spikes and equal truth."""

    @abstractmethod
    def open(self, name: str) -> Recording:
        """Open one sequence."""

    def prepare(self, source: Path | None = None) -> str:
        """Fetch what the dataset needs, or take it from `source`; returns one line that says what was done."""
        return f"{self.name}: nothing to fetch"
