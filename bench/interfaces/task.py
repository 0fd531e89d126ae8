"""The task interface: what a result is compared with, and by which measures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from bench.errors import BenchError
from bench.interfaces.analyzer import Analyzer
from bench.interfaces.component import Component
from bench.interfaces.dataset import Dataset
from bench.interfaces.extractor import Extractor
from bench.interfaces.measure import Measure


class Task(Component):
    """Judges a result against the truth; entry points, group ``bench.tasks``.

    Attributes
    ----------
    truth
        What it is judged by: the ``luminance`` at the evaluated instants, or the sequence's ``label``.
    defaults
        Fields of a run that fit this task better than the general defaults: its datasets and condition.
    judges
        The task whose results it judges in its own way, such as ``reconstruction``: that task's analyzers serve it.
    measures
        Those of its own, which rd.csv has no columns for: they go to measures.csv, and reports show them.
    """

    default_analyzer: ClassVar[str]
    judges: ClassVar[str] = ""
    truth: ClassVar[Literal["luminance", "label"]] = "luminance"
    defaults: ClassVar[Mapping[str, Any]] = {}
    measures: ClassVar[Sequence[Measure]] = ()

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """The analyzer where none is stated: the one made for the extractor's features, or the task's own."""
        return extractor.analyzers.get(self.judges or self.name, self.default_analyzer)

    def takes(self, analyzer: Analyzer) -> bool:
        """Whether an analyzer's results are what it judges."""
        return analyzer.task == (self.judges or self.name)

    def check_analyzer(self, analyzer: Analyzer) -> None:
        """Refuse an analyzer whose results are for another task.

        Raises
        ------
        BenchError
            If they are.
        """
        if not self.takes(analyzer):
            raise BenchError(
                f"{analyzer.spec} is for the task {analyzer.task}, not {self.name}: choose another analyzer"
            )

    @abstractmethod
    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Measures by name: columns of rd.csv, or its own `measures`.

        Parameters
        ----------
        result
            Of luminance: frames at the evaluated instants. Of a label: the whole result.
        truth
            Luminance at the evaluated instants, or the label as an integer array of no dimension.
        """
