"""Classification: the result is the probabilities of the classes of the object that moves in a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bench.errors import BenchError
from bench.interfaces import Dataset, Extractor, Task


class Classification(Task):
    """Accuracy of the most probable class (paper section V-D).

    A result is the probabilities of C classes as one frame, 1 x 1 x C float32, so that ATC can code it with any codec.
    """

    name = "classification"
    default_analyzer = "classifier"
    truth = "label"
    # Six coding instants take T = 81 spike frames. Two cores code 160 sequences in three minutes; `--limit 0` is all.
    defaults: ClassVar[Mapping[str, Any]] = {"datasets": ("s-digits",), "frames": 6, "limit": 160}

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """Spec of the classifier that was trained on the extractor's features of the dataset."""
        spec = extractor.analyzers.get(self.name, f"{self.default_analyzer}:on={extractor.name}")
        return f"{spec},data={dataset.name}" if dataset else spec

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Compare the most probable class with the label.

        Parameters
        ----------
        result
            1 x 1 x C float32 probabilities.
        truth
            The label, an integer array without dimensions.

        Returns
        -------
        dict
            ``accuracy``: 1.0 if the classes agree, else 0.0. ``label`` and ``predicted``: indices of the true and the
            most probable class. ``probabilities``: all probabilities as text, for classification.csv.

        Raises
        ------
        BenchError
            If the label is negative, or C or more.
        """
        probabilities, label = result.reshape(-1), int(truth)
        if not 0 <= label < len(probabilities):
            raise BenchError(f"the result has {len(probabilities)} classes, and the label is {label}")
        predicted = int(probabilities.argmax())
        return {
            "accuracy": float(predicted == label),
            "label": label,
            "predicted": predicted,
            "probabilities": " ".join(f"{value:.4g}" for value in probabilities),
        }
