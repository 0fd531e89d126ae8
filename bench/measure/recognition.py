"""Accuracy without compression, for every representation of the paper's Table VI; the rows of recognition.csv."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from bench.errors import BenchError
from bench.interfaces import Analyzer, Dataset, SequenceInfo, checked, from_uint8, to_uint8
from bench.processes import in_processes
from bench.registry import create
from bench.results.tables import TableRow

RECOGNITION_FILE = "recognition.csv"
# Sequences that are classified together, and number of such parts from which starting processes saves time.
_TOGETHER, _MANY = 20, 8


class RecognitionRow(TableRow):
    """One row of recognition.csv: the answer of one classifier for one uncompressed sequence."""

    dataset: str = Field(description="Dataset with its non-default options.")
    sequence: str = Field(description="The sequence.")
    camera: Literal["spike", "event"] = Field(description="Kind of the simulated camera: spike or event.")
    representation: str = Field(
        pattern=r"^(etof|bei|sbne|tfp|tfi|sci)$",
        description="Extractor, or encoding of events, that the classifier was trained on.",
    )
    weights_sha256: str = Field(description="SHA-256 of the classifier's weights.")
    label: int = Field(ge=0, description="Index of the true class.")
    predicted: int = Field(ge=0, description="Index of the most probable class.")


def check_classifiers(datasets: Iterable[str]) -> None:
    """Refuse datasets for which a classifier lacks its weights, before hours are spent on rows.

    Parameters
    ----------
    datasets
        Specs of datasets.

    Raises
    ------
    BenchError
        If a classifier is not available; the message says why.
    """
    from baselines.recognition.representations import TABLE_VI

    for spec, on in itertools.product(datasets, TABLE_VI):
        state = checked.availability(_classifier(create(Dataset, spec), on))
        if not state.ok:
            raise BenchError(state.reason)


def _classifier(dataset: Dataset, on: str) -> Analyzer:
    """The classifier that was trained on a representation of a dataset."""
    return create(Analyzer, f"classifier:on={on},data={dataset.name}")


def recognise(datasets: Sequence[str], progress: Callable[[int, int, str], None]) -> list[RecognitionRow]:
    """Classify every sequence of the datasets in every representation, by the classifier that was trained on it.

    Parameters
    ----------
    datasets
        Specs of datasets.
    progress
        Called with the number of finished classifications, the number of all and the representation.

    Raises
    ------
    BenchError
        If a dataset is not on this machine or has no classes, or a classifier has no weights for it.
    """
    from baselines.recognition.representations import TABLE_VI

    counts = {spec: len(_sequences_of(spec)[1]) for spec in datasets}
    total = sum(counts.values()) * len(TABLE_VI)
    rows: list[RecognitionRow] = []
    for spec, count in counts.items():
        for on in TABLE_VI:
            for part in in_processes(functools.partial(_rows_of_part, spec, on), -(-count // _TOGETHER), few=_MANY):
                rows += part
                progress(len(rows), total, on)
    return rows


@functools.lru_cache(maxsize=4)
def _sequences_of(spec: str) -> tuple[Any, list[SequenceInfo]]:
    """A dataset and its sequences, listed once in a process."""
    dataset = create(Dataset, spec)
    return dataset, checked.sequences(dataset)


def _rows_of_part(spec: str, on: str, number: int) -> list[RecognitionRow]:
    """The rows of a part of a dataset's sequences in one representation; `number` is that of the part."""
    from baselines.recognition.representations import TABLE_VI, represent, shown_by

    dataset, infos = _sequences_of(spec)
    analyzer, shown, rows = _classifier(dataset, on), shown_by(on), []
    first = number * _TOGETHER
    for index, info in enumerate(infos[first : first + _TOGETHER], first):
        # Features are rounded to 8 bits: the classifiers were trained on such, and a lossless codec delivers such.
        features = from_uint8(to_uint8(represent(shown, dataset.open(info.name), info.rate, index)))
        row = RecognitionRow(
            schema_version=1,
            dataset=dataset.spec,
            sequence=info.name,
            camera=TABLE_VI[on].camera,  # type: ignore[arg-type]
            representation=on,
            weights_sha256=analyzer.weights_sha256,
            label=info.label,  # type: ignore[arg-type]  # sequences of a dataset with classes have labels
            predicted=int(checked.result(analyzer, features).argmax()),
        )
        rows.append(row)
    return rows
