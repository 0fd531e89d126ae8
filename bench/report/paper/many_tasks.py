"""Several tasks in reports: the bits of one stream that serves all of them, and of a stream for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.interfaces import Measure, Task
from bench.measure.networks import NETWORKS_FILE, NetworkRow
from bench.names import file_name, shortened
from bench.registry import create
from bench.report.paper.tables import counting
from bench.report.plots import LEGEND_WIDTH, add_legend, bits_axis, curve_styles, figure_title, literal
from bench.report.rows import Runs
from bench.report.sections import Material, PlotSection, TableSection
from bench.report.style import panels, save

_PICTURES = "reconstruction"
# What the rows of two tasks have alike if one stream serves both.
_KEYS = ["sequence", "segment", "paradigm", "extractor", "rate_point"]
_SENT = ["bits", "decoded_sha256"]
_ACCURACY = Measure(name="accuracy", heading="accuracy", unit="%", digits=1)


def many_tasks(runs: Runs) -> pd.DataFrame:
    """Reconstruction and other tasks together: the bits of one stream, and of ATC's streams at the same qualities.

    CAAS and CTA send one stream for all tasks; the rows of the tasks are checked to have the same stream. ATC sends one
    stream for each task. Its bits for reconstruction are interpolated (logarithm of the rate over PSNR) at the PSNR of
    the line. Its bits for another task are those of the cheapest point that is at least as good as the line, or of the
    best point if none is. A task that was not measured under ATC costs it nothing here, and its cells are empty.
    """
    table = runs.table[runs.table["status"].eq("ok")]
    costs = runs.beside(NETWORKS_FILE, NetworkRow)
    costs = costs[costs["codec"].str.startswith("classifier")]
    lines = []
    for (dataset, label), rows in table.groupby(["dataset", "label"], sort=False):
        measures = _measures(runs, rows)
        joined = _joined(rows, measures) if measures else pd.DataFrame()
        if joined.empty:
            continue
        figures = {"bpp": "mean", "psnr": "mean", **dict.fromkeys(measures, "mean"), "one": "all"}
        means = joined.groupby(["paradigm", "rate_point"], sort=False).agg(figures).reset_index()
        for point in means[means["paradigm"] != "atc"].sort_values(["paradigm", "bpp"]).to_dict("records"):
            at_point = joined[joined["paradigm"].eq(point["paradigm"]) & joined["rate_point"].eq(point["rate_point"])]
            line = {
                "dataset": dataset, "codec": label, "paradigm": str(point["paradigm"]).upper(),
                "rate point": point["rate_point"], "samples": at_point["sequence"].nunique(),
                "PSNR [dB]": f"{point['psnr']:.2f}",
                **{measure.title: _text(point[task], measure) for task, (_, measure) in measures.items()},
                "bpp, one stream": f"{point['bpp']:.5f}" if point["one"] else "(streams differ)",
            }  # fmt: skip
            line |= _streams(point, rows, at_point, measures)
            if "classification" in measures:
                line["added classifier, GMAC"] = _added_cost(costs)
            mask = runs.table["dataset"].eq(dataset) & runs.table["label"].eq(label)
            mask &= runs.table["paradigm"].isin(["atc", point["paradigm"]]) & runs.table["job"].isin(rows["job"])
            command = [runs.command(mask), *map(counting, costs.head(1).to_dict("records"))]
            lines.append(line | {"command": " && ".join(command)})
    return pd.DataFrame(lines).fillna("")


# By task: the column of the measure that it is judged by, and the measure.
_Measures = dict[str, tuple[str, Measure]]


def _measures(runs: Runs, rows: pd.DataFrame) -> _Measures:
    """What tasks other than reconstruction are judged by: accuracy, or the first of the task's own qualities.

    A task that judges the pictures of reconstruction needs no stream of its own from ATC, and is left out.
    """
    measures: _Measures = {}
    for task in rows["task"].unique():
        if task == _PICTURES or _judges_pictures(str(task)):
            continue
        own = [name for name in runs.qualities if name.startswith(f"{task}:")]
        if own and rows[own[0]].notna().any():
            measures[task] = own[0], runs.measures[own[0]]
        elif rows.loc[rows["task"].eq(task), "accuracy"].notna().any():
            measures[task] = "accuracy", _ACCURACY
    return measures


def _judges_pictures(task: str) -> bool:
    try:
        return create(Task, task).judges == _PICTURES
    except BenchError:  # another package's task, which is not installed here
        return False


def _text(value: float, measure: Measure) -> str:
    return f"{100 * value if measure is _ACCURACY else value:.{measure.digits}f}"


def _joined(rows: pd.DataFrame, measures: _Measures) -> pd.DataFrame:
    """Rows of reconstruction, each with the figures of the other tasks of the same segment, chain and rate point.

    A task's figure is in the column of its name. ``one`` says whether all rows are of the same stream: as many bits,
    and the same decoded frames.
    """
    joined = rows.loc[rows["task"] == _PICTURES, [*_KEYS, *_SENT, "bpp", "psnr"]].assign(one=True)
    for task, (column, _) in measures.items():
        part = rows.loc[rows["task"] == task, [*_KEYS, *_SENT, column]]
        both = joined.merge(part.rename(columns={column: task}), on=_KEYS, suffixes=("", "_other"))
        one = both["one"]
        for name in _SENT:
            one &= both[name].eq(both[f"{name}_other"])
        joined = both.assign(one=one).drop(columns=[f"{name}_other" for name in _SENT])
    return joined


def _atc_means(rows: pd.DataFrame, joined: pd.DataFrame, task: str, column: str) -> pd.DataFrame:
    """ATC's mean points of one task by rising rate; points that lack one of the joined sequences are left out."""
    part = rows[rows["task"].eq(task) & rows["paradigm"].eq("atc") & rows["sequence"].isin(joined["sequence"])]
    groups = part.groupby("rate_point", sort=False, observed=True)
    means = groups[["bpp", column]].mean()
    means = means[groups["sequence"].nunique() == joined["sequence"].nunique()]
    return means.sort_values("bpp").reset_index()


