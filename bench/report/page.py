"""The report as one page for a browser: curves, tables and pictures in a single file that asks for nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.bd_table import matrix
from bench.report.pictures import Sheet
from bench.report.rows import Runs, curve_names, made_by
from bench.report.table import Table

# What the page knows of a point, beside its qualities.
_COLUMNS = (
    "job", "run", "dataset", "sequence", "speed", "paradigm", "codec", "chain", "curve", "rate", "bpp", "condition",
    "version", "weights", "psnr", "ssim", "ms_ssim", "accuracy",
)  # fmt: skip


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
        As `bench.report.bd_table.bd_table` gives it.
    sheets
        Pictures to set side by side.
    plots
        PNG files to show.
    missing
        What was not measured, and why.
    """
    import jinja2
    import plotly.offline
    from markupsafe import Markup

    matrices = [] if bd.empty else [(str(name), _matrix(bd, str(name))) for name in bd["dataset"].unique()]
    csv = {f"bd-{i}": cells.to_csv(index=False) for i, (_, cells) in enumerate(matrices)}
    csv |= {f"table-{i}": table.cells.to_csv(index=False) for i, table in enumerate(tables)}
    pictures = [_scene(sheet) for sheet in sheets]
    data = {
        "columns": _COLUMNS,
        "points": _points(runs),
        "commands": runs.commands(),
        "conditions": {k: card for document in runs.documents.values() for k, card in document["conditions"].items()},
        "runs": {folder: _words(document) for folder, document in runs.documents.items()},
        "csv": csv,
        "pictures": pictures,
    }
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html"))
    text = page.render(
        matrices=[(name, Markup(_html(cells))) for name, cells in matrices],  # noqa: S704 -- _html escapes
        tables=[(table.title, table.note, Markup(_html(table.shown))) for table in tables],  # noqa: S704
        plots=[(plot.stem, _image("png", plot.read_bytes())) for plot in plots],
        pictures=pictures,
        missing=None if missing.empty else Markup(_html(missing)),  # noqa: S704
        runs=[(name, _words(doc), doc["provenance"][-1]["command"]) for name, doc in runs.documents.items()],
        # Scripts of the package and of plotly; the data cannot end its own element.
        plotly=Markup(plotly.offline.get_plotlyjs()),  # noqa: S704
        script=Markup(_file("page.js")),  # noqa: S704
        data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _matrix(bd: pd.DataFrame, dataset: str) -> pd.DataFrame:
    cells = matrix(bd, dataset).reset_index().rename(columns={"test": "of ... against"})
    return cells.rename_axis(columns=None)


def _file(name: str) -> str:
    return (resources.files("bench") / "report" / name).read_text(encoding="utf-8")


def _html(cells: pd.DataFrame) -> str:
    return str(cells.to_html(index=False, escape=True, border=0, na_rep=""))


def _words(document: dict[str, Any]) -> str:
    return made_by(document) + ("" if document["status"] == "finished" else "; not finished: rows are missing")


def _points(runs: Runs) -> list[list[Any]]:
    done = runs.table[(runs.table["status"] == "ok") & runs.table["bpp"].notna()]
    done = done.assign(
        curve=curve_names(done), chain=done["extractor"] + " + " + done["analyzer"], speed=done["speed_class"],
        version=done["codec_version"], weights=done["weights_sha256"].str[:12], rate=done["rate_point"],
        codec=done["label"],
    )  # fmt: skip
    cells = done[list(_COLUMNS)].astype(object)
    finite = cells.where(cells.notna() & ~cells.isin([float("inf"), -float("inf")]), None)
    found: list[list[Any]] = finite.to_numpy().tolist()
    return found


def _scene(sheet: Sheet) -> dict[str, Any]:
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
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
