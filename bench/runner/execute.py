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
from bench.errors import BenchError, first_fault
from bench.files import FatalError
from bench.fingerprint import code_fingerprint, component_fingerprint, digest
from bench.interfaces import (
    Analyzer,
    Codec,
    Content,
    Dataset,
    Decoded,
    Encoded,
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
from bench.runner.decode import decode_all_fresh
from bench.runner.plan import Job, coded_content, component_for
from bench.runner.store import Contents, Entry, Store, array_bytes
from bench.sampling import Sampling
from bench.spikes import PackedSpikes

# At most so many samples has a stream that a codec with weights decodes in the process that decoded the one before it
# (`bench.runner.decode`): spikes or features of 64x64 for a class, say.
_SHORT = 1 << 19
# Most pixels of the frames that are coded at once. With larger ones a batch takes as long as its segments alone.
_BATCH_PIXELS = 1 << 16


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


def batch_of(job: Job) -> tuple[object, ...] | None:
    """What jobs have in common whose streams are coded in batches; None where a stream is coded alone."""
    if job.skip or most_together(job) < 2:
        return None
    return job.codec, job.paradigm, job.card.digest, job.info.height, job.info.width


def most_together(job: Job) -> int:
    """Most streams like the job's that are coded at once.

    One process decodes those of a batch, as it may with short ones of codecs with weights (`bench.runner.decode`).
    """
    codec: Codec = component_for(Codec, job.codec)
    pixels = job.info.height * job.info.width
    spikes = coded_content(job.paradigm, job.task).is_spikes
    frames = job.card.num_spikes if spikes else job.card.num_frames
    if not _shares_process(codec, frames * pixels):
        return 1
    return min(checked.together(codec), _BATCH_PIXELS // pixels)


def _shares_process(codec: Codec, samples: int) -> bool:
    """Whether the process that decodes a stream of so many samples has decoded others of the codec before it."""
    return samples <= _SHORT and bool(stated_weights(codec))


def start_batch(jobs: Sequence[Job], store: Store) -> dict[str, Callable[[], Outcome]]:
    """Code the streams of jobs of one batch (`batch_of`) at once; returns by id what runs each job to its end.

    Where that fails, every job codes its own stream, so that only the one fails that has the error.

    Raises
    ------
    FatalError
        If the disk is full or refuses a file.
    """
    runs: dict[str, _JobRun] = {}
    try:
        runs |= {job.id: _JobRun(job, store) for job in jobs}
        _encode_all([run for run in runs.values() if not run.is_encoded()])
        _decode_all([run for run in runs.values() if not run.is_evaluated()], store)
    except FatalError:
        raise
    except (Exception, SystemExit):  # the job that has the error meets it again
        runs = {}
    return {name: run.outcome for name, run in runs.items()}


def failed(job: Job, reason: str) -> Outcome:
    """The outcome of a job that failed: a row with the reason, as one line."""
    return Outcome(_row(job, status="failed", reason=" ".join(reason.split())))


def judge(job: Job, decoded: Decoded, store: Store) -> dict[str, Any]:
    """Run what follows the decoding of a job's stream, and measure the result.

    Returns
    -------
    dict
        Measures by name: columns of rd.csv and classification.csv, and those that the task brings.

    Raises
    ------
    BenchError
        If a stage fails.
    """
    run = _JobRun(job, store)
    run.decoded = decoded, ""
    measures: dict[str, Any] = json.loads(run.cloud()[0])
    return measures


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
        self.decoded: tuple[Decoded, str] | None = None  # by `_decode_all`

    def outcome(self) -> Outcome:
        """Run the camera side up to the stream; all that follows is evaluated and stored as one result."""
        entry, chain = self.entry, self.chain
        evaluated = self.store.get(self._evaluated_key, self.cloud)
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
            raise BenchError(f"{chain.task.name}: evaluate: {first_fault(error)}") from None
        return Outcome(row, classes, others, entry.data, picture, self.times)

    def is_encoded(self) -> bool:
        """Whether the store has the stream."""
        return self.store.has(self._encoded_key)

    def is_evaluated(self) -> bool:
        """Whether the store has all that follows the stream."""
        return self.store.has(self._evaluated_key)

    @property
    def _evaluated_key(self) -> str:
        chain = self.chain
        return digest(
            [
                "evaluate",
                self.entry.identity,
                self._truth_key,
                component_fingerprint(chain.codec),
                self.job.availability.sha256,
                [component_fingerprint(part) for part in (chain.extractor, chain.analyzer, chain.task)],
                code_fingerprint(__name__),
                self.job.instants,
                self.job.info.rate,
                self.job.evaluated,
                chain.content.value,
                self.job.paradigm,
                self._spikes.identity,
            ]
        )

    @property
    def _truth_key(self) -> str:
        return self._data_key("truth", list(self._truth_instants()))

    @property
    def _pixels(self) -> int:
        return self.job.info.height * self.job.info.width

    def _truth_instants(self) -> tuple[int, ...]:
        job = self.job
        return tuple(job.start + job.instants[k] for k in job.evaluated)

    # The camera side

    @functools.cached_property
    def _spikes(self) -> _Value:
        """The segment's spikes: from the store where they take long to make (`Dataset.keep`), else from the file."""
        job = self.job
        stop = job.start + job.card.num_spikes
        shape = (job.card.num_spikes, job.info.height, job.info.width)
        key = self._data_key("spikes", [job.start, stop])
        if not self.dataset.keep:
            return _Value(key, functools.cache(lambda: checked.spikes(self.dataset, job.info, job.start, stop)))

        def make() -> Contents:
            return PackedSpikes.pack(checked.spikes(self.dataset, job.info, job.start, stop)).data.tobytes(), {}

        entry = self._timed("simulate", "camera", key, make)
        packed = PackedSpikes(np.frombuffer(entry.data, np.uint8).reshape(shape[0], -1), *shape[1:])
        return _Value(key, functools.cache(lambda: packed[:]))

    def _truth(self) -> np.ndarray:
        def read() -> np.ndarray:
            return checked.truth(self.dataset, self.job.info, self._truth_instants())

        if not self.dataset.keep:
            return read()
        return self.store.get(self._truth_key, lambda: (array_bytes(read()), {})).array()

    def _fact(self) -> np.ndarray:
        """The truth of a task that asks for another one than the luminance."""
        info, truth = self.job.info, self.chain.task.truth
        if truth == "label":
            return np.array(info.label)
        if truth == "shift":
            return np.array(info.velocity) * self.job.card.stride
        return firing_rates(self._spikes.load(), self.instants, self.rate)

    def _data_key(self, what: str, extent: list[int]) -> str:
        return digest([what, sequence_fingerprint(self.dataset, self.job.info.name), extent])

    @functools.cached_property
    def _frames(self) -> _Value:
        """The frames that the encoder gets."""
        value: _Value = self.chain.before_link(self._spikes, self.instants, self.rate, self._stored_result)
        return value

    def sent_frames(self) -> np.ndarray:
        """The same as an array."""
        return self._frames.load().astype(np.float32, copy=False)

    def _stored_result(self, stage: Stage, source: _Value, run: Callable[[np.ndarray], np.ndarray]) -> _Value:
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

    @property
    def kind(self) -> Content:
        """What the encoder is told that it gets."""
        return Content.SPIKES if self.chain.content.is_spikes else Content.FEATURES

    @functools.cached_property
    def _encoded_key(self) -> str:
        """Equal for equal frames: results of ATC may be the same pictures as features of CAAS."""
        job, codec = self.job, self.chain.codec
        return digest(
            [
                "encode",
                component_fingerprint(codec),
                job.availability.sha256,
                job.availability.version,
                self._frames.identity,
                job.rate_point,
                job.card.coding.model_dump(),
                self.kind.value,
            ]
        )

    @functools.cached_property
    def entry(self) -> Entry:
        """The stream, which is encoded if the store lacks it."""
        job = self.job

        def make() -> Contents:
            encoded = self.chain.codec.encode(self.sent_frames(), job.rate_point, job.card.coding, self.kind)
            return encoded.stream, {"estimated_bits": encoded.estimated_bits}

        entry = self._timed("encode", "camera", self._encoded_key, make)
        info, payload = unpack_stream(entry.data)
        # Chains with equal frames share the payload; the header states the content and the parts of this chain.
        stated = self.chain.stated(Sampling(job.card.stride, job.card.margin), job.start, job.info.rate)
        stream = pack_stream(replace(info, content=self.chain.content, chain=stated), payload)
        return Entry(hashlib.sha256(stream).hexdigest(), entry.facts, stream)

    def keep(self, encoded: Encoded, seconds: float) -> None:
        """Put a stream that was encoded in a batch into the store."""
        self.store.get(self._encoded_key, lambda: (encoded.stream, {"estimated_bits": encoded.estimated_bits}))
        self.times.append(StageTime("encode", "camera", seconds))

    # Behind the link

    def cloud(self) -> Contents:
        """Decode in another process, run the remaining stages, and measure the result."""
        measures: dict[str, Any] = {}
        if self.decoded is None:
            _decode_all([self], self.store)
        assert self.decoded is not None  # noqa: S101 -- by `_decode_all`
        decoded, measures["decoded_sha256"] = self.decoded
        began = time.perf_counter()
        result = self.chain.after_link(decoded, self.instants, self.rate)
        self._book("analyze", "cloud", began)
        began = time.perf_counter()
        if self.chain.content.is_spikes:
            measures.update(evaluate_spikes(to_spikes(decoded.frames), self._spikes.load()))
        if self.chain.task.truth != "luminance":
            measures |= checked.measures(self.chain.task, result, self._fact(), MEASURES)
        elif self.job.evaluated:
            judged = result[list(self.job.evaluated)], self._truth()
            measures |= checked.measures(self.chain.task, *judged, MEASURES)
        if self.chain.task.truth in ("luminance", "rates") and result.ndim == 3:
            instant = shown_instant(self.job.evaluated, self.job.card.num_frames)
            measures["picture"] = base64.b64encode(png(grey_levels(result[instant]))).decode()
        self._book("evaluate", "bench", began)
        return json.dumps(measures).encode(), {}

    def _book(self, kind: str, side: str, began: float) -> None:
        self.times.append(StageTime(kind, side, time.perf_counter() - began))

    def _timed(self, kind: str, side: str, key: str, make: Callable[[], Contents]) -> Entry:
        def timed() -> Contents:
            began = time.perf_counter()
            contents = make()
            self._book(kind, side, began)
            return contents

        return self.store.get(key, timed)


def _encode_all(runs: Sequence[_JobRun]) -> None:
    """Encode streams of one batch at once, into the store."""
    if not runs:
        return
    first, segments = runs[0], [run.sent_frames() for run in runs]
    began = time.perf_counter()
    points = [run.job.rate_point for run in runs]
    encodings = first.chain.codec.encode_all(segments, points, first.job.card.coding, first.kind)
    seconds = (time.perf_counter() - began) / len(runs)
    for run, encoded in zip(runs, encodings, strict=True):
        run.keep(encoded, seconds)


def _decode_all(runs: Sequence[_JobRun], store: Store) -> None:
    """Decode streams of one batch at once, in another process."""
    if not runs:
        return
    first, streams = runs[0], [run.entry.data for run in runs]
    began = time.perf_counter()
    with store.scratch() as folder:
        shared = _shares_process(first.chain.codec, math.prod(unpack_stream(streams[0])[0].shape))
        results = decode_all_fresh(streams, folder, first.job.codec, shared=shared)
    seconds = (time.perf_counter() - began) / len(runs)
    for run, decoded in zip(runs, results, strict=True):
        run.decoded = decoded
        run.times.append(StageTime("decode", "cloud", seconds))


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
