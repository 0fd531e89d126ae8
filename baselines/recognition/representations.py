"""What a classifier sees of a moving object: features of a spike camera, or frames of events."""

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

# Coding instants of a recording that a classifier sees.
FRAMES = 6
INSTANTS = Sampling().instants(Sampling().num_spikes(FRAMES))
_EVENTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"etof": etof, "bei": bei, "sbne": sbne}


class Shown(NamedTuple):
    """How Table VI names a representation."""

    camera: str
    title: str


# In the order of Table VI; the firing rate is the floor that is not in the paper.
TABLE_VI = {
    "etof": Shown("event", "EtoF"),
    "bei": Shown("event", "BEI"),
    "sbne": Shown("event", "SBNE"),
    "tfp": Shown("spike", "firing rate (TFP)"),
    "tfi": Shown("spike", "SpiReco"),
    "sci": Shown("spike", "ours"),
}


def shown_by(name: str) -> str | Extractor:
    """What `represent` takes, by name: an encoding of events, or the extractor of that name."""
    return name if name in _EVENTS else create(Extractor, name)


def represent(on: str | Extractor, recording: MovingImage, rate: float, seed: int) -> np.ndarray:
    """K x H x W float32 in [0, 1] of a recording.

    Parameters
    ----------
    on
        As `shown_by` gives it: an extractor, or one of the event encodings; both see the same scene for the same time.
    rate
        Spikes a frame of unit luminance.
    seed
        Seeds the event camera's thresholds.
    """
    if isinstance(on, str):
        luminance = recording.truth(range(recording.num_spikes)).astype(np.float64)
        return _EVENTS[on](events(luminance, seed), FRAMES)
    return on.extract(recording.spikes(0, recording.num_spikes), INSTANTS, rate)
