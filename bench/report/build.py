"""``bench report``: every table and figure of one or more runs, and a page that shows them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from bench.report.bd_table import bd_table, matrix, table_iv
from bench.report.iqa_table import table_v
from bench.report.page import build_page
from bench.report.pictures import matched_sheets
from bench.report.plots import rd_plot
from bench.report.rows import MEASURES, Runs, average, file_name, load_runs, made_by, missing_points
from bench.runner.store import disk_errors

_HEADINGS = {
    "bpp": "bpp", "bpf": "bpf", "psnr": "PSNR [dB]", "ssim": "SSIM", "ms_ssim": "MS-SSIM",
    "spike_error": "wrong spikes", "rate_error": "rate error",
}  # fmt: skip
_DIGITS = {"bpp": 5, "bpf": 4, "psnr": 2, "ssim": 4, "ms_ssim": 4, "spike_error": 4, "rate_error": 4}


def build_report(
    folders: Sequence[Path], target: Path, progress: Callable[[int, int, str], None], page: Path | None = None
) -> list[Path]:
    """Write the report of runs into a folder, and a page where one is named; returns the files written."""
    runs = load_runs(folders)
    datasets = list(dict.fromkeys(runs.table["dataset"]))
    steps = len(datasets) + 3
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        progress(0, steps, "tables")
        written = _points(runs, target)
        bd = bd_table(runs.table)
        iqa = table_v(runs)
        written += [] if iqa.empty else write_table(iqa, target / "table_v")
        progress(1, steps, "BD-rates")
        written += _bd_files(bd, target)
        claims = pd.DataFrame() if bd.empty else table_iv(runs.table, bd)
        written += [] if claims.empty else write_table(claims, target / "table_iv")
        plots = []
        for done, dataset in enumerate(datasets, start=2):
            progress(done, steps, f"plot of {dataset}")
            plots += _plots(runs.table, dataset, target, (".png", ".svg"))
        progress(steps - 1, steps, "pictures")
        sheets = matched_sheets(runs.table, runs.documents)
        pictures = [sheet.draw(target) for sheet in sheets]
        index = target / "README.md"
        index.write_text(_page(runs, bd, claims, iqa, plots, pictures), encoding="utf-8")
        written += [*plots, *pictures, index]
        if page:
            with disk_errors(page):
                build_page(runs, bd, _tables(runs, claims, iqa), sheets, page)
            written.append(page)
        progress(steps, steps, "done")
    return written


def _tables(runs: Runs, claims: pd.DataFrame, iqa: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, note and cells of the page's tables."""
    tables = []
    if not claims.empty:
        tables.append(("Table IV, BD-rate under CAAS", "libvvenc stands beside the paper's VTM.", claims))
    if not iqa.empty:
        tables.append(("Table V, scores without a reference", "At matched rates (docs/protocol.md).", iqa))
    for paradigm, part in average(runs.table).groupby("paradigm", sort=False):
        tables.append((f"{str(paradigm).upper()}, means over sequences", "", _printed(part)))
    return tables


def run_figures(folder: Path) -> list[Path]:
    """Draw a run's RD curves and pictures into its own folder; returns the files written."""
    runs = load_runs([folder])
    with disk_errors(folder):
        plots = [_plots(runs.table, dataset, folder, (".png",)) for dataset in runs.table["dataset"].unique()]
        sheets = matched_sheets(runs.table, runs.documents)
        return [*itertools.chain(*plots), *(sheet.draw(folder) for sheet in sheets)]


