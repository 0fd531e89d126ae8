"""Accuracy without compression, for every representation of the paper's Table VI; the rows of recognition.csv."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from bench.interfaces import Analyzer, Dataset, SequenceInfo, checked, from_uint8, to_uint8
from bench.processes import in_processes
from bench.registry import create
from bench.results.tables import TableRow

RECOGNITION_FILE = "recognition.csv"
# Sequences that are classified together, and number of such parts from which starting processes saves time.
_TOGETHER, _MANY = 20, 8


class RecognitionRow(TableRow):
    """One row of recognition.csv: the answer of one classifier for one uncompressed sequence."""

    later: ClassVar[Mapping[str, int]] = {"backbone": 2}

    schema_version: Literal[1, 2] = Field(description="Version of this table; 2.")  # type: ignore[assignment]
    dataset: str = Field(description="Dataset with its non-default options.")
    sequence: str = Field(description="The sequence.")
    camera: Literal["spike", "event"] = Field(description="Kind of the simulated camera: spike or event.")
    representation: str = Field(
        pattern=r"^(etof|bei|sbne|tfp|tfi|sci)$",
        description="Extractor, or encoding of events, that the classifier was trained on.",
    )
    backbone: Literal["small", "lite0"] = Field(
        default="small",
        description="The classifier's network: small, or lite0, which begins from ImageNet's weights.",
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
        If no backbone has classifiers of all representations, or one that has them cannot run here; the message says
        why.
    """
    for dataset, backbone, on in _cells(datasets):
        checked.require(_classifier(dataset, backbone, on))


def _cells(datasets: Iterable[str]) -> list[tuple[str, str, str]]:
    """Every dataset with each backbone that has weights for some representation of it, and each representation.

    A dataset without any weights has the small backbone.
    """
    from baselines.recognition.representations import TABLE_VI

    named = get_args(RecognitionRow.model_fields["backbone"].annotation)
    cells = []
    for dataset in datasets:
        trained = [name for name in named if any(_classifier(dataset, name, on).has_weights() for on in TABLE_VI)]
        cells += [(dataset, name, on) for name in trained or named[:1] for on in TABLE_VI]
    return cells


def _classifier(dataset: str, backbone: str, on: str) -> Any:
    """The classifier with a backbone that was trained on a representation of a dataset."""
    network = "" if backbone == "small" else f",backbone={backbone}"
    return create(Analyzer, f"classifier:on={on},data={create(Dataset, dataset).name}{network}")


def recognise(datasets: Sequence[str], progress: Callable[[int, int, str], None]) -> list[RecognitionRow]:
    """Classify every sequence of the datasets in every representation, by the classifiers that were trained on it.

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
    cells = _cells(datasets)
    total = sum(len(_sequences_of(dataset)[1]) for dataset, _, _ in cells)
    rows: list[RecognitionRow] = []
    for cell in cells:
        parts = -(-len(_sequences_of(cell[0])[1]) // _TOGETHER)
        for part in in_processes(functools.partial(_rows_of_part, *cell), parts, few=_MANY):
            rows += part
            progress(len(rows), total, cell[-1])
    return rows


@functools.lru_cache(maxsize=4)
def _sequences_of(spec: str) -> tuple[Any, list[SequenceInfo]]:
    """A dataset and its sequences, listed once in a process."""
    dataset = create(Dataset, spec)
    return dataset, checked.sequences(dataset)


def _rows_of_part(spec: str, backbone: str, on: str, number: int) -> list[RecognitionRow]:
    """The rows of a part of a dataset's sequences in one representation; `number` is that of the part."""
    from baselines.recognition.representations import TABLE_VI, represent, shown_by

    dataset, infos = _sequences_of(spec)
    analyzer, representation, rows = _classifier(spec, backbone, on), shown_by(on), []
    first = number * _TOGETHER
    for index, info in enumerate(infos[first : first + _TOGETHER], first):
        # Features are rounded to 8 bits: the classifiers were trained on such, and a lossless codec delivers such.
        features = from_uint8(to_uint8(represent(representation, dataset.open(info.name), info.rate, index)))
        row = RecognitionRow(
            schema_version=2,
            dataset=dataset.spec,
            sequence=info.name,
            camera=TABLE_VI[on].camera,  # type: ignore[arg-type]
            representation=on,
            backbone=backbone,  # type: ignore[arg-type]
            weights_sha256=analyzer.weights_sha256,
            label=info.label,  # type: ignore[arg-type]  # sequences of a dataset with classes have labels
            predicted=int(checked.result(analyzer, features).argmax()),
        )
        rows.append(row)
    return rows
