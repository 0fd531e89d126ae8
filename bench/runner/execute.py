"""Runs one job: the stages of its paradigm, with results from the store where it has them, and their times."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from bench.chain import Chain, to_spikes
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, component_fingerprint, digest
from bench.interfaces import (
    Analyzer,
    Codec,
    Content,
    Dataset,
    Extractor,
    Kind,
    Paradigm,
    Stage,
    Task,
    checked,
    pack_stream,
    unpack_stream,
)
from bench.interfaces.values import stated, stated_weights
from bench.metrics.spikes import evaluate_spikes, firing_rates
from bench.pictures import grey_levels, png
from bench.results.rows import MEASURES, SCHEMA, ClassRow, MeasureRow, RDRow
from bench.runner.decode import decode_fresh
from bench.runner.plan import Job, component_for
from bench.runner.store import Entry, Made, Store, array_bytes
from bench.sampling import Sampling
from bench.spikes import PackedSpikes

# At most so many samples has a stream that a codec with weights decodes in the process that decoded the one before it
# (`bench.runner.decode`): spikes or features of 64x64 for a class, say.
_SHORT = 1 << 19


@dataclass(frozen=True)
class StageTime:
    """The time of one stage that ran; a stage whose result comes from the store has no time.

    Attributes
    ----------
    kind
        Kind of stage: ``simulate``, ``extract``, ``encode``, ``decode``, ``analyze`` or ``evaluate``.
    side
        ``camera``, ``cloud`` or ``bench``.
    seconds
        Wall-clock seconds.
    """

    kind: str
    side: str
    seconds: float


@dataclass
class Outcome:
    """The results of one job.

    Attributes
    ----------
    row
        Its row of rd.csv.
    classes, measures
        Its row of classification.csv and its rows of measures.csv, where its task has any.
    stream
        The container that crosses the link; empty where the job failed or was skipped.
    picture
        PNG file of the result at one instant (`shown_instant`); empty where results are no pictures.
    times
        Times of the stages that ran.
    """

    row: RDRow
    classes: ClassRow | None = None
    measures: tuple[MeasureRow, ...] = ()
    stream: bytes = b""
    picture: bytes = b""
    times: list[StageTime] = field(default_factory=list)


@dataclass(frozen=True)
class _Value:
    """A value between two stages: its identity, which the keys of later results contain, and a function to load it."""

    identity: str
    load: Callable[[], np.ndarray]


def run_job(job: Job, store: Store) -> Outcome:
    """Run a job; results that the store has are not computed again.

    Raises
    ------
    MissError
        If the store lacks a result and may not make it (`Store.make`).
    BenchError
        If a stage fails.
    """
    if job.skip:
        return Outcome(_row(job, status="skipped", reason=job.skip))
    return _JobRun(job, store).outcome()


def failed(job: Job, reason: str) -> Outcome:
    """The outcome of a job that failed: a row with the reason, as one line."""
    return Outcome(_row(job, status="failed", reason=" ".join(reason.split())))


def sent_frames(job: Job, store: Store) -> np.ndarray:
    """The frames that a job's encoder gets: K x H x W float32, under CTA the T x H x W spike frames."""
    return _JobRun(job, store).sent_frames()


