"""Runs one job: walks the paradigm's stages, takes from the store what is there, and books seconds to sides."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
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
from bench.metrics.spikes import evaluate_spikes
from bench.pictures import grey_levels, png
from bench.results.rows import MEASURES, SCHEMA, ClassRow, MeasureRow, RDRow
from bench.runner.decode import decode_fresh
from bench.runner.plan import Job, component_for
from bench.runner.store import Entry, Made, Store, array_bytes
from bench.sampling import Sampling
from bench.spikes import PackedSpikes


@dataclass(frozen=True)
class StageTime:
    """Seconds that one stage took when it ran; a stage taken from the store has none."""

    kind: str
    side: str
    seconds: float


@dataclass
class Outcome:
    """A finished job: its rows, its stream, its result at the middle instant as a PNG, and what its stages took."""

    row: RDRow
    classes: ClassRow | None = None
    measures: tuple[MeasureRow, ...] = ()
    stream: bytes = b""
    picture: bytes = b""
    times: list[StageTime] = field(default_factory=list)


@dataclass(frozen=True)
class _Value:
    """What flows between stages: an identity that keys what follows, and the array when it is asked for."""

    identity: str
    load: Callable[[], np.ndarray]


def run_job(job: Job, store: Store) -> Outcome:
    """Run a job, or take it from the store.

    Raises
    ------
    MissError
        If something would have to be made and the store may not.
    BenchError
        If a stage fails.
    """
    if job.skip:
        return Outcome(_row(job, status="skipped", reason=job.skip))
    return _JobRun(job, store).outcome()


def failed(job: Job, reason: str) -> Outcome:
    """The outcome of a job that raised."""
    return Outcome(_row(job, status="failed", reason=" ".join(reason.split())))


def sent_frames(job: Job, store: Store) -> np.ndarray:
    """The K x H x W float32 frames that a job's encoder gets."""
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
        """Camera side to the stream; then one stored evaluation of everything behind the link."""
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
        """The segment's spikes: from the store where they cost much to make, else straight from the file."""
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

    def _data_key(self, what: str, extent: list[int]) -> str:
        return digest([what, sequence_fingerprint(self.dataset, self.job.info.name), extent])

    def _frames(self, spikes: _Value) -> _Value:
        """What the encoder gets."""
        value: _Value = self.chain.before_link(spikes, self.instants, self.rate, self._kept)
        return value

    def sent_frames(self) -> np.ndarray:
        """What the encoder gets."""
        return self._frames(self._spikes()).load().astype(np.float32, copy=False)

    def _kept(self, stage: Stage, source: _Value, run: Callable[[np.ndarray], np.ndarray]) -> _Value:
        """An extraction or analysis on the camera, stored, since all codecs and rate points share it."""
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
        """Encode, once for the same frames: ATC's result and CAAS's feature may be the same picture."""
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
        # The container says what its frames are, and what stands around the codec.
        stated = self.chain.stated(Sampling(job.card.stride, job.card.margin), job.start, job.info.rate)
        stream = pack_stream(replace(info, content=content, chain=stated), payload)
        return Entry(hashlib.sha256(stream).hexdigest(), entry.facts, stream)

    # Behind the link

    def _cloud(self, entry: Entry, spikes: _Value, truth_key: str) -> Made:
        """Decode in a fresh process, run what is left of the stages, and measure."""
        measures: dict[str, Any] = {}
        began = time.perf_counter()
        with self.store.scratch() as folder:
            decoded, measures["decoded_sha256"] = decode_fresh(entry.data, folder, self.job.codec)
        self._book("decode", "cloud", began)
        began = time.perf_counter()
        result = self.chain.after_link(decoded, self.instants, self.rate)
        self._book("analyze", "cloud", began)
        began = time.perf_counter()
        if self.chain.content.is_spikes:
            measures.update(evaluate_spikes(to_spikes(decoded.frames), spikes.load()))
        if self.chain.task.truth == "label":
            measures |= checked.measures(self.chain.task, result, np.array(self.job.info.label), MEASURES)
        elif self.job.evaluated:
            judged = result[list(self.job.evaluated)], self._truth(truth_key)
            measures |= checked.measures(self.chain.task, *judged, MEASURES)
        if self.chain.task.truth != "label" and result.ndim == 3:
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
    """The instant that pictures of a job show: the middle one of those that are evaluated, or of all where none is."""
    instants = evaluated or range(num_frames)
    return instants[len(instants) // 2]


@functools.lru_cache(maxsize=4096)
def sequence_fingerprint(dataset: Dataset, sequence: str) -> str:
    """A sequence's fingerprint, asked for once per process: it may mean hashing a long file."""
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
