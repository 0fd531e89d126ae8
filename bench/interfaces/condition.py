"""The condition card: the settings that two points must share to be comparable (docs/protocol.md)."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Structure = Literal["low_delay", "random_access"]
_DELAYS = {
    "low_delay": "causal: what is sent for frame k depends on frames 0 to k alone",
    "random_access": "what is sent for frame k may depend on later frames, as many as the codec states",
}
Averaging = Literal[
    "over instants, segments, sequences; PSNR of a frame at most 60 dB",
    "frame mean, then sequence mean",  # schema 1, where PSNR had no upper limit
]


class CodingCondition(BaseModel):
    """The part of the condition card that a codec gets.

    Attributes
    ----------
    intra_period
        Coded frames from one intra frame to the next.
    structure
        ``low_delay`` (causal: no reordering and no look-ahead) or ``random_access``.
    bit_depth
        Bits per luma sample that frames are quantised to before coding. A codec without 4:0:0 adds neutral chroma.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    intra_period: int = Field(default=16, ge=1)
    structure: Structure = "low_delay"
    bit_depth: Literal[8] = 8

    @property
    def delay(self) -> str:
        """The rule that `structure` sets for a codec, in words."""
        return _DELAYS[self.structure]


class ConditionCard(BaseModel):
    """The settings that two points must share before a BD figure compares them.

    Cards of schema 1 list the instants in `evaluated`. They can still be read, but are no longer written.

    Attributes
    ----------
    task
        Name of the task.
    num_spikes
        T, spike frames per segment. Bits per spike are bits / (T * H * W).
    stride, num_frames, margin
        The K = `num_frames` coding instants of a segment are t_k = margin + k * stride, k = 0..K-1, in spike frames.
    evaluated
        Which instants are compared with a truth. Recordings may differ in the instants that have one, so each row lists
        its own.
    coding
        What the codec gets of the card.
    delay
        The rule for look-ahead, in words; empty on old cards.
    chroma
        Only luma is coded and measured.
    extractor, analyzer
        Their specs.
    extractor_sha256, analyzer_sha256
        SHA-256 of their weights in hex; empty without weights.
    averaging
        How frames are averaged to a figure of a sequence, and sequences to a figure of a dataset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    num_spikes: int = Field(ge=1)
    stride: int = Field(ge=1)
    num_frames: int = Field(ge=1)
    margin: int = Field(ge=0)
    evaluated: Literal["instants with a truth", "all", "none"] | tuple[int, ...] = "instants with a truth"
    coding: CodingCondition
    delay: str = ""
    chroma: Literal["luma-only"] = "luma-only"
    extractor: str
    extractor_sha256: str = ""
    analyzer: str
    analyzer_sha256: str = ""
    averaging: Averaging = "over instants, segments, sequences; PSNR of a frame at most 60 dB"

    @functools.cached_property
    def digest(self) -> str:
        """The first twelve hex digits of the SHA-256 of the card's JSON; every row states them in `condition`."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