class _JobRun:
    def __init__(self, job: Job, store: Store) -> None:
        self.job, self.store = job, store
        self.dataset = component_for(Dataset, job.dataset)
        self.chain = Chain(
            component_for(Paradigm, job.paradigm),
            component_for(Codec, job.codec),
            component_for(Extractor, job.extractor),
            component_for(Analyzer, job.analyzer),
            component_for(Task, job.task),
        )
        self.instants, self.rate = np.array(job.instants), job.info.rate
        self.times: list[StageTime] = []

    def outcome(self) -> Outcome:
        """Run the camera side up to the stream; all that follows is evaluated and stored as one result."""
        spikes = self._spikes()
        entry = self._encode(self._frames(spikes))
        chain = self.chain
        truth_key = self._data_key("truth", list(self._truth_instants()))
        key = digest(
            [
                "evaluate",
                entry.identity,
                truth_key,
                component_fingerprint(chain.codec),
                self.job.availability.sha256,
                [component_fingerprint(part) for part in (chain.extractor, chain.analyzer, chain.task)],
                code_fingerprint(__name__),
                self.job.instants,
                self.job.info.rate,
                self.job.evaluated,
                chain.content.value,
                self.job.paradigm,
                spikes.identity,
            ]
        )
        evaluated = self.store.get(key, lambda: self._cloud(entry, spikes, truth_key))
        measures = json.loads(evaluated.data)
        picture = base64.b64decode(measures.pop("picture", ""))
        said = {name: measures.pop(name) for name in ("label", "predicted", "probabilities") if name in measures}
        own = {measure.name: measures.pop(measure.name, None) for measure in chain.task.measures}
        try:
            classes = ClassRow(schema_version=1, job=self.job.id, **said) if said else None
            others = tuple(
                MeasureRow(schema_version=1, job=self.job.id, measure=name, value=value)
                for name, value in own.items()
                if value is not None
            )
            row = _row(
                self.job,
                status="ok",
                bits=8 * len(entry.data),
                estimated_bits=entry.facts.get("estimated_bits"),
                bpp=8 * len(entry.data) / (self.job.card.num_spikes * self._pixels),
                bpf=8 * len(entry.data) / (self.job.card.num_frames * self._pixels),
                **measures,
            )
        except ValidationError as error:
            first = error.errors()[0]
            column = ".".join(map(str, first["loc"]))
            raise BenchError(f"{chain.task.name}: evaluate: {column}: {first['msg']}") from None
        return Outcome(row, classes, others, entry.data, picture, self.times)

    @property
    def _pixels(self) -> int:
        return self.job.info.height * self.job.info.width

    def _truth_instants(self) -> tuple[int, ...]:
        job = self.job
        return tuple(job.start + job.instants[k] for k in job.evaluated)

    # The camera side

    def _spikes(self) -> _Value:
        """The segment's spikes: from the store where they take long to make (`Dataset.keep`), else from the file."""
        job = self.job
        stop = job.start + job.card.num_spikes
        shape = (job.card.num_spikes, job.info.height, job.info.width)
        key = self._data_key("spikes", [job.start, stop])
        if not self.dataset.keep:
            return _Value(key, functools.cache(lambda: checked.spikes(self.dataset, job.info, job.start, stop)))

        def make() -> Made:
            return PackedSpikes.pack(checked.spikes(self.dataset, job.info, job.start, stop)).data.tobytes(), {}

        entry = self._timed("simulate", "camera", key, make)
        packed = PackedSpikes(np.frombuffer(entry.data, np.uint8).reshape(shape[0], -1), *shape[1:])
        return _Value(key, functools.cache(lambda: packed[:]))

    def _truth(self, key: str) -> np.ndarray:
        def read() -> np.ndarray:
            return checked.truth(self.dataset, self.job.info, self._truth_instants())

        return self.store.get(key, lambda: (array_bytes(read()), {})).array() if self.dataset.keep else read()

    def _fact(self, spikes: _Value) -> np.ndarray:
        """The truth of a task that asks for another one than the luminance."""
        info, truth = self.job.info, self.chain.task.truth
        if truth == "label":
            return np.array(info.label)
        if truth == "shift":
            return np.array(info.velocity) * self.job.card.stride
        return firing_rates(spikes.load(), self.instants, self.rate)

    def _data_key(self, what: str, extent: list[int]) -> str:
        return digest([what, sequence_fingerprint(self.dataset, self.job.info.name), extent])

    def _frames(self, spikes: _Value) -> _Value:
        """The frames that the encoder gets."""
        value: _Value = self.chain.before_link(spikes, self.instants, self.rate, self._kept)
        return value

    def sent_frames(self) -> np.ndarray:
        """The same as an array."""
        return self._frames(self._spikes()).load().astype(np.float32, copy=False)

    def _kept(self, stage: Stage, source: _Value, run: Callable[[np.ndarray], np.ndarray]) -> _Value:
        """Run an extraction or analysis on the camera and store its result, which all codecs and rate points share."""
        part = self.chain.extractor if stage.kind is Kind.EXTRACT else self.chain.analyzer
        key = digest(
            [
                stage.kind.value,
                component_fingerprint(part),
                source.identity,
                self.job.instants,
                self.job.info.rate,
            ]
        )
        entry = self._timed(stage.kind.value, stage.side.value, key, lambda: (array_bytes(run(source.load())), {}))
        return _Value(entry.identity, functools.cache(entry.array))

    def _encode(self, source: _Value) -> Entry:
        """Encode the frames, only once for equal ones: results of ATC may be the same pictures as features of CAAS."""
        job, codec, content = self.job, self.chain.codec, self.chain.content
        kind = Content.SPIKES if content.is_spikes else Content.FEATURES
        key = digest(
            [
                "encode",
                component_fingerprint(codec),
                job.availability.sha256,
                job.availability.version,
                source.identity,
                job.rate_point,
                job.card.coding.model_dump(),
                kind.value,
            ]
        )

        def make() -> Made:
            frames = source.load().astype(np.float32, copy=False)
            encoded = codec.encode(frames, job.rate_point, job.card.coding, kind)
            return encoded.stream, {"estimated_bits": encoded.estimated_bits}

        entry = self._timed("encode", "camera", key, make)
        info, payload = unpack_stream(entry.data)
        # Chains with equal frames share the payload; the header states the content and the parts of this chain.
        stated = self.chain.stated(Sampling(job.card.stride, job.card.margin), job.start, job.info.rate)
        stream = pack_stream(replace(info, content=content, chain=stated), payload)
        return Entry(hashlib.sha256(stream).hexdigest(), entry.facts, stream)

    # Behind the link

    def _cloud(self, entry: Entry, spikes: _Value, truth_key: str) -> Made:
        """Decode in another process, run the remaining stages, and measure the result."""
        measures: dict[str, Any] = {}
        began = time.perf_counter()
        with self.store.scratch() as folder:
            short = math.prod(unpack_stream(entry.data)[0].shape) <= _SHORT
            shared = short and bool(stated_weights(self.chain.codec))
            decoded, measures["decoded_sha256"] = decode_fresh(entry.data, folder, self.job.codec, shared=shared)
        self._book("decode", "cloud", began)
        began = time.perf_counter()
        result = self.chain.after_link(decoded, self.instants, self.rate)
        self._book("analyze", "cloud", began)
        began = time.perf_counter()
        if self.chain.content.is_spikes:
            measures.update(evaluate_spikes(to_spikes(decoded.frames), spikes.load()))
        if self.chain.task.truth != "luminance":
            measures |= checked.measures(self.chain.task, result, self._fact(spikes), MEASURES)
        elif self.job.evaluated:
            judged = result[list(self.job.evaluated)], self._truth(truth_key)
            measures |= checked.measures(self.chain.task, *judged, MEASURES)
        if self.chain.task.truth in ("luminance", "rates") and result.ndim == 3:
            shown = shown_instant(self.job.evaluated, self.job.card.num_frames)
            measures["picture"] = base64.b64encode(png(grey_levels(result[shown]))).decode()
        self._book("evaluate", "bench", began)
        return json.dumps(measures).encode(), {}

    def _book(self, kind: str, side: str, began: float) -> None:
        self.times.append(StageTime(kind, side, time.perf_counter() - began))

    def _timed(self, kind: str, side: str, key: str, make: Callable[[], Made]) -> Entry:
        def timed() -> Made:
            began = time.perf_counter()
            made = make()
            self._book(kind, side, began)
            return made

        return self.store.get(key, timed)


