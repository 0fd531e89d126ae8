"""A paradigm with the parts that run it, from spikes to a result.

For one:

    chain = Chain("caas", "sci")
    sent = chain.camera(spikes, rate=0.6)   # runs on the camera; sent.stream crosses the link
    result = chain.cloud(sent.stream)       # runs in the cloud; result.frames are pictures

Nothing else walks a paradigm's stages. Who wants to keep, time or count what a stage does passes an `around`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bench.errors import BenchError
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

# Runs a stage: told the stage, the value that it reads, and what makes its output from that value.
Around = Callable[[Stage, Any, Callable[[Any], Any]], Any]
C = TypeVar("C", bound=Component)


@dataclass(frozen=True)
class Sent:
    """What crosses the link.

    Attributes
    ----------
    stream
        One container; every byte of it counts.
    frames
        What the encoder got: spikes, features or results, K x H x W float32.
    estimated_bits
        What the codec's own model says of the payload, where it has one.
    """

    stream: bytes
    frames: np.ndarray
    estimated_bits: float | None = None

    def __repr__(self) -> str:
        count, height, width = self.frames.shape
        return f"<Sent: {len(self.stream)} bytes for {count} frames of {width}x{height}>"


@dataclass(frozen=True)
class Result:
    """What the cloud makes of a stream.

    Attributes
    ----------
    frames
        Pictures K x H x W float32 in [0, 1]; what the task's analyzer gives, for other tasks than pictures.
    decoded
        What the codec gave back.
    """

    frames: np.ndarray
    decoded: Decoded

    def __repr__(self) -> str:
        return f"<Result: {' x '.join(map(str, self.frames.shape))} of {self.frames.dtype}>"


def plainly(_stage: Stage, source: Any, run: Callable[[Any], Any]) -> Any:
    """Run a stage and do nothing else."""
    return run(source)


class Chain:
    """Stages of one paradigm for one task, and extractor, codec and analyzer that run them.

    Parameters
    ----------
    paradigm, codec, extractor, analyzer, task
        Specs, or components. The analyzer is by default the one that the extractor names for the task.

    Attributes
    ----------
    stages
        All stages, in the order that they run.
    content
        What is coded.

    Raises
    ------
    BenchError
        If a spec is unknown, or the analyzer is for another task.
    """

    def __init__(
        self,
        paradigm: str | Paradigm,
        codec: str | Codec,
        extractor: str | Extractor = "sci",
        analyzer: str | Analyzer = "",
        task: str | Task = PICTURES,
    ) -> None:
        self.paradigm, self.codec = _made(Paradigm, paradigm), _made(Codec, codec)
        self.extractor, self.task = _made(Extractor, extractor), _made(Task, task)
        self.analyzer = _made(Analyzer, analyzer or self.task.analyzer_for(self.extractor))
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
        """Refuse before any work what the codec would refuse after it.

        Raises
        ------
        BenchError
            Saying what the codec takes, and which paradigms send that.
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
        """Run the stages on the camera.

        Parameters
        ----------
        spikes
            T x H x W uint8 in {0, 1}.
        rate
            Spikes per frame that unit luminance fires.
        sampling
            Which instants are coded; as many as fit.
        rate_point
            The codec's, by default its highest.
        start
            Where in its recording the first spike frame lies.
        """
        sampling = sampling or Sampling()
        points = checked.rate_points(self.codec, self.content)
        point, condition = points[-1] if rate_point is None else rate_point, coding or CodingCondition()
        self.check(point, condition)
        frames = self.before_link(spikes, sampling.instants(len(spikes)), rate).astype(np.float32, copy=False)
        encoded = self.codec.encode(frames, point, condition, self.content, self.stated(sampling, start, rate))
        return Sent(encoded.stream, frames, encoded.estimated_bits)

    def cloud(self, stream: bytes) -> Result:
        """Run the stages in the cloud on what `camera` sent."""
        info, _ = unpack_stream(stream)
        decoded, chain = self.codec.decode(stream), info.chain
        instants, rate = np.empty(0, np.int64), 1.0
        if chain is not None and self.content.is_spikes:
            instants, rate = Sampling(chain.stride, chain.margin).instants(len(decoded.frames)), chain.spike_rate or 1.0
        return Result(self.after_link(decoded, instants, rate), decoded)

    def before_link(self, spikes: Any, instants: np.ndarray, rate: float, around: Around = plainly) -> Any:
        """What the encoder gets.

        Parameters
        ----------
        spikes
            T x H x W uint8, or whatever stands for them to `around`.
        instants
            Coding instants, as spike frames.
        """
        values = {"spikes": spikes}
        for stage in self.stages[: self.stages.index(self.encoding)]:
            values[stage.output] = around(stage, values[stage.source], partial(self.run, stage, instants, rate))
        return values[self.encoding.source]

    def after_link(self, decoded: Decoded, instants: np.ndarray, rate: float, around: Around = plainly) -> np.ndarray:
        """The task's result from what was decoded.

        Parameters
        ----------
        instants, rate
            What the extractor needs where it runs in the cloud (CTA).
        """
        is_spikes = self.content.is_spikes
        values: dict[str, Any] = {self.decoding.output: to_spikes(decoded.frames) if is_spikes else decoded.frames}
        motion = None if is_spikes else decoded.motion  # that of spikes is of no use to an analyzer of features
        for stage in self.stages[self.stages.index(self.decoding) + 1 :]:
            run = partial(self.run, stage, instants, rate, motion=motion)
            values[stage.output] = around(stage, values[stage.source], run)
        result: np.ndarray = values[f"result.{self.task.name}"]
        return result

    def run(
        self, stage: Stage, instants: np.ndarray, rate: float, source: np.ndarray, motion: np.ndarray | None = None
    ) -> np.ndarray:
        """Run one stage that extracts or analyzes."""
        if stage.kind is Kind.EXTRACT:
            return checked.features(self.extractor, source, instants, rate)
        return checked.result(self.analyzer, source, motion)

    def stated(self, sampling: Sampling, start: int, rate: float) -> AnalysisChain | None:
        """What a stream's container says of this chain; None where other tasks than pictures leave nothing to say."""
        pictures = self.analyzer.task == PICTURES
        if self.content is Content.RESULT and not pictures:
            return None
        own = create(Analyzer, create(Task, PICTURES).analyzer_for(self.extractor))
        analyzer = self.analyzer if pictures else own  # other tasks choose their analyzer themselves
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
    """Decoded spike frames as uint8 in {0, 1}: a lossy codec's values become spikes above one half."""
    return (frames > SPIKE_THRESHOLD).astype(np.uint8)


def _made(base: type[C], part: str | C) -> C:
    return create(base, part) if isinstance(part, str) else part
