"""Confidence interval of an accuracy."""

from __future__ import annotations


def interval(correct: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy, as lower and upper bound in [0, 1].

    Parameters
    ----------
    correct, count
        Number of correct answers, and of all answers; both are rounded to whole numbers.
    """
    from scipy.stats import binomtest

    bounds = binomtest(round(correct), round(count)).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
