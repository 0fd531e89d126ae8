"""The paper's Table V: measured and published no-reference scores of the codecs, at matched rates.

The matched rate of a sequence is the geometric mean of the ends of the range of bits per spike that all compared
curves cover. A curve's score at that rate is interpolated between its two neighbouring points, linearly over the
logarithm of the rate. A sequence that one of the curves lacks is left out, so all codecs are scored on the same scenes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.measure.iqa import IQA_FILE, IqaRow
from bench.metrics.iqa import METRICS
from bench.published import stated
from bench.report.rows import Runs, curve_names

# The column of the paper's Table V that each codec is compared with.
_PUBLISHED = {"vtm": "VTM", "vvenc": "VTM", "dcvc": "DCVC", "dcvc-dc": "DCVC-DC", "sci": "ours"}
_BETTER = {True: "higher", False: "lower"}


def table_v(runs: Runs) -> pd.DataFrame:
    """One line per dataset, metric and curve under CAAS; empty where no run has an iqa.csv.

    A metric without any score on a dataset has one line, with the reason.
    """
    scores = runs.beside(IQA_FILE, IqaRow)
    if scores.empty:
        return pd.DataFrame()
    rows = runs.table[(runs.table["status"] == "ok") & (runs.table["paradigm"] == "caas")]
    rows = (
        rows.assign(curve=curve_names(rows))
        .drop(columns="reason")
        .merge(scores[["job", "metric", "value", "reason", "implementation"]], on="job")
    )
    paper = stated("V")
    lines = []
    for (dataset, metric), part in rows.groupby(["dataset", "metric"], sort=False):
        scores_by_curve, rate, count = _matched(part)
        # The matched rate depends on all curves, so every line needs the rows of all of them.
        command = runs.command(runs.table["job"].isin(part["job"]))
        command += f" && bench iqa RUN --metrics {metric} && bench report RUN RUN"
        if part["value"].isna().all():
            lines.append(
                {
                    "dataset": dataset, "metric": iqa_heading(str(metric)), "codec": "all",
                    "measured": f"({part['reason'].iloc[0]})", "at bpp": "", "sequences": 0, "published": "",
                    "implementation": "", "command": command,
                }
            )  # fmt: skip
            continue
        for curve, group in part.groupby("curve", sort=False):
            reasons = [text for text in group["reason"].unique() if text]
            score = scores_by_curve.get(str(curve))
            value = f"{score:.2f}" if score is not None else f"({reasons[0] if reasons else 'no common rate'})"
            lines.append(
                {
                    "dataset": dataset, "metric": iqa_heading(str(metric)),
                    "codec": curve, "measured": value, "at bpp": f"{rate:.5f}" if score is not None else "",
                    "sequences": _of_all(count, part["sequence"].nunique()) if score is not None else 0,
                    "published": paper.get((str(metric).upper(), _PUBLISHED.get(group["codec"].iloc[0], "")), ""),
                    "implementation": next((text for text in group["implementation"].unique() if text), ""),
                    "command": command,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def iqa_heading(metric: str) -> str:
    """A metric's name for a table, and which of its scores are better."""
    return f"{metric.upper()} ({_BETTER[METRICS[metric]]} is better)"


def iqa_scores(runs: Runs) -> pd.DataFrame:
    """The rows of iqa.csv that have a score."""
    scores = runs.beside(IQA_FILE, IqaRow)
    return scores[scores["value"].notna()]


def iqa_command(scores: pd.DataFrame) -> str:
    """The command that computes these scores again, to be appended to that of the run; empty without scores."""
    return f" && bench iqa RUN --metrics {','.join(scores['metric'].unique())}" if len(scores) else ""


def _matched(part: pd.DataFrame) -> tuple[dict[str, float], float, int]:
    """Mean score of each curve at the matched rates, mean of these rates (bits per spike), and number of sequences."""
    part = part[part["value"].notna()].sort_values("bpp")
    curves = list(dict.fromkeys(part["curve"]))
    scores: dict[str, dict[str, list[float]]] = {curve: {} for curve in curves}
    rates: dict[str, list[float]] = {}
    for (sequence, _), rows in part.groupby(["sequence", "segment"], sort=False):
        groups = dict(iter(rows.groupby("curve", sort=False)))
        if len(groups) < len(curves):
            continue
        low = max(group["bpp"].min() for group in groups.values())
        high = min(group["bpp"].max() for group in groups.values())
        if low > high:
            continue
        rate = float(np.sqrt(low * high))
        rates.setdefault(str(sequence), []).append(rate)
        for curve, group in groups.items():
            score = float(np.interp(np.log(rate), np.log(group["bpp"]), group["value"]))
            scores[str(curve)].setdefault(str(sequence), []).append(score)
    if not rates:
        return {}, 0.0, 0
    return {curve: _mean(values) for curve, values in scores.items()}, _mean(rates), len(rates)


def _of_all(count: int, whole: int) -> int | str:
    """A number of sequences; where it is not that of all, both numbers as text."""
    return count if count == whole else f"{count} of {whole}"


def _mean(values: Mapping[str, list[float]]) -> float:
    """Mean over sequences of the means over their segments."""
    return float(np.mean([np.mean(segments) for segments in values.values()]))
