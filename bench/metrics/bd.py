"""Bjontegaard figures (BD-rate, BD-PSNR) as verdicts: a value, or the reason why there is none.

The `bjontegaard` package interpolates; this module sorts and checks the points, refuses curves that cannot be compared,
and keeps the interpolations of a curve for its further comparisons. Figures are never extrapolated: they are computed
over the range that both curves cover, of qualities for BD-rate and of log-rates for BD-PSNR, and state how large that
overlap is.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Method = Literal["pchip", "akima", "cubic"]
METHODS: tuple[Method, ...] = ("pchip", "akima", "cubic")
# Fewer points on a curve, or a smaller overlap of the two curves, give no figure.
MIN_POINTS = 4
MIN_OVERLAP = 0.5
# A mean over a smaller share of the sequences ranks no codec: it is of those on which two codecs are alike enough.
MIN_SHARE = 0.9
# No codec needs fewer bits than none.
LEAST_RATE = -100.0


@dataclass(frozen=True)
class Curve:
    """Rate-quality points of one codec under one condition card.

    Attributes
    ----------
    rates
        Positive rates in any unit (bpp here), in any order.
    qualities
        One for each rate. Higher is better, unless `lower_is_better` is given to the functions that compare.
    condition
        Hash of the condition card. Curves with different hashes are not compared.
    instants
        The instants that the qualities were measured at, as the column ``evaluated`` of rd.csv states them. Curves of
        different instants are not compared.
    """

    rates: tuple[float, ...]
    qualities: tuple[float, ...]
    condition: str = ""
    instants: str = ""

    @functools.cached_property
    def rising(self) -> _Rising | str:
        """The sorted points, or the reason why the curve cannot be compared; computed once for all comparisons."""
        return _prepare(self)


class _Function:
    """A function given by points: `values` at rising `places`. The interpolation of each method is computed once."""

    def __init__(self, places: np.ndarray, values: np.ndarray) -> None:
        self.places = places
        self.values = values
        self._interpolations: dict[Method, Any] = {}

    def integral(self, method: Method, low: float, high: float) -> Any:
        """Integral from `low` to `high`, which must lie within the range of the places."""
        if method not in self._interpolations:
            self._interpolations[method] = _interpolation(self.places, self.values, method)
        return self._interpolations[method].integrate(low, high)


@dataclass(frozen=True)
class _Rising:
    """A curve that can be compared: log-rate as function of quality for BD-rate, and the inverse for BD-quality."""

    rate: _Function
    quality: _Function

    def function(self, kind: str) -> _Function:
        return self.rate if kind == "rate" else self.quality


@dataclass(frozen=True)
class Verdict:
    """A Bjontegaard figure, or the reason for its absence.

    Attributes
    ----------
    value
        Percent for BD-rate, the metric's unit for BD-quality; None where refused.
    reason
        Why there is no value; of a mean, why the first of the sequences without a value has none. Else empty.
    overlap
        Length of the range that both curves cover, as a share of the range from the lowest to the highest point of the
        two, in [0, 1]; None where it was not computed. For a mean over sequences, the smallest of their overlaps.
    interval
        95 % interval of a mean over sequences (`mean_interval`); None for a single sequence.
    count
        Number of sequences with a value, and of all sequences.
    others
        The same figure with the other interpolation methods (`METHODS`), None where one gives no finite value.
    remark
        A warning about the value, such as an interpolation that overshoots the points; empty if there is none.
    """

    value: float | None
    reason: str = ""
    overlap: float | None = None
    interval: tuple[float, float] | None = None
    count: tuple[int, int] = (1, 1)
    others: Mapping[str, float | None] = field(default_factory=dict)
    remark: str = ""

    @property
    def ranked(self) -> bool:
        """Whether codecs may be ranked by the value: it is over nearly all of the sequences (`MIN_SHARE`)."""
        return self.value is not None and self.count[0] >= MIN_SHARE * self.count[1]

    def text(self, digits: int = 2) -> str:
        """The value with its sign (and the count, where sequences lack a value), or the reason in brackets."""
        if self.value is None:
            return f"({self.reason})"
        part = "" if self.count[0] == self.count[1] else f" [{self.count[0]} of {self.count[1]}]"
        return f"{self.value:+.{digits}f}{part}"


def bd_rate(anchor: Curve, test: Curve, *, lower_is_better: bool = False, others: bool = True) -> Verdict:
    """BD-rate of `test` against `anchor` in percent; negative means that `test` needs fewer bits.

    Parameters
    ----------
    lower_is_better
        Whether the qualities are errors, which fall as the rate rises.
    others
        Whether to compute the figure with the other interpolation methods, too.

    Examples
    --------
    >>> anchor = Curve((1.0, 2.0, 4.0, 8.0), (30.0, 33.0, 36.0, 39.0))
    >>> half = Curve((0.5, 1.0, 2.0, 4.0), (30.0, 33.0, 36.0, 39.0))
    >>> round(bd_rate(anchor, half).value, 6)
    -50.0
    """
    return _figure(anchor, test, "rate", lower_is_better, METHODS if others else METHODS[:1])


def bd_quality(anchor: Curve, test: Curve, *, lower_is_better: bool = False, others: bool = True) -> Verdict:
    """BD-quality (for PSNR, BD-PSNR) of `test` against `anchor`, in the metric's own unit and sign; see `bd_rate`."""
    return _figure(anchor, test, "quality", lower_is_better, METHODS if others else METHODS[:1])


