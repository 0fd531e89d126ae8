"""``bench report``: every table and figure of one or more runs, and a page that shows them."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.files import disk_errors, write_atomic
from bench.metrics.quality import PSNR_CEILING
from bench.names import file_name
from bench.report import sections
from bench.report.bd_table import bd_table, main_qualities, matrices, matrix, matrix_file, matrix_title, set_file
from bench.report.page import build_page
from bench.report.pictures import matched_sheets
from bench.report.plots import rd_plot, short_names
from bench.report.readme import capped_note, readme
from bench.report.rows import Runs, load_runs, mean_points, missing_points, printed_mean
from bench.report.sections import Material
from bench.report.style import StyleName, drawing
from bench.report.table import Table, markdown_text

# What the plots of a report are saved as, and what single figures are.
PLOT_FORMATS = (".png", ".svg")
_FORMATS = (".png", ".svg", ".pdf")
# Holds the names of the files that a report wrote into its folder.
_NOTE = ".report"


def build_report(
    folders: Sequence[Path], target: Path, progress: Callable[[int, int, str], None], page: Path | None = None,
    trusted: bool = False, style: StyleName = "screen",
) -> list[Path]:  # fmt: skip
    """Write the report of one or more runs.

    Parameters
    ----------
    folders
        The runs' folders.
    target
        Folder of the report; it is created if need be.
    progress
        Called with the number of finished steps, the number of all steps and the name of the next one.
    page
        File for the report as one HTML page; none by default.
    trusted
        See `bench.results.document.read_run_file`.
    style
        Style of the figures (`bench.report.style`).

    Returns
    -------
    The files written.

    Raises
    ------
    BenchError
        If a run is unreadable or none of the rows was measured.
    """
    with drawing(style, PLOT_FORMATS):
        return _build_report(load_runs(folders, trusted), target, progress, page)


def _build_report(
    every: Runs, target: Path, progress: Callable[[int, int, str], None], page: Path | None
) -> list[Path]:
    _check_measured(every)
    runs = every.compared
    datasets = list(runs.table["dataset"].unique())
    steps = len(datasets) + 4
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        progress(0, steps, "BD-rates")
        bd = bd_table(runs.points, runs.qualities)
        files = [] if bd.empty else [target / "bd.csv"]
        for path in files:
            bd.to_csv(path, index=False)
        progress(1, steps, "tables")
        material = Material(every, runs, bd)
        tables = _tables(material)
        material = replace(material, tables=tables)
        for table in (*tables, *_bd_tables(runs, bd)):
            files += table.write(target)
        plots = []
        for done, dataset in enumerate(datasets, start=2):
            progress(done, steps, f"plot of {dataset}")
            plots += _plots(runs, dataset, target, PLOT_FORMATS)
        plots += sections.plots(material, target)
        progress(steps - 2, steps, "pictures")
        sheets = matched_sheets(runs.table, runs.documents)
        figures, undrawn = sections.sheets(material)
        pictures = [path for sheet in (*sheets, *figures) for path in sheet.draw(target)]
        missing = pd.concat([missing_points(every.table), pd.DataFrame(undrawn, columns=["what", "reason"])])
        index = target / "README.md"
        undone = Table("missing", "What was not measured, and why", "", missing)
        files += [] if missing.empty else undone.write(target)
        index.write_text(readme(runs, bd, tables, plots, pictures, undone), encoding="utf-8")
        files += [*plots, *pictures, index]
        _remove_earlier(target, files)
        if page:
            progress(steps - 1, steps, "page")
            page_plots = [path for path in plots if path.suffix == ".png" and not path.stem.startswith("rd_")]
            charts = sections.charts(material)
            with disk_errors(page):
                build_page(
                    material, charts, (*sheets, *figures), page_plots, undone, page,
                    lambda done, total, label: progress(steps - 1, steps, f"page, {label}"),
                )  # fmt: skip
            files.append(page)
        progress(steps, steps, "done")
    return files


def _remove_earlier(target: Path, files: Sequence[Path]) -> None:
    """Remove what an earlier report of this folder wrote and this one did not, and note what this one wrote."""
    names = {path.name for path in files}
    note = target / _NOTE
    earlier = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.is_file() else []
    for name in set(earlier) - names:
        # The note may come from someone else: names of other folders are left alone.
        if name == Path(name).name and (target / name).is_file():
            (target / name).unlink()
    write_atomic(note, "".join(f"{name}\n" for name in sorted(names)).encode())


def draw_figures(
    folders: Sequence[Path], target: Path, names: Sequence[str], style: StyleName = "screen", trusted: bool = False
) -> list[Path]:
    """Draw single figures of a report, each as PNG, SVG and PDF.

    Parameters
    ----------
    folders, trusted
        See `build_report`.
    target
        Folder for the files; it is created if need be.
    names
        Names of figures: those of the report's files, without suffix.
    style
        Style of the figures (`bench.report.style`).

    Returns
    -------
    The files written.

    Raises
    ------
    BenchError
        If a run is unreadable, none of the rows was measured, or the report has no figure of a name.
    """
    every = load_runs(folders, trusted)
    _check_measured(every)
    runs = every.compared
    unique_names = list(dict.fromkeys(names))
    with (
        disk_errors(target),
        tempfile.TemporaryDirectory(prefix="bench-figures-") as name,
        drawing(style, _FORMATS, unique_names) as others,
    ):
        folder = Path(name)

        def known() -> set[str]:
            return others.union(path.stem for path in folder.iterdir())

        for dataset in runs.table["dataset"].unique():
            _plots(runs, dataset, folder, _FORMATS)
        if not known().issuperset(unique_names):
            material = Material(every, runs, bd_table(runs.points, runs.qualities))
            sections.plots(replace(material, tables=_tables(material)), folder)
            if not known().issuperset(unique_names):  # sheets are asked for last: they decode streams
                sheets = (*matched_sheets(runs.table, runs.documents), *sections.sheets(material)[0])
                there = known().union(sheet.name for sheet in sheets)
                if absent := [name for name in unique_names if name not in there]:
                    raise BenchError(f"no figure named '{absent[0]}' (there are: {', '.join(sorted(there))})")
                for sheet in sheets:
                    if sheet.name in unique_names:
                        sheet.draw(folder, _FORMATS)
        target.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{name}{suffix}" for name in unique_names for suffix in _FORMATS]
        return [Path(shutil.copy(path, target)) for path in files if path.exists()]


def _check_measured(runs: Runs) -> None:
    """Refuse runs without any measured row: their report would be empty."""
    if runs.table["status"].eq("ok").any():
        return
    reasons = [text for text in runs.table["reason"].unique() if text]
    why = f"; of {len(runs.table)} rows the first says: {reasons[0]}" if reasons else ""
    raise BenchError(f"nothing to report: no row of {', '.join(runs.documents)} was measured{why}")


def _tables(material: Material) -> list[Table]:
    """All tables that have lines: those of the sections, the means of every paradigm, and the shortened names."""
    runs, tables = material.runs, sections.tables(material)
    for paradigm, part in mean_points(runs.points).groupby("paradigm", sort=False):
        name = f"table_{file_name(str(paradigm))}"
        name += "-means" if name in {table.name for table in tables} else ""
        tables.append(
            Table(name, f"{str(paradigm).upper()}, means over sequences", capped_note(part), _printed(part, runs))
        )
    names = Table("names", "Names that are shortened in figures", "", _names_table(runs))
    return [table for table in (*tables, names) if not table.cells.empty]


def _names_table(runs: Runs) -> pd.DataFrame:
    """The curve names that figures shorten, each with its short form."""
    lines = [
        {
            "dataset": line["dataset"], "in figures": line["short"], "whole": line["curve"],
            "command": runs.command(runs.curve(line)),
        }
        for line in short_names(runs.table).to_dict("records")
    ]  # fmt: skip
    return pd.DataFrame(lines)


def run_figures(folder: Path) -> list[Path]:
    """Draw a run's RD curves and pictures into the run's own folder; returns the files written."""
    runs = load_runs([folder], trusted=True)  # the run was made by this very process
    with disk_errors(folder), drawing():
        plots = [_plots(runs, dataset, folder, (".png",)) for dataset in runs.table["dataset"].unique()]
        plots.append(sections.plots(Material(runs, runs, pd.DataFrame()), folder, in_run=True))
        sheets = matched_sheets(runs.table, runs.documents)
        return [*itertools.chain(*plots), *(path for sheet in sheets for path in sheet.draw(folder))]


def _plots(runs: Runs, dataset: str, folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Draw a dataset's RD curves over PSNR and over its tasks' own qualities, each in one file per suffix."""
    files = []
    for quality in main_qualities(runs.qualities):
        if (runs.table["dataset"].eq(dataset) & runs.table[quality].notna()).any():
            paths = [folder / f"rd_{set_file(dataset, quality)}{suffix}" for suffix in suffixes]
            rd_plot(runs.table, dataset, paths, quality, runs.measure_title(quality))
            files += paths
    return files


