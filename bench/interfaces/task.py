"""The task interface: what a result is compared with, and by which measures."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from bench.interfaces.component import Component


class Task(Component):
    """Judges a result against the truth; entry points, group ``bench.tasks``."""

    default_analyzer: ClassVar[str]

    @abstractmethod
    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Measures by column name, averaged over the evaluated instants."""