def mean_verdict(verdicts: Mapping[str, Verdict], least: float = -math.inf) -> Verdict:
    """Mean of the figures of single sequences, with its interval (`mean_interval`).

    Sequences without a value are left out of the mean; `count` gives their number. `reason` and `remark` are those of
    the first sequence that has one, after its name.

    Parameters
    ----------
    verdicts
        One verdict for each sequence, by its name.
    least
        The least value that there can be; the interval begins there at the lowest.
    """
    values = [verdict.value for verdict in verdicts.values() if verdict.value is not None]
    missing = [f"{name}: {v.reason}" for name, v in verdicts.items() if v.value is None]
    count = (len(values), len(verdicts))
    if not values:
        return Verdict(None, missing[0] if missing else "no sequences", count=count)
    overlaps = [v.overlap for v in verdicts.values() if v.value is not None and v.overlap is not None]
    others: dict[str, float | None] = {name: _mean_other(verdicts, name) for name in METHODS[1:]}
    remarks = [f"{name}: {v.remark}" for name, v in verdicts.items() if v.remark]
    return Verdict(
        float(np.mean(values)),
        missing[0] if missing else "",
        min(overlaps, default=None),
        None if (interval := mean_interval(values)) is None else (max(interval[0], least), interval[1]),
        count,
        others,
        remarks[0] + (f" (and {len(remarks) - 1} more)" if len(remarks) > 1 else "") if remarks else "",
    )


