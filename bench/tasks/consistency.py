"""Consistency: whether a result agrees with the spikes that were recorded, for recordings without a truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from bench.interfaces import Measure, Task
from bench.metrics.spikes import evaluate_rates


class Consistency(Task):
    """Luminance against the firing rates of its own recording.

    A result that agrees is not yet a good one: noise that a codec keeps agrees with the noise of the recording. One
    that does not agree has lost something, or its brightness is wrong.
    """

    name = "consistency"
    default_analyzer = "identity"
    judges = "reconstruction"
    truth = "rates"
    measures: ClassVar[Sequence[Measure]] = (
        Measure(name="rate_psnr", heading="rate PSNR", unit="dB", digits=2, quality=True),
        Measure(name="brightness", heading="brightness", digits=4),
    )

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Compute the measures; `bench.metrics.spikes.evaluate_rates` describes them."""
        return dict(evaluate_rates(result, truth))
