"""The condition card: what makes two points comparable (DESIGN section 4)."""

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
    "frame mean, then sequence mean",  # of schema 1, whose PSNR had no ceiling
]


class CodingCondition(BaseModel):
    """The part of the card that a codec sees.

    Attributes
    ----------
    intra_period
        Distance of intra frames, in coded frames.
    structure
        ``low_delay`` (causal: no reordering, and no look at later frames) or ``random_access``.
    bit_depth
        Depth that frames are quantised to before coding. Luma only; a codec without 4:0:0 adds neutral chroma.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    intra_period: int = Field(default=16, ge=1)
    structure: Structure = "low_delay"
    bit_depth: Literal[8] = 8

    @property
    def delay(self) -> str:
        """What `structure` asks of a codec, in the words of the card."""
        return _DELAYS[self.structure]


class ConditionCard(BaseModel):
    """Everything that two points must share for a BD figure to mean something.

    Attributes
    ----------
    num_spikes
        T, spike frames per segment; what bits per spike is counted over.
    stride, num_frames, margin
        Coding instants are t_k = margin + k * stride, k = 0..num_frames-1, inside the segment.
    evaluated
        Which instants count: those that have a truth. Which these are may differ from one recording to another, so each
        row says it.
    extractor, analyzer, analyzer_sha256
        Specs of the analysis chain, and the hash of the analyzer's weights (empty where it has none).
    delay
        What a codec may look at, in words; empty on cards from before there was a rule.
    averaging
        The rule by which frames become a sequence's figure and sequences a set's.

    Cards of schema 1 listed the instants in ``evaluated``; they are read, and written no more.
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
        """Twelve hex digits that name the card in every row."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
