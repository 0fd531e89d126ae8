"""Representations of a moving object for the classifier: features of a spike camera, or frames of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from baselines.recognition.events import bei, etof, events, sbne
from bench.interfaces import Extractor
from bench.registry import create
from bench.sampling import Sampling

if TYPE_CHECKING:
    from bench.datasets.moving import MovingImage

# Number of coding instants of a recording that a classifier gets.
FRAMES = 6
INSTANTS = Sampling().instants(Sampling().num_spikes(FRAMES))
_EVENTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"etof": etof, "bei": bei, "sbne": sbne}


class Shown(NamedTuple):
    """A representation's camera and title in Table VI."""

    camera: str
    title: str


# In the order of Table VI. The firing rate is not in the paper; it is the baseline.
TABLE_VI = {
    "etof": Shown("event", "EtoF"),
    "bei": Shown("event", "BEI"),
    "sbne": Shown("event", "SBNE"),
    "tfp": Shown("spike", "firing rate (TFP)"),
    "tfi": Shown("spike", "SpiReco"),
    "sci": Shown("spike", "ours"),
}


def shown_by(name: str) -> str | Extractor:
    """The argument `on` of `represent` for a name: that of an event encoding, or the extractor of that name."""
    return name if name in _EVENTS else create(Extractor, name)


def represent(on: str | Extractor, recording: MovingImage, rate: float, seed: int) -> np.ndarray:
    """Represent a recording by K x H x W float32 frames in [0, 1].

    Parameters
    ----------
    on
        An extractor, or the name of an event encoding (see `shown_by`); both get the same scene for the same time.
    rate
        Spikes per frame that unit luminance fires.
    seed
        Seeds the event camera's thresholds.
    """
    if isinstance(on, str):
        luminance = recording.truth(range(recording.num_spikes)).astype(np.float64)
        return _EVENTS[on](events(luminance, seed), FRAMES)
    return on.extract(recording.spikes(0, recording.num_spikes), INSTANTS, rate)
