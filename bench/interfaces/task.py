"""The task interface: what a result is compared with, and by which measures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from bench.interfaces.component import Component
from bench.interfaces.dataset import Dataset
from bench.interfaces.extractor import Extractor


class Task(Component):
    """Judges a result against the truth; entry points, group ``bench.tasks``.

    Attributes
    ----------
    truth
        What it is judged by: the ``luminance`` at the evaluated instants, or the sequence's ``label``.
    defaults
        Fields of a run that fit this task better than the general defaults: its datasets and condition.
    """

    default_analyzer: ClassVar[str]
    truth: ClassVar[Literal["luminance", "label"]] = "luminance"
    defaults: ClassVar[Mapping[str, Any]] = {}

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """The analyzer where none is stated: the one made for the extractor's features, or the task's own."""
        return extractor.analyzers.get(self.name, self.default_analyzer)

    @abstractmethod
    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Measures by column name.

        Parameters
        ----------
        result
            Of luminance: frames at the evaluated instants. Of a label: the whole result.
        truth
            Luminance at the evaluated instants, or the label as an integer array of no dimension.
        """
