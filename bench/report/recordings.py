"""Recordings without a truth in reports: what each point of each codec has, sequence by sequence."""

from __future__ import annotations

import pandas as pd

from bench.measure.iqa import IQA_FILE, IqaRow
from bench.metrics.iqa import METRICS
from bench.report.rows import Runs, curve_names
from bench.report.sections import TableSection

_TASK = "consistency"
_RATE_PSNR, _BRIGHTNESS = f"{_TASK}: rate_psnr", f"{_TASK}: brightness"


def recordings(runs: Runs) -> pd.DataFrame:
    """One line for each point of the task ``consistency``: rate, agreement with the spikes, no-reference scores."""
    table = runs.table[runs.table["status"].eq("ok") & runs.table["task"].eq(_TASK)]
    if table.empty:
        return pd.DataFrame()
    scores = runs.beside(IQA_FILE, IqaRow)
    scored = scores.pivot_table(index=["run", "job"], columns="metric", values="value", sort=False)
    lines = []
    table = table.assign(curve=curve_names(table))
    places = ["dataset", "sequence", "segment", "curve"]
    for _, points in table.groupby(places, sort=False, observed=True):
        for row in points.sort_values("bpp").to_dict("records"):
            line = {
                "dataset": row["dataset"], "sequence": row["sequence"], "from spike": row["segment"],
                "codec": row["curve"], "rate point": row["rate_point"],
                "bpp": f"{row['bpp']:.5f}", "bits saved [%]": f"{100 * (1 - row['bpp']):.2f}",
                runs.measures[_RATE_PSNR].title: f"{row[_RATE_PSNR]:.2f}",
                runs.measures[_BRIGHTNESS].title: f"{row[_BRIGHTNESS]:+.4f}",
            }  # fmt: skip
            key = (row["run"], row["job"])
            for metric in scored:
                value = scored.at[key, metric] if key in scored.index else float("nan")
                line[_heading(str(metric))] = "" if pd.isna(value) else f"{value:.2f}"
            command = runs.command(runs.table["job"].eq(row["job"]))
            lines.append(line | {"command": command + _scoring(scored)})
    return pd.DataFrame(lines)


def _heading(metric: str) -> str:
    return f"{metric.upper()} ({'higher' if METRICS[metric] else 'lower'} is better)"


def _scoring(scored: pd.DataFrame) -> str:
    return f" && bench iqa RUN --metrics {','.join(map(str, scored))}" if len(scored.columns) else ""


SECTIONS = (
    TableSection(
        "recordings", "Recordings without a truth",
        "Nobody knows what these recordings show. Rate PSNR: whether the result's brightness over time agrees with the "
        "spikes that were recorded. It rewards agreement with their noise, too. Brightness: what the result is "
        "brighter by, of 1. Scores without a reference judge the picture of one instant (docs/protocol.md).",
        24, lambda material: recordings(material.runs),
    ),
)  # fmt: skip