def _mean_other(verdicts: Mapping[str, Verdict], name: str) -> float | None:
    """Mean of a figure with another interpolation method; None unless all sequences with a value have it."""
    values = [v.others.get(name) for v in verdicts.values() if v.value is not None]
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers and len(numbers) == len(values) else None


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of independent values; None for a single value.

    With few sequences, intervals of resampled means are too narrow: a 95 % interval of the bootstrap of three normally
    distributed values holds the mean in 75 % of all cases.
    """
    from scipy.special import stdtrit  # the quantiles of scipy.stats.t, which takes long to import

    count = len(values)
    if count < 2:
        return None
    mean = float(np.mean(values))
    half = float(stdtrit(count - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(count))
    return mean - half, mean + half


def _figure(anchor: Curve, test: Curve, kind: str, lower_is_better: bool, methods: Sequence[Method]) -> Verdict:
    """The BD figure of a kind, ``rate`` or ``quality``, with `methods`, of which the first is pchip."""
    if anchor.condition != test.condition:
        return Verdict(None, f"different condition cards ({anchor.condition or '-'} and {test.condition or '-'})")
    if anchor.instants != test.instants:
        return Verdict(None, f"qualities of different instants ({anchor.instants or '-'} and {test.instants or '-'})")
    points = []
    for label, curve in (("anchor", anchor), ("test", test)):
        prepared = (_negated(curve) if lower_is_better else curve).rising
        if isinstance(prepared, str):
            return Verdict(None, f"{label}: {prepared}")
        points.append(prepared.function(kind))
    first, second = points
    overlap = _overlap(first.places, second.places)
    if overlap < MIN_OVERLAP:
        return Verdict(None, f"{'quality' if kind == 'rate' else 'rate'} ranges overlap {overlap:.0%}", overlap)
    sign = -1.0 if kind == "quality" and lower_is_better else 1.0
    values: dict[str, float | None] = {method: _difference(first, second, kind, method, sign) for method in methods}
    digits, unit = (0, " %") if kind == "rate" else (2, "")
    edges = [sign * edge for edge in _edges(first, second, kind)]
    remark = "; ".join(
        f"{method} gives {figure:+.{digits}f}{unit}, out of all bounds: points of the two curves are "
        f"{min(edges):+.{digits}f}{unit} to {max(edges):+.{digits}f}{unit} apart"
        for method, figure in values.items()
        if figure is not None and not min(edges) <= figure <= max(edges)
    )
    value = values.pop("pchip")
    if value is None:
        return Verdict(None, "pchip interpolation gives no finite value", overlap)
    return Verdict(value, "", overlap, others=values, remark=remark)


def _edges(anchor: _Function, test: _Function, kind: str) -> tuple[float, float]:
    """The least and the greatest difference between points of the curves: an interpolation beyond them overshoots."""
    least, most = test.values.min() - anchor.values.max(), test.values.max() - anchor.values.min()
    return _in_units(least, kind), _in_units(most, kind)


def _in_units(mean: np.floating, kind: str) -> float:
    """A mean difference of log-rates in percent; a mean difference of qualities stays in their unit."""
    with np.errstate(all="ignore"):
        return float((10**mean - 1) * 100 if kind == "rate" else mean)


def _negated(curve: Curve) -> Curve:
    """The curve with negated qualities: errors that fall with the rate become qualities that rise with it."""
    return Curve(curve.rates, tuple(-value for value in curve.qualities), curve.condition, curve.instants)


def _prepare(curve: Curve) -> _Rising | str:
    """Sort the points by rate and check them; returns the sorted curve, or the reason why it cannot be compared."""
    rates, qualities = (np.asarray(v, np.float64) for v in (curve.rates, curve.qualities))
    if len(rates) != len(qualities):
        return f"{len(rates)} rates but {len(qualities)} qualities"
    if len(rates) < MIN_POINTS:
        return f"{len(rates)} points of {MIN_POINTS}"
    if np.isnan(qualities).all():
        return "no quality was measured"
    if not (np.isfinite(rates).all() and np.isfinite(qualities).all()):
        return "a rate or quality is not finite"
    if rates.min() <= 0:
        return "a rate is not positive"
    order = np.argsort(rates, kind="stable")
    rates, qualities = rates[order], qualities[order]
    if not (np.diff(rates) > 0).all():
        return "two points have the same rate"
    if (np.diff(qualities) < 0).any():
        return "quality falls as rate rises"
    if (np.diff(qualities) == 0).any():
        return "two points have the same quality"
    log_rates = np.log10(rates)
    return _Rising(_Function(qualities, log_rates), _Function(log_rates, qualities))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Length of the common range of two rising arrays, as a share of the range of both together."""
    common = min(first[-1], second[-1]) - max(first[0], second[0])
    whole = max(first[-1], second[-1]) - min(first[0], second[0])
    return max(float(common), 0.0) / float(whole)


def _difference(anchor: _Function, test: _Function, kind: str, method: Method, sign: float) -> float | None:
    """The figure that `bjontegaard.bd_rate` or `bd_psnr` computes, from integrals of the curves' interpolations."""
    low, high = max(anchor.places[0], test.places[0]), min(anchor.places[-1], test.places[-1])
    with np.errstate(all="ignore"):
        mean = (test.integral(method, low, high) - anchor.integral(method, low, high)) / (high - low)
        value = sign * _in_units(mean, kind)
    return value if math.isfinite(value) else None


def _interpolation(places: np.ndarray, values: np.ndarray, method: Method) -> Any:
    from bjontegaard.interpolation import interpolate

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return interpolate(places, values, method)
