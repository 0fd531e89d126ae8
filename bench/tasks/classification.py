"""Classification: the result is the class of the object that moves in the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bench.errors import BenchError
from bench.interfaces import Dataset, Extractor, Task


class Classification(Task):
    """Whether the most probable class is the true one (paper section V-D).

    A result is the probabilities of C classes as a frame of 1 x 1 x C float32, so that ATC can code it with any codec.
    """

    name = "classification"
    default_analyzer = "classifier"
    truth = "label"
    # Six coding instants take T = 81 spike frames. Two cores code 160 samples in three minutes; `--limit 0` takes all.
    defaults: ClassVar[Mapping[str, Any]] = {"datasets": ("s-digits",), "frames": 6, "limit": 160}

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """Spec of the classifier that was trained on the features of this extractor, for the dataset's classes."""
        made = extractor.analyzers.get(self.name, f"{self.default_analyzer}:on={extractor.name}")
        return f"{made},data={dataset.name}" if dataset else made

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Judge one result.

        Returns
        -------
        dict
            ``accuracy``, 1 or 0; and ``label``, ``predicted`` and ``probabilities``, the columns of classification.csv.

        Raises
        ------
        BenchError
            If the result has too few classes for the label.
        """
        found, label = result.reshape(-1), int(truth)
        if label >= len(found):
            raise BenchError(f"the result has {len(found)} classes, and the label is {label}")
        predicted = int(found.argmax())
        return {
            "accuracy": float(predicted == label),
            "label": label,
            "predicted": predicted,
            "probabilities": " ".join(f"{value:.4g}" for value in found),
        }
