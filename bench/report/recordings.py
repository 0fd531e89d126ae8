"""Agreement of results with their own spikes in reports, sequence by sequence: what recordings without a truth have."""

from __future__ import annotations

import pandas as pd

from bench.report.iqa_table import iqa_command, iqa_heading, iqa_scores
from bench.report.rows import Runs, curve_names
from bench.report.sections import TableSection
from bench.tasks.consistency import Consistency

_TASK = "consistency"


def recordings(runs: Runs) -> pd.DataFrame:
    """One line for each point of the task ``consistency``: rate, agreement with the spikes, no-reference scores."""
    table = runs.table[runs.table["status"].eq("ok") & runs.table["task"].eq(_TASK)]
    if table.empty:
        return pd.DataFrame()
    # Of a job that several runs have, one run's row is kept, and another may have the scores.
    scores = iqa_scores(runs).drop_duplicates(["job", "metric"])
    scored = scores.pivot(index="job", columns="metric", values="value")
    measures = [(f"{_TASK}: {measure.name}", measure) for measure in Consistency.measures]
    lines = []
    table = table.assign(curve=curve_names(table))
    places = ["dataset", "sequence", "segment", "curve"]
    for _, points in table.groupby(places, sort=False, observed=True):
        for row in points.sort_values("bpp").to_dict("records"):
            line = {
                "dataset": row["dataset"], "sequence": row["sequence"], "from spike": row["segment"],
                "codec": row["curve"], "rate point": row["rate_point"],
                "bpp": f"{row['bpp']:.5f}", "bits saved [%]": f"{100 * (1 - row['bpp']):.2f}",
                **{measure.title: _text(row.get(column), measure.digits) for column, measure in measures},
            }  # fmt: skip
            for metric in scored:
                value = scored.at[row["job"], metric] if row["job"] in scored.index else None
                line[iqa_heading(str(metric))] = _text(value, 2)
            command = runs.command(runs.table["job"].eq(row["job"]))
            lines.append(line | {"command": command + iqa_command(scores)})
    return pd.DataFrame(lines)


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) and not pd.isna(value) else ""


SECTIONS = (
    TableSection(
        "recordings", "Results against their own spikes",
        "For recordings of which nobody knows what they show. Rate PSNR: how well the brightness of the result over "
        "time agrees with the spikes that were recorded, their noise included. Brightness: mean brightness of the "
        "result less that of the spikes (white is 1). Scores without a reference judge one instant "
        "(docs/protocol.md).",
        24, lambda material: recordings(material.runs),
    ),
)  # fmt: skip
