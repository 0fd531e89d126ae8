"""Motion: the result is the displacement of the object that moves in a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bench.interfaces import Measure, Task
from bench.metrics.shift import evaluate_shift


class Motion(Task):
    """Direction and speed of a sequence's object, against those that the generator gave it.

    A result is the displacement from one coding instant to the next as one frame, 1 x 1 x 2 float32
    (`bench.metrics.shift.to_result`), so that ATC can code it with any codec.
    """

    name = "motion"
    default_analyzer = "shift"
    truth = "shift"
    defaults: ClassVar[Mapping[str, Any]] = {"datasets": ("s-digits",), "frames": 6, "limit": 160}
    measures: ClassVar[Sequence[Measure]] = (
        Measure(name="shift_error", heading="shift error", unit="px", digits=3),
        Measure(name="angle_error", heading="angle error", unit="degrees", digits=2),
        Measure(name="shift_snr", heading="shift SNR", unit="dB", digits=2, quality=True),
    )

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Compute the measures; `bench.metrics.shift.evaluate_shift` describes them."""
        return dict(evaluate_shift(result, truth))
