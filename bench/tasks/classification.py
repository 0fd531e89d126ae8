"""Classification: the result is the class of what moves through the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bench.errors import BenchError
from bench.interfaces import Dataset, Extractor, Task


class Classification(Task):
    """Whether the most probable class is the true one (paper section V-D).

    A result is 1 x 1 x C float32 probabilities, a frame like any other: ATC codes it with the codec at hand.
    """

    name = "classification"
    default_analyzer = "classifier"
    truth = "label"
    # T = 81 spike frames a sample. 160 samples are what two cores code in three minutes; `--limit 0` takes all.
    defaults: ClassVar[Mapping[str, Any]] = {"datasets": ("s-digits",), "frames": 6, "limit": 160}

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """The classifier that was trained on the dataset's classes as this extractor shows them."""
        made = extractor.analyzers.get(self.name, f"{self.default_analyzer}:on={extractor.name}")
        return f"{made},data={dataset.name}" if dataset else made

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """``accuracy`` (1 or 0), and ``label``, ``predicted`` and ``probabilities`` for classification.csv."""
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