def _plots(table: pd.DataFrame, dataset: str, folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """RD curves of a dataset, in a file of each kind; none where no row has a PSNR."""
    if not (table["dataset"].eq(dataset) & table["psnr"].notna()).any():
        return []
    paths = [folder / f"rd_{file_name(dataset)}{suffix}" for suffix in suffixes]
    rd_plot(table, dataset, paths)
    return paths


def write_table(table: pd.DataFrame, target: Path) -> list[Path]:
    """Write a table as CSV, Markdown and LaTeX."""
    paths = [target.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")]
    table.to_csv(paths[0], index=False)
    paths[1].write_text(table.to_markdown(index=False, disable_numparse=True) + "\n", encoding="utf-8")
    paths[2].write_text(table.to_latex(index=False, escape=True), encoding="utf-8")
    return paths


def _points(runs: Runs, target: Path) -> list[Path]:
    """One table per paradigm: every codec and rate point, averaged over sequences."""
    means = average(runs.table)
    written = []
    for paradigm, part in means.groupby("paradigm", sort=False):
        written += write_table(_printed(part), target / f"table_{paradigm}")
    return written


def _printed(means: pd.DataFrame) -> pd.DataFrame:
    """Averages with headings and rounded as printed."""
    shown = [name for name in MEASURES if means[name].notna().any()]
    table = means[["dataset", "label", "extractor", "analyzer", "rate_point", "sequences"]].rename(
        columns={"label": "codec", "rate_point": "rate point"}
    )
    for name in shown:
        digits = _DIGITS[name]
        table[_HEADINGS[name]] = [("" if pd.isna(v) else f"{v:.{digits}f}") for v in means[name]]
    return table


def _bd_files(bd: pd.DataFrame, target: Path) -> list[Path]:
    if bd.empty:
        return []
    bd.to_csv(target / "bd.csv", index=False)
    written = [target / "bd.csv"]
    for dataset in dict.fromkeys(bd["dataset"]):
        cells = matrix(bd, dataset).reset_index().rename(columns={"test": "BD-rate [%] of ... against"})
        written += write_table(cells, target / f"bd_matrix_{file_name(dataset)}")
    return written


def _page(
    runs: Runs,
    bd: pd.DataFrame,
    claims: pd.DataFrame,
    iqa: pd.DataFrame,
    plots: Sequence[Path],
    pictures: Sequence[Path],
) -> str:
    """The report's page in Markdown."""
    lines = ["# Report", "", "Built by `bench report " + " ".join(runs.documents) + "` from the rows of:", ""]
    for folder, document in runs.documents.items():
        lines.append(f"- `{folder}`: {made_by(document)}")
        if document["status"] != "finished":
            lines.append("  (not finished: rows are missing)")
    lines += ["", "bpp is bits per spike (raw spikes cost 1), bpf bits per coded frame pixel.", ""]
    for path in plots:
        if path.suffix == ".png":
            lines += [f"![RD curves]({path.name})", ""]
    if not claims.empty:
        lines += ["## SCI against the paper's Table IV", "", claims.to_markdown(index=False, disable_numparse=True), ""]
    if not iqa.empty:
        lines += ["## Scores without a reference, at matched rates (the paper's Table V)", ""]
        lines += [iqa.to_markdown(index=False, disable_numparse=True), ""]
    lines += _bd_section(bd)
    for path in pictures:
        lines += [f"![{path.stem}]({path.name})", ""]
    lines += _missing_section(runs.table)
    for paradigm, part in average(runs.table).groupby("paradigm", sort=False):
        lines += [
            f"## {str(paradigm).upper()}",
            "",
            _printed(part).to_markdown(index=False, disable_numparse=True),
            "",
        ]
    return "\n".join(lines)


def _bd_section(bd: pd.DataFrame) -> list[str]:
    if bd.empty:
        return []
    lines = [
        "## BD-rate, PSNR, percent (negative: the row needs fewer bits than the column)",
        "",
        "Mean over sequences with a 95 % bootstrap interval; in brackets why there is no figure. Pooled figures, "
        "BD-PSNR, SSIM, MS-SSIM and other interpolations are in bd.csv.",
        "",
    ]
    for dataset in dict.fromkeys(bd["dataset"]):
        lines += [f"### {dataset}", "", matrix(bd, dataset).to_markdown(disable_numparse=True), ""]
    return lines


def _missing_section(table: pd.DataFrame) -> list[str]:
    shown = missing_points(table)
    if shown.empty:
        return []
    return [
        "## What was not measured, and why",
        "",
        shown.to_markdown(index=False, disable_numparse=True),
        "",
    ]
