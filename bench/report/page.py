"""The report as one HTML file for a browser: curves, tables and pictures, without other files or network access."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from bench.names import file_name, shortened
from bench.report.bd_table import matrices, matrix, matrix_title
from bench.report.pictures import Sheet
from bench.report.plots import LEGEND_WIDTH, curve_styles
from bench.report.rows import CURVE, MEASURES, Runs, curve_names, made_by, measures_in
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


def build_page(
    runs: Runs,
    bd: pd.DataFrame,
    tables: Sequence[Table],
    sheets: Sequence[Sheet],
    plots: Sequence[Path],
    missing: pd.DataFrame,
    path: Path,
) -> None:
    """Write the page.

    Parameters
    ----------
    bd
        Result of `bench.report.bd_table.bd_table`.
    sheets
        Sheets of pictures, shown side by side.
    plots
        PNG files to embed.
    missing
        What was not measured, and why: columns ``what`` and ``reason``.
    path
        File to write; its folder is created if need be.
    """
    import plotly.offline
    from markupsafe import Markup

    places = [] if bd.empty else matrices(bd)
    cells_of = [(matrix_title(runs, *place), _matrix(bd, *place)) for place in places]
    csv = {f"bd-{i}": cells.to_csv(index=False) for i, (_, cells) in enumerate(cells_of)}
    csv |= {f"table-{i}": table.cells.to_csv(index=False) for i, table in enumerate(tables)}
    pictures = [_scene(sheet) for sheet in sheets]
    points, commands = _points(runs)
    data = {
        "points": points,
        "commands": commands,
        "conditions": {k: card for document in runs.documents.values() for k, card in document["conditions"].items()},
        "runs": {folder: _words(document) for folder, document in runs.documents.items()},
        "csv": csv,
        "styles": _styles(runs),
        "qualities": _qualities(runs),
        "pictures": pictures,
    }
    page = _environment().from_string(_file("page.html"))
    text = page.render(
        matrices=[(name, Markup(_html(cells))) for name, cells in cells_of],  # noqa: S704 -- _html escapes
        tables=[(table.name, table.title, table.note, Markup(_html(table.shown))) for table in tables],  # noqa: S704
        plots=[(plot.stem, _image("png", plot.read_bytes())) for plot in plots],
        pictures=pictures,
        qualities=_qualities(runs),
        means_only=len(runs.points) > MOST_POINTS,
        most=MOST_POINTS,
        missing=None if missing.empty else Markup(_html(missing)),  # noqa: S704
        runs=[(name, _words(doc), doc["provenance"][-1]["command"]) for name, doc in runs.documents.items()],
        # Only scripts of this package and of plotly are inserted unescaped. In the data, "<" is escaped, so no text in
        # it can close the script element.
        plotly=Markup(plotly.offline.get_plotlyjs()),  # noqa: S704
        script=Markup(_file("page.js")),  # noqa: S704
        data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _environment() -> Any:
    """The template engine, which escapes all texts."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["file_name"] = file_name
    return environment


def _matrix(bd: pd.DataFrame, dataset: str, quality: str) -> pd.DataFrame:
    cells = matrix(bd, dataset, quality).reset_index().rename(columns={"test": "of ... against"})
    return cells.rename_axis(columns=None)


def _file(name: str) -> str:
    """A text file of this package: the page's template or script."""
    return (resources.files("bench") / "report" / name).read_text(encoding="utf-8")


def _html(cells: pd.DataFrame) -> str:
    return str(cells.to_html(index=False, escape=True, border=0, na_rep=""))


def _words(document: dict[str, Any]) -> str:
    """What made a run, and whether it is finished."""
    return made_by(document) + ("" if document["status"] == "finished" else "; not finished: rows are missing")


def _points(runs: Runs) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
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
    numbers = (*_NUMBERS, *_qualities(runs))
    columns = {name: _texts(points[name]) for name in _TEXTS} | {name: _numbers(points[name]) for name in numbers}
    return columns, commands


def _qualities(runs: Runs) -> dict[str, str]:
    """The measures that the page can draw over the rate: titles by column."""
    shown = [*_DRAWN, *(name for name in runs.measures if name not in MEASURES)]
    return {name: runs.measure_title(name) for name in shown}


def _styles(runs: Runs) -> dict[str, dict[str, list[str]]]:
    """By dataset and curve name: name in the legend, colour, dash and symbol.

    Curves of single sequences are included where the page shows them.
    """
    labels = list(runs.table["label"].unique())
    points = runs.points.assign(curve=curve_names(runs.points))
    styles: dict[str, dict[str, list[str]]] = {}
    for dataset, part in points.groupby("dataset", sort=False):
        single = part.assign(curve=part["curve"] + ", " + part["sequence"])
        of_dataset = styles[str(dataset)] = {}
        for curves in (part, single) if len(points) <= MOST_POINTS else (part,):
            rows = curves.drop_duplicates("curve")[["curve", "paradigm", "label"]]
            style_of = curve_styles(rows.itertuples(index=False, name=None), labels)
            texts = shortened(style_of, LEGEND_WIDTH)
            of_dataset |= {str(name): [texts[name], *style.plotly()] for name, style in style_of.items()}
    return styles


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


def _texts(column: pd.Series) -> dict[str, list[Any]]:
    """A text column in compact form: its different values, and for each point the index of its value."""
    numbers, values = pd.factorize(column)
    return {"values": [str(value) for value in values], "numbers": numbers.tolist()}


def _numbers(column: pd.Series) -> list[float | None]:
    """A number column for JSON: None where a value is missing or infinite."""
    if column.dtype.kind == "i":
        return list(column.tolist())
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in column]


def _scene(sheet: Sheet) -> dict[str, Any]:
    """A sheet of pictures as the page's script reads it."""
    return {
        "title": sheet.title,
        "tiles": [
            {
                "title": tile.title,
                "words": tile.words,
                "image": _image("webp", tile.webp()),
            }
            for tile in sheet.tiles
        ],
    }


def _image(kind: str, data: bytes) -> str:
    """A picture as data URL, so that the page needs no other file."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
