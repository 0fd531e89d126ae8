"""How sure an accuracy is."""

from __future__ import annotations


def interval(correct: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy."""
    from scipy.stats import binomtest

    found = binomtest(round(correct), round(count)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
