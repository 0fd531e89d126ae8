"""The task interface. A task says with what truth a result is compared, and by which measures."""

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
    """Compares results with the truth.

    To write one, subclass it, set `name` and `default_analyzer`, and write `evaluate`. To publish it, register the
    class in the entry-point group ``bench.tasks``.

    Attributes
    ----------
    default_analyzer
        Spec of the analyzer that is used if neither the user nor the extractor names one.
    judges
        Another task, such as ``reconstruction``, whose results and analyzers this task takes; empty for its own.
    truth
        The truth that results are compared with: the ``luminance`` at the evaluated instants, the sequence's ``label``,
        the ``shift`` of its object from one coding instant to the next, or the firing ``rates`` of the recording.
    defaults
        Fields of a run, such as datasets and frames, that have other defaults for this task.
    measures
        Measures that rd.csv has no columns for. They are written to measures.csv, and reports show them.
    """

    default_analyzer: ClassVar[str]
    judges: ClassVar[str] = ""
    truth: ClassVar[Literal["luminance", "label", "shift", "rates"]] = "luminance"
    defaults: ClassVar[Mapping[str, Any]] = {}
    measures: ClassVar[Sequence[Measure]] = ()

    def analyzer_for(self, extractor: Extractor, dataset: Dataset | None = None) -> str:
        """Spec of the default analyzer: the extractor's for this task, else `default_analyzer`."""
        return extractor.analyzers.get(self.judges or self.name, self.default_analyzer)

    def takes(self, analyzer: Analyzer) -> bool:
        """Whether the task can judge an analyzer's results."""
        return analyzer.task == (self.judges or self.name)

    def check_analyzer(self, analyzer: Analyzer) -> None:
        """Refuse an analyzer whose results the task cannot judge.

        Raises
        ------
        BenchError
            If its results are for another task.
        """
        if not self.takes(analyzer):
            raise BenchError(
                f"{analyzer.spec} is for the task {analyzer.task}, not {self.name}: choose another analyzer"
            )

    @abstractmethod
    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Compute measures by name: columns of rd.csv, or the task's own `measures`.

        Parameters
        ----------
        result
            The analyzer's result. For luminance, only the frames at the evaluated instants, K x H x W float32.
        truth
            Luminance at the evaluated instants, K x H x W float32 in [0, 1]; or the label, an integer array without
            dimensions; or the shift in pixels, 2 float64, x then y; or the rates between successive instants, in units
            of luminance, K - 1 x H x W float64 (`bench.metrics.spikes.firing_rates`).
        """