def shown_instant(evaluated: Sequence[int], num_frames: int) -> int:
    """The number k of the coding instant that a job's picture shows.

    Parameters
    ----------
    evaluated
        Numbers of the instants with a truth; the middle one is shown.
    num_frames
        K, number of all instants; the middle one is shown where none has a truth.
    """
    instants = evaluated or range(num_frames)
    return instants[len(instants) // 2]


@functools.lru_cache(maxsize=4096)
def sequence_fingerprint(dataset: Dataset, sequence: str) -> str:
    """A sequence's fingerprint, computed once per process: it may need the hash of a long file."""
    return checked.fingerprint(dataset, sequence)


def _row(job: Job, **measured: Any) -> RDRow:
    codec: Codec = component_for(Codec, job.codec)
    return RDRow(
        schema_version=SCHEMA,
        job=job.id,
        dataset=component_for(Dataset, job.dataset).spec,
        sequence=job.info.name,
        speed_class=job.info.speed_class,
        segment=job.start,
        task=job.task,
        paradigm=job.paradigm,
        extractor=job.card.extractor,
        analyzer=job.card.analyzer,
        codec=codec.name,
        options=codec.options_text,
        preset=stated(codec, "preset"),
        codec_version=job.availability.version,
        codec_sha256=job.availability.sha256,
        weights_sha256=stated_weights(codec),
        chroma=stated(codec, "default_chroma"),
        rate_point=str(job.rate_point),
        condition=job.card.digest,
        height=job.info.height,
        width=job.info.width,
        num_spikes=job.card.num_spikes,
        num_frames=job.card.num_frames,
        evaluated=job.evaluated_text,
        seed=job.seed,
        **measured,
    )
