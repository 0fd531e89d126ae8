"""The dataset interface: named spike sequences, and their true luminance or class where it is known."""

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
    """Facts about a sequence that are known before it is opened.

    Attributes
    ----------
    name
        Unique within the dataset.
    height, width, num_spikes
        Size of a frame in pixels, and number of spike frames of the whole recording.
    rate
        Spikes per frame of a pixel at unit luminance (alpha / theta of the camera).
    speed_class
        ``low``, ``high`` or empty if unknown; reports group sequences by it.
    speeds
        Pairs of a name and a speed in pixels per spike frame, measured or designed.
    truth_at
        Indices of the spike frames whose luminance is known: None for all, an empty tuple for none.
    label
        Index of its class; None without classes.
    rate_estimated
        Whether `rate` was estimated from the recording because nothing states it.
    remark
        One line for the user on what looks wrong about the sequence; empty if nothing does.
    velocity
        How its one object moves, in pixels per spike frame, x then y; None if unknown or without such an object.
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
    velocity: tuple[float, float] | None = None

    @property
    def rate_text(self) -> str:
        """The rate as text, marked if it was estimated."""
        return f"{self.rate:g} (estimated)" if self.rate_estimated else f"{self.rate:g}"


class Recording(ABC):
    """An open sequence. It reads only the frames that are asked for, so a recording may be larger than memory."""

    @abstractmethod
    def spikes(self, start: int, stop: int) -> np.ndarray:
        """Read spike frames start..stop-1, (stop - start) x H x W uint8 in {0, 1}."""

    def truth(self, instants: SequenceOf[int]) -> np.ndarray:
        """Read the true luminance at spike frames, len(instants) x H x W float32 in [0, 1].

        Raises
        ------
        LookupError
            If it is not known at one of the instants.
        """
        raise LookupError("this recording has no truth")


class Dataset(Component):
    """A set of sequences. Listing them is cheap; nothing is simulated or read before `open`.

    To write one, subclass it, set `name`, and write `sequences`, `fingerprint` and `open`. To publish it, register the
    class in the entry-point group ``bench.datasets``.

    Attributes
    ----------
    keep
        Whether the runner stores the spikes, because computing them again would take long.
    """

    keep: ClassVar[bool] = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a sequence's `label` is an index into them. By default there are none."""
        return ()

    @abstractmethod
    def sequences(self) -> list[SequenceInfo]:
        """List all sequences, in a fixed order."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """A text that identifies a sequence's content: equal fingerprints mean equal spikes and equal truth."""

    @abstractmethod
    def open(self, name: str) -> Recording:
        """Open the sequence of this name."""

    def prepare(self, source: Path | None = None) -> str:
        """Download the dataset's data, or take them from `source`; ``bench data get NAME`` calls this.

        Returns
        -------
        str
            One line that says what was done.
        """
        return f"{self.name}: nothing to fetch"
