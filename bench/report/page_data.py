"""What the page draws from, as JSON: points, curves with their looks, BD-rates, charts and tables, in compact form."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.names import shortened
from bench.report.bd_table import bd_table, main_qualities, reference
from bench.report.charts import Chart
from bench.report.plots import LEGEND_WIDTH, curve_styles
from bench.report.rows import CURVE, MEASURES, Runs, curve_names, measures_in
from bench.report.table import Table

# Text columns and number columns that the page holds of each point.
_TEXTS = (
    "job", "run", "dataset", "sequence", "speed", "paradigm", "codec", "chain", "curve", "rate", "condition", "version",
    "weights",
)  # fmt: skip
_NUMBERS = ("count", "segments", "command", "bpp")
# Measures of every run that the page can draw; measures that tasks define themselves are added.
_DRAWN = ("psnr", "ssim", "ms_ssim", "accuracy")
# Significant digits of the numbers in the file; the page displays six at most.
_DIGITS = 8
# Above this number of points (of single sequences), the page holds only the points of mean curves.
MOST_POINTS = 20_000


def points_data(runs: Runs) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """The columns of all points, and the commands that measure them again.

    A command is either complete (one text) or a pair of texts, between which the page puts rate point and sequence.
    """
    points = runs.points[runs.points["bpp"].notna()]
    points = points.assign(curve=curve_names(points), count=1)
    commands: list[tuple[str, ...]]
    if len(points) > MOST_POINTS:
        points, commands = _means(points, runs)
    else:
        pairs, points["command"] = runs.commands(runs.table.loc[points["first"]])
        commands = [*pairs]
    first = runs.table.loc[points["first"], ["job", "run", "codec_version", "weights_sha256"]].set_axis(points.index)
    points = points.assign(
        job=first["job"], run=first["run"], version=first["codec_version"], weights=first["weights_sha256"].str[:12],
        chain=points["extractor"] + " + " + points["analyzer"], speed=points["speed_class"], rate=points["rate_point"],
        codec=points["label"],
    )  # fmt: skip
    numbers = (*_NUMBERS, *qualities(runs))
    columns = {name: _texts(points[name]) for name in _TEXTS} | {name: _numbers(points[name]) for name in numbers}
    return columns, commands


def qualities(runs: Runs) -> dict[str, str]:
    """The measures that the page can draw over the rate: titles by column."""
    columns = [*_DRAWN, *(name for name in runs.measures if name not in MEASURES)]
    return {name: runs.measure_title(name) for name in columns}


def _means(points: pd.DataFrame, runs: Runs) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """The points of mean curves, one for each curve, rate point and speed class, and the complete command of each."""
    keys = [*CURVE, "curve", "rate_point", "speed_class"]
    # Sequences with and without a quality are averaged apart, so that all means of a point are over the same sequences.
    groups = points.groupby([*keys, points["psnr"].notna().rename("judged")], sort=False)
    columns = measures_in(points)
    means = groups[[*columns, "count"]].agg({**dict.fromkeys(columns, "mean"), "count": "sum"})
    means = means.join(groups[["first", "segments", "codec"]].first()).reset_index()
    means["sequence"] = [f"{count} sequences" for count in means["count"]]
    means["command"] = range(len(means))
    speeds = runs.table["speed_class"]
    lines = means.to_dict("records")
    return means, [(runs.command(runs.point(line) & speeds.eq(line["speed_class"])),) for line in lines]


def curves_data(runs: Runs) -> dict[str, dict[str, dict[str, Any]]]:
    """By dataset and curve name: what the curve is of, its short name and look, and the command that measures it."""
    points = runs.points.assign(curve=curve_names(runs.points))
    lines = points.drop_duplicates([*CURVE, "curve"])
    labels = list(runs.table["label"].unique())
    curves: dict[str, dict[str, dict[str, Any]]] = {}
    for dataset, part in lines.groupby("dataset", sort=False):
        named = part.drop_duplicates("curve")
        styles = curve_styles(named[["curve", "paradigm", "label"]].itertuples(index=False, name=None), labels)
        texts = shortened(styles, LEGEND_WIDTH)
        curves[str(dataset)] = {
            str(line["curve"]): {
                **{name: str(line[name]) for name in ("paradigm", "label", "codec", "task")},
                "chain": f"{line['extractor']} + {line['analyzer']}", "short": texts[line["curve"]],
                **styles[line["curve"]].svg(), "command": _command(runs, part[part["curve"].eq(line["curve"])]),
            }
            for line in named.to_dict("records")
        }  # fmt: skip
    return curves


def _command(runs: Runs, lines: pd.DataFrame) -> str:
    """The command that measures all points of a curve again; two tasks may have a curve of one name."""
    return runs.command(functools.reduce(operator.or_, (runs.curve(line) for line in lines.to_dict("records"))))


def bd_data(runs: Runs, bd: pd.DataFrame) -> dict[str, Any]:
    """BD-rates by speed class (empty: all scenes), dataset and quality, and the reference of each of the two."""
    rates_by_speed: dict[str, Any] = {"": _by_place(bd)}
    for speed, points in runs.points.groupby("speed_class", sort=False):
        if speed and len(points) < len(runs.points):
            rates_by_speed[str(speed)] = _by_place(bd_table(points, main_qualities(runs.qualities)))
    places = bd[["dataset", "quality"]].drop_duplicates().itertuples(index=False, name=None) if len(bd) else ()
    return {"speeds": rates_by_speed, "references": [[*place, reference(runs, bd, *place)] for place in places]}


def _by_place(bd: pd.DataFrame) -> dict[str, dict[str, Any]]:
    places: dict[str, dict[str, Any]] = {}
    for (dataset, quality), part in bd.groupby(["dataset", "quality"], sort=False) if len(bd) else ():
        places.setdefault(str(dataset), {})[str(quality)] = {
            **{name: _texts(part[name]) for name in ("anchor", "test", "reason", "remark")},
            **{name: [_rounded(value) for value in part[name]] for name in ("bd_rate", "low", "high")},
            **{name: part[name].tolist() for name in ("sequences", "asked", "ranked")},
        }
    return places


def charts_data(charts: Sequence[Chart], runs: Runs) -> list[dict[str, Any]]:
    """Charts with the looks of their curves.

    Parameters
    ----------
    runs
        All rows of the report, whose codec labels decide the colours.
    """
    labels = list(runs.table["label"].unique())
    entries = []
    for chart in charts:
        styles = curve_styles(((one.name, one.paradigm, one.label) for one in chart.series), labels)
        texts = shortened(styles, LEGEND_WIDTH)
        data = asdict(chart)
        for one in data["series"]:
            one |= {"short": texts[one["name"]], **styles[one["name"]].svg()}
        entries.append(data)
    return entries


def tables_data(tables: Sequence[Table]) -> dict[str, Any]:
    """Tables by name: heading, note, columns, and lines of texts; equal commands are stored once."""
    entries = {}
    for table in tables:
        cells = table.cells.astype(object).where(table.cells.notna(), "")
        commands = cells["command"] if "command" in cells else pd.Series("", cells.index)
        reader_cells = cells.drop(columns="command", errors="ignore")
        entries[table.name] = {
            "title": table.title,
            "columns": list(map(str, reader_cells)),
            "lines": [list(map(str, line)) for line in reader_cells.itertuples(index=False)],
            "commands": _texts(commands),
        }
    return entries


def _texts(column: pd.Series) -> dict[str, list[Any]]:
    """A text column in compact form: its different values, and for each point the index of its value."""
    numbers, values = pd.factorize(column)
    return {"values": [str(value) for value in values], "numbers": numbers.tolist()}


def _numbers(column: pd.Series) -> list[float | None]:
    """A number column for JSON: None where a value is missing or infinite."""
    if column.dtype.kind == "i":
        return list(column.tolist())
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in column]


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 2)


def plain(value: Any) -> Any:
    """A value of charts for JSON, in which numbers that are not finite are None."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