def _printed(means: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """The averages as a table prints them; with PSNR of the mean MSE and a count of frames where frames are capped."""
    capped = bool(means["capped_frames"].sum())
    names = [name for name in runs.measures if means[name].notna().any() and (capped or name != "psnr_of_mse")]
    table = means[["dataset", "label", "extractor", "analyzer", "condition", "rate_point", "sequences"]].rename(
        columns={"label": "codec", "condition": "card", "rate_point": "rate point"}
    )
    lines = means.to_dict("records")
    for name in names:
        table[runs.measure_title(name)] = [printed_mean(line, name, runs.measures[name].digits) for line in lines]
    if capped:
        table[f"frames at {PSNR_CEILING:.0f} dB"] = [str(int(count)) for count in means["capped_frames"]]
    table["command"] = [runs.command(runs.point(line)) for line in lines]
    return table


def _bd_tables(runs: Runs, bd: pd.DataFrame) -> list[Table]:
    """The BD-rate matrices, each with the remarks on its figures."""
    return [_bd_matrix(runs, bd, dataset, quality) for dataset, quality in ([] if bd.empty else matrices(bd))]


def _bd_matrix(runs: Runs, bd: pd.DataFrame, dataset: str, quality: str) -> Table:
    cells = matrix(bd, dataset, quality).reset_index().rename(columns={"test": "BD-rate [%] of ... against"})
    odd = bd[bd["dataset"].eq(dataset) & bd["quality"].eq(quality) & bd["remark"].ne("")]
    note = "\n".join(
        [
            "Percent (negative: the row needs fewer bits than the column). Mean over sequences with its 95 % "
            "interval; in brackets why there is no figure. Pooled figures, BD-PSNR, SSIM, MS-SSIM and other "
            "interpolations are in bd.csv.",
            *([""] if len(odd) else []),
            *(f"- {markdown_text(f'{line.test} against {line.anchor}: {line.remark}')}" for line in odd.itertuples()),
        ]
    )
    return Table(matrix_file(dataset, quality), f"BD-rates of {matrix_title(runs, dataset, quality)}", note, cells)