def _streams(point: dict[str, Any], rows: pd.DataFrame, joined: pd.DataFrame, measures: _Measures) -> dict[str, str]:
    """The cells on ATC's streams at the qualities of a point; empty cells where ATC was not measured."""
    cells = {"bpp, ATC": ""}
    for task, (_, measure) in measures.items():
        cells |= {f"of it {task}": "", f"ATC's {measure.title}": ""}
    cells["one stream saves [%]"] = ""
    images = _atc_means(rows, joined, _PICTURES, "psnr")
    others = {task: _atc_means(rows, joined, task, column) for task, (column, _) in measures.items()}
    if images.empty or all(means.empty for means in others.values()):
        return cells
    bits = 0.0
    for task, (column, measure) in measures.items():
        means = others[task]
        if means.empty:
            continue
        enough = means[means[column] >= point[task]]
        best = enough.iloc[0] if len(enough) else means.loc[means[column].idxmax()]
        bits += float(best["bpp"])
        cells |= {f"of it {task}": f"{best['bpp']:.5f}", f"ATC's {measure.title}": _text(best[column], measure)}
    rising = images.sort_values("psnr")
    if not rising["psnr"].min() <= point["psnr"] <= rising["psnr"].max():
        return cells | {"bpp, ATC": f"(its PSNR: {rising['psnr'].min():.1f} .. {rising['psnr'].max():.1f} dB)"}
    bits += float(np.exp(np.interp(point["psnr"], rising["psnr"], np.log(rising["bpp"]))))
    return cells | {"bpp, ATC": f"{bits:.5f}", "one stream saves [%]": f"{100 * (1 - point['bpp'] / bits):+.1f}"}


def _added_cost(costs: pd.DataFrame) -> str:
    """GMAC of the classifier for one sequence, with the frame size that they were counted at."""
    row = costs.iloc[0] if len(costs) else None
    return "" if row is None else f"{row['macs'] / 1e9:.2f} at {row['width']}x{row['height']}"


def many_tasks_plot(cells: pd.DataFrame, labels: Sequence[str], folder: Path) -> Iterator[Path]:
    """Draw PSNR over the total bits of all tasks, for one stream and for one each; gives the files.

    Parameters
    ----------
    cells
        Result of `many_tasks`.
    labels
        All codec labels of the report, see `curve_styles`.
    """
    cells = cells[~cells["bpp, one stream"].str.startswith("(")] if len(cells) else cells
    for dataset, rows in cells.groupby("dataset", sort=False) if len(cells) else ():
        figure, (axis,) = panels(1, (5.6, 4.2))
        codecs = list(dict.fromkeys(rows["codec"]))
        names = shortened(codecs, LEGEND_WIDTH)
        pairs = itertools.product(dict.fromkeys(["ATC", *rows["paradigm"]]), codecs)
        styles = curve_styles((((paradigm, codec), paradigm.lower(), codec) for paradigm, codec in pairs), labels)
        for (codec, paradigm), part in rows.groupby(["codec", "paradigm"], sort=False):
            quality = part["PSNR [dB]"].astype(float)
            axis.plot(
                part["bpp, one stream"].astype(float), quality,
                label=literal(f"{paradigm} {names[codec]}, one stream"), **styles[paradigm, codec].plot(),
            )  # fmt: skip
            apart = pd.to_numeric(part["bpp, ATC"], errors="coerce")
            if paradigm == "CAAS" and apart.notna().any():
                axis.plot(
                    apart, quality, label=literal(f"ATC {names[codec]}, a stream each"), **styles["ATC", codec].plot()
                )
        others = [name.removeprefix("of it ") for name in rows if name.startswith("of it ") and rows[name].any()]
        figure_title(figure, f"{dataset}: {', '.join([_PICTURES, *others])}")
        axis.set_ylabel("PSNR [dB]")
        bits_axis(axis)
        axis.set_xlabel("bits per spike for all tasks (raw = 1)")
        add_legend(figure, axis)
        yield from save(figure, folder, f"many_tasks_{file_name(str(dataset))}")


def _draw(material: Material, folder: Path) -> Iterator[Path]:
    """Draw `many_tasks_plot` from the report's table of this name."""
    many = next((table.cells for table in material.tables if table.name == "many_tasks"), pd.DataFrame())
    return many_tasks_plot(many, list(material.runs.table["label"].unique()), folder)


SECTIONS = (
    TableSection(
        "many_tasks", "Many tasks: one stream for all, or a stream for each",
        "Total bits for reconstruction and the other tasks. Under CAAS and CTA one stream serves all of them. ATC "
        "sends one stream for each task, compared here at the PSNR of the line and, where ATC reaches it, at least its "
        "quality in the other tasks. The last column is what the classifier computes: in the cloud where one stream "
        "serves all tasks, on the camera under ATC.",
        10, lambda material: many_tasks(material.runs),
    ),
    PlotSection(_draw),
)  # fmt: skip
