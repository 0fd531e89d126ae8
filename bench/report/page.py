"""The report as one HTML file for a browser: answers, curves, tables and pictures, without other files or network."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bench.progress import Progress
from bench.report import page_data
from bench.report.charts import Chart
from bench.report.page_pictures import sheets_data, webp
from bench.report.paper.claims import CLAIMS, SEPARATOR
from bench.report.pictures import Sheet
from bench.report.rows import made_by
from bench.report.sections import Material
from bench.report.table import Table

# The page's script, in the order of its parts: plain JavaScript that draws SVG and HTML elements. So keyboards and
# screen readers reach every point and cell, figures follow the theme, and the page needs no library of megabytes.
_SCRIPTS = ("base", "chart", "answers", "curves", "tables", "pictures", "page")


def build_page(
    material: Material,
    charts: Sequence[Chart],
    sheets: Sequence[Sheet],
    plots: Sequence[Path],
    missing: Table,
    path: Path,
    progress: Progress,
) -> None:
    """Write the page.

    Parameters
    ----------
    material
        Rows, BD figures and all tables of the report.
    charts
        Charts of the report's sections.
    sheets
        Sheets of pictures, shown side by side.
    plots
        PNG files to embed, except for those that a chart stands for.
    missing
        What was not measured, and why: columns ``what`` and ``reason``.
    path
        File to write; its folder is created if need be.
    progress
        Called before the films of each sheet are decoded.
    """
    from markupsafe import Markup

    runs = material.runs
    points, commands = page_data.points_data(runs)
    means_only = len(runs.points) > page_data.MOST_POINTS
    drawn = {chart.instead_of for chart in charts}
    stated = [table.cells.to_dict("records") for table in material.tables if table.name == CLAIMS]
    claims = [line | {"measured": str(line["measured"]).split(SEPARATOR)} for lines in stated for line in lines]
    tables = [table for table in (*material.tables, missing) if not table.cells.empty]
    data = {
        "points": points,
        "commands": commands,
        "curves": page_data.curves_data(runs),
        "bd": page_data.bd_data(runs, material.bd),
        "charts": page_data.plain(page_data.charts_data(charts, material.every)),
        "tables": page_data.tables_data(tables),
        "conditions": {k: card for document in runs.documents.values() for k, card in document["conditions"].items()},
        "runs": {folder: _words(document) for folder, document in runs.documents.items()},
        "qualities": page_data.qualities(runs),
    }
    pictures = sheets_data(sheets, progress)
    text = _template().render(
        claims=claims,
        speeds=[speed for speed in data["bd"]["speeds"] if speed],
        charts=charts,
        plots=[(plot.stem, _embedded(plot)) for plot in plots if plot.stem not in drawn],
        pictures=pictures,
        tables=[(table.name, table.title, table.note, len(table.cells)) for table in tables],
        means_only=means_only,
        most=page_data.MOST_POINTS,
        runs=[(name, _words(doc), doc["provenance"][-1]["command"]) for name, doc in runs.documents.items()],
        # Only the script and the style sheet of this package are inserted unescaped. In the data, "<" is escaped, so no
        # text in it can close its element.
        style=Markup(_asset("page.css")),  # noqa: S704
        script=Markup("\n".join(_asset(f"{name}.js") for name in _SCRIPTS)),  # noqa: S704
        data=Markup(_json(data)),  # noqa: S704
        pictures_data=Markup(_json(pictures)),  # noqa: S704
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _template() -> Any:
    """The page's template, of an engine that escapes all texts."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html"))


def _asset(name: str) -> str:
    """A text file of this package: the page's template, style sheet, or a part of its script."""
    return (resources.files("bench") / "report" / "assets" / name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _words(document: dict[str, Any]) -> str:
    """What made a run, and whether it is finished."""
    return made_by(document) + ("" if document["status"] == "finished" else "; not finished: rows are missing")


def _embedded(plot: Path) -> str:
    """A plot's file as a WebP file in a data URL."""
    from PIL import Image

    with Image.open(io.BytesIO(plot.read_bytes())) as image:
        return webp(np.asarray(image.convert("RGB")))
