"""A paradigm with the components that run its stages, from spikes to a result.

For example:

    chain = Chain("caas", "sci")
    sent = chain.camera(spikes, rate=0.6)   # runs on the camera; sent.stream crosses the link
    result = chain.cloud(sent.stream)       # runs in the cloud; result.frames are pictures

No other code runs a paradigm's stages. To store, time or count what a stage does, pass a function `around` it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bench.errors import BenchError, StreamError
from bench.interfaces import (
    AnalysisChain,
    Analyzer,
    Codec,
    CodingCondition,
    Component,
    Content,
    Decoded,
    Extractor,
    Kind,
    Paradigm,
    RatePoint,
    Stage,
    StreamInfo,
    Task,
    checked,
    unpack_stream,
    weights_digest,
)
from bench.interfaces.values import stated_weights
from bench.registry import create, names
from bench.sampling import Sampling

PICTURES = "reconstruction"
SPIKE_THRESHOLD = 0.5

# A function that runs a stage. Arguments: the stage, the value that it reads, and a function that computes its output
# from that value. It returns the output.
Around = Callable[[Stage, Any, Callable[[Any], Any]], Any]
C = TypeVar("C", bound=Component)


@dataclass(frozen=True)
class Sent:
    """What the camera sends, and what it was encoded from.

    Attributes
    ----------
    stream
        The container that crosses the link; all its bytes count as rate.
    frames
        The encoder's input: spikes, features or results, K x H x W float32.
    estimated_bits
        Bits by the likelihood of the codec's own entropy model; None without a model.
    """

    stream: bytes
    frames: np.ndarray
    estimated_bits: float | None = None

    def __repr__(self) -> str:
        count, height, width = self.frames.shape
        return f"<Sent: {len(self.stream)} bytes for {count} frames of {width}x{height}>"


@dataclass(frozen=True)
class Result:
    """What the cloud computes from a stream.

    Attributes
    ----------
    frames
        The task's result: pictures, K x H x W float32 in [0, 1], or what the analyzer of another task returns.
    decoded
        The codec's output.
    """

    frames: np.ndarray
    decoded: Decoded

    def __repr__(self) -> str:
        return f"<Result: {' x '.join(map(str, self.frames.shape))} of {self.frames.dtype}>"


def plainly(_stage: Stage, source: Any, run: Callable[[Any], Any]) -> Any:
    """Run a stage and do nothing else: the default `around`."""
    return run(source)


class Chain:
    """The stages of one paradigm for one task, with the extractor, codec and analyzer that run them.

    Parameters
    ----------
    paradigm, codec, extractor, analyzer, task
        Components, or their specs. By default, the analyzer is the extractor's for the task, else the task's.

    Attributes
    ----------
    stages
        All stages, in the order in which they run.
    encoding, decoding
        The stages on both ends of the link.
    content
        What is coded: spikes, features or results.

    Raises
    ------
    BenchError
        If a spec is unknown, the analyzer is for another task, or the paradigm does not have exactly one encoding and
        one decoding stage for the task.
    """

    def __init__(
        self,
        paradigm: str | Paradigm,
        codec: str | Codec,
        extractor: str | Extractor = "sci",
        analyzer: str | Analyzer = "",
        task: str | Task = PICTURES,
    ) -> None:
        self.paradigm, self.codec = _component(Paradigm, paradigm), _component(Codec, codec)
        self.extractor, self.task = _component(Extractor, extractor), _component(Task, task)
        self.analyzer = _component(Analyzer, analyzer or self.task.analyzer_for(self.extractor))
        self.task.check_analyzer(self.analyzer)
        self.stages = checked.stages(self.paradigm, [self.task.name])
        self.encoding, self.decoding = self._only(Kind.ENCODE), self._only(Kind.DECODE)
        self.content = self.encoding.content or Content.FEATURES

    def _only(self, kind: Kind) -> Stage:
        stages = [stage for stage in self.stages if stage.kind is kind]
        if len(stages) != 1:
            raise BenchError(f"{self.paradigm.name}: {len(stages)} stages {kind.value} for one task, not one")
        return stages[0]

    def __repr__(self) -> str:
        parts = (self.paradigm, self.codec, self.extractor, self.analyzer)
        return f"<Chain: {' '.join(part.spec for part in parts)}>"

    def check(self, rate_point: RatePoint, coding: CodingCondition) -> None:
        """Check, before any work, that the codec takes the content, the rate point and the condition.

        Raises
        ------
        BenchError
            If it does not. For a wrong content, the message names the paradigms that send what the codec takes.
        """
        codec, content = self.codec, self.content
        if not codec.takes(content):
            takes = " and ".join(sorted(codec.accepts))
            others = [name for name in names(Paradigm) if codec.takes(Chain(name, codec, self.extractor).content)]
            hint = f"; use --paradigm {' or '.join(others)}" if others else ""
            raise BenchError(f"{codec.name} takes {takes} only, {self.paradigm.name} codes {content.value}{hint}")
        codec.check_rate_point(rate_point)
        codec.check_condition(coding)

    def camera(
        self,
        spikes: np.ndarray,
        rate: float,
        sampling: Sampling | None = None,
        rate_point: RatePoint | None = None,
        coding: CodingCondition | None = None,
        start: int = 0,
    ) -> Sent:
        """Run the stages on the camera, on one segment of spikes.

        Parameters
        ----------
        spikes
            T x H x W uint8 in {0, 1}.
        rate
            Spikes per frame of a pixel at unit luminance.
        sampling
            Stride and margin of the coding instants; as many as fit are coded.
        rate_point
            One of the codec's rate points; by default the last one, with the highest rate.
        coding
            The coding condition; by default low delay with an intra period of 16 frames.
        start
            Index of the segment's first spike frame in its recording, for the stream's header.

        Raises
        ------
        BenchError
            If the codec does not take the content, the rate point or the condition, or a component returns a wrong
            value.
        """
        sampling = sampling or Sampling()
        points = checked.rate_points(self.codec, self.content)
        point, condition = points[-1] if rate_point is None else rate_point, coding or CodingCondition()
        self.check(point, condition)
        frames = self.before_link(spikes, sampling.instants(len(spikes)), rate).astype(np.float32, copy=False)
        encoded = self.codec.encode(frames, point, condition, self.content, self.stated(sampling, start, rate))
        return Sent(encoded.stream, frames, encoded.estimated_bits)

    def cloud(self, stream: bytes) -> Result:
        """Run the stages in the cloud on a stream from `camera`.

        Raises
        ------
        StreamError
            If the stream is damaged, was coded by another codec or with other weights, or is not of this chain: it
            holds other content, or states another extractor or analyzer.
        """
        info, _ = unpack_stream(stream)
        self._check_stream(info)
        decoded, chain = self.codec.decode(stream), info.chain
        instants, rate = np.empty(0, np.int64), 1.0
        if chain is not None and self.content.is_spikes:
            instants, rate = Sampling(chain.stride, chain.margin).instants(len(decoded.frames)), chain.spike_rate or 1.0
        return Result(self.after_link(decoded, instants, rate), decoded)

    def _check_stream(self, info: StreamInfo) -> None:
        """Refuse a stream of other content, or one that states another extractor, analyzer or weights than ours."""
        stated, own = info.chain, self.stated(Sampling(), 0, 1.0)
        facts = [("content", info.content.value, self.content.value)]
        if stated is None and self.content.is_spikes and info.content.is_spikes:
            raise StreamError("the stream does not state the coding instants, which the extractor in the cloud needs")
        if stated is not None and own is None:  # only results for pictures state a chain
            facts.append(("task", PICTURES, self.task.name))
        if stated is not None and own is not None:
            facts.append(("extractor", stated.extractor, own.extractor))
            if stated.extractor == own.extractor:  # each extractor has a default analyzer of its own
                default = create(Task, PICTURES).analyzer_for(self.extractor)
                if self.analyzer.task == PICTURES:  # else the stream is also ours: it states the analyzer for pictures
                    facts.append(("analyzer", stated.analyzer or default, own.analyzer or default))
                if stated.analyzer == own.analyzer:  # the weights are those of both
                    facts.append(("weights", stated.weights.hex() or "none", own.weights.hex() or "none"))
        if differing := [fact for fact in facts if fact[1] != fact[2]]:
            states = ", ".join(f"{name} {there}" for name, there, _ in differing)
            expects = ", ".join(f"{name} {here}" for name, _, here in differing)
            raise StreamError(f"the stream states {states}; this chain ({self.paradigm.name}) expects {expects}")

    def before_link(self, spikes: Any, instants: np.ndarray, rate: float, around: Around = plainly) -> Any:
        """Run the stages before the encoder, and return the encoder's input.

        Parameters
        ----------
        spikes
            T x H x W uint8 in {0, 1}, or whatever `around` can take in their place.
        instants
            Coding instants, as indices of spike frames.
        rate
            Spikes per frame of a pixel at unit luminance.
        """
        values = {"spikes": spikes}
        for stage in self.stages[: self.stages.index(self.encoding)]:
            values[stage.output] = around(stage, values[stage.source], partial(self.run, stage, instants, rate))
        return values[self.encoding.source]

    def after_link(self, decoded: Decoded, instants: np.ndarray, rate: float, around: Around = plainly) -> np.ndarray:
        """Run the stages after the decoder, and return the task's result.

        Parameters
        ----------
        instants, rate
            As `before_link` takes them, for an extractor in the cloud (CTA).
        """
        is_spikes = self.content.is_spikes
        values: dict[str, Any] = {self.decoding.output: to_spikes(decoded.frames) if is_spikes else decoded.frames}
        motion = None if is_spikes else decoded.motion  # motion between spike frames is not motion between features
        for stage in self.stages[self.stages.index(self.decoding) + 1 :]:
            run = partial(self.run, stage, instants, rate, motion=motion)
            values[stage.output] = around(stage, values[stage.source], run)
        result: np.ndarray = values[f"result.{self.task.name}"]
        return result

    def run(
        self, stage: Stage, instants: np.ndarray, rate: float, source: np.ndarray, motion: np.ndarray | None = None
    ) -> np.ndarray:
        """Run one stage of extraction or analysis on its input `source`; returns float32."""
        if stage.kind is Kind.EXTRACT:
            return checked.features(self.extractor, source, instants, rate)
        return checked.result(self.analyzer, source, motion)

    def stated(self, sampling: Sampling, start: int, rate: float) -> AnalysisChain | None:
        """The analysis chain for a stream's header.

        None if the stream is a result of a task other than reconstruction: nothing is left to analyze.
        """
        pictures = self.analyzer.task == PICTURES
        if self.content is Content.RESULT and not pictures:
            return None
        own = create(Analyzer, create(Task, PICTURES).analyzer_for(self.extractor))
        analyzer = self.analyzer if pictures else own  # the header names the analyzer for pictures alone
        return AnalysisChain(
            self.extractor.spec,
            "" if analyzer.spec == own.spec else analyzer.spec,
            weights_digest(stated_weights(self.extractor), stated_weights(analyzer)),
            start + sampling.margin,
            sampling.stride,
            sampling.margin,
            rate if self.content.is_spikes else None,
        )


def to_spikes(frames: np.ndarray) -> np.ndarray:
    """Convert decoded spike frames to uint8 in {0, 1}: a value of a lossy codec above one half is a spike."""
    return (frames > SPIKE_THRESHOLD).astype(np.uint8)


def _component(base: type[C], part: str | C) -> C:
    return create(base, part) if isinstance(part, str) else part
