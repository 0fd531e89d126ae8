"""The report's README.md: the answers first, one figure and one table a set, and links to everything else.

Code hosts cut long files, so a large report's README stays below 25 kB: what is long is a file of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from bench.metrics.bd import MIN_SHARE
from bench.metrics.quality import PSNR_CEILING
from bench.report.bd_table import in_order, matrices, matrix_file, matrix_title, reference, set_file
from bench.report.rows import Runs, commit_of, curve_names, made_by, mean_points
from bench.report.table import Table, markdown, markdown_text

# Most lines of a table, names of files and reasons that README.md has itself; the linked files have all of them.
_MOST = 24


def readme(
    runs: Runs,
    bd: pd.DataFrame,
    tables: Sequence[Table],
    plots: Sequence[Path],
    pictures: Sequence[Path],
    missing: Table,
) -> str:
    """The text of the report's README.md.

    Parameters
    ----------
    runs
        The rows that codecs are compared by.
    bd
        Result of `bench.report.bd_table.bd_table`.
    tables
        All tables; those with `Table.leading` are shown whole, the others linked.
    plots, pictures
        The figures' files, in the report's folder.
    missing
        What was not measured, and why; it may have no lines.
    """
    lines = ["# Report", "", "Built by `bench report " + shlex.join(runs.documents) + "` from the rows of:", ""]
    for folder, document in runs.documents.items():
        lines.append(f"- `{folder}`: {markdown_text(made_by(document))}")
        if document["status"] != "finished":
            lines.append("  (not finished: rows are missing)")
    lines += ["", "bpp is bits per spike (raw spikes cost 1), bpf bits per coded frame pixel.", ""]
    lines += [note, ""] if (note := capped_note(runs.points)) else []
    png_files = [path for path in plots if path.suffix == ".png"]
    rest = [path for path in png_files if not path.stem.startswith("rd_")]
    curves = [path for path in png_files if path not in rest]
    lines += _answers(runs, bd, curves)
    for table in tables:
        if table.leading:
            lines += [f"## {table.title}", "", *_noted(table), markdown(table.reader_cells), ""]
    lines += ["## Tables", ""]
    if not bd.empty:
        lines.append("- [bd.csv](bd.csv): BD-rates of all pairs and qualities, other interpolations, BD-PSNR")
    lines += [
        f"- [{markdown_text(matrix_title(runs, *place))}]({matrix_file(*place)}.md): every curve against every other"
        for place in ([] if bd.empty else matrices(bd))
    ]
    lines += [f"- [{markdown_text(table.title)}]({table.name}.md)" for table in tables if not table.leading]
    if rest or pictures:
        lines += ["", "## Figures and pictures", "", *_links((*rest, *pictures))]
    if not missing.cells.empty:
        lines += ["", f"## {missing.title}", "", markdown(missing.reader_cells.head(_MOST))]
        lines += _more(len(missing.cells), f"{missing.name}.md")
    return "\n".join(lines) + "\n"


def capped_note(points: pd.DataFrame) -> str:
    """A sentence on frames that are capped at the PSNR of no error; empty where none is."""
    if not points["capped_frames"].sum():
        return ""
    return (
        f"Frames that equal their truth, or nearly, count as {PSNR_CEILING:.0f} dB (docs/protocol.md); the last column "
        "of the tables of means counts them."
    )


def _answers(runs: Runs, bd: pd.DataFrame, curves: Sequence[Path]) -> list[str]:
    """For each set its figure, and its curves against one reference."""
    lines = []
    places = [] if bd.empty else matrices(bd)
    stems = {f"rd_{set_file(*place)}" for place in places}
    for dataset, quality in places:
        title = str(markdown_text(matrix_title(runs, dataset, quality)))
        lines += [f"## {title}", ""]
        lines += [f"![RD curves]({path.name})\n" for path in curves if path.stem == f"rd_{set_file(dataset, quality)}"]
        lines += [_origin(runs, dataset), "", *_against_one(runs, bd, dataset, quality), ""]
    lines += [f"![{path.stem}]({path.name})\n" for path in curves if path.stem not in stems]
    return lines


def _origin(runs: Runs, dataset: str) -> str:
    """The runs, rules and weights of a set's rows; the sets of one report may have others."""
    known = runs.table[runs.table["status"].eq("ok")]
    rows = known[known["dataset"].eq(dataset)]
    documents = [(run, runs.documents[run]) for run in rows["run"].astype(str).unique()]
    origins = [f"`{run}` (schema {one['schema']}, {commit_of(one)})" for run, one in documents]
    line = f"Rows of {', '.join(origins)}."
    weights = rows.loc[rows["weights_sha256"].astype(str).ne(""), ["label", "weights_sha256"]].astype(str)
    if len(weights):
        each = weights.drop_duplicates().groupby("label", sort=False)["weights_sha256"]
        line += " Weights: " + ", ".join(f"{label} {', '.join(one.str[:8])}" for label, one in each) + "."
        more = known.astype({"label": str}).groupby("label")["weights_sha256"].nunique()
        if changed := [str(label) for label, one in each if more[label] > len(one)]:
            line += f" Other sections have other weights of {', '.join(changed)}."
    return str(markdown_text(line))


def _against_one(runs: Runs, bd: pd.DataFrame, dataset: str, quality: str) -> list[str]:
    """A sentence that names the best curve, and a table of all curves against the reference, the best first."""
    anchor = reference(runs, bd, dataset, quality)
    against = in_order(bd[bd["dataset"].eq(dataset) & bd["quality"].eq(quality) & bd["anchor"].eq(anchor)])
    measured = against[against["bd_rate"].notna()]
    lines = []
    if len(measured):
        best = measured.loc[measured["bd_rate"].idxmin()]
        answer = f"**{markdown_text(best['test'])}**, {markdown_text(best['verdict'])} %"
        if not best["ranked"]:
            answer = f"not known; the lowest figure is of too few sequences ({answer})"
        elif best["bd_rate"] >= 0:
            answer = f"none needs fewer; the nearest is {answer}"
        lines += [f"Fewest bits at equal quality, against {markdown_text(anchor)}: {answer}.", ""]
    ranges = _ranges(runs, dataset, quality)
    verdicts = [(anchor, "reference"), *zip(against["test"], against["verdict"], strict=True)]
    cells = [{"curve": name, "BD-rate [%]": verdict, **ranges[name]} for name, verdict in verdicts[:_MOST]]
    lines.append(markdown(pd.DataFrame(cells)))
    lines += _more(len(verdicts), f"{matrix_file(dataset, quality)}.md")
    lines += ["", "Negative: fewer bits than the reference. Means over sequences with their 95 % intervals."]
    if not measured["ranked"].all():
        lines[-1] += f" Those over less than {100 * MIN_SHARE:.0f} % of the sequences stand last: they rank no curve."
    remarks = against[against["remark"].ne("")].head(_MOST)
    return [*lines, *(f"- {markdown_text(f'{line.test}: {line.remark}')}" for line in remarks.itertuples())]


def _ranges(runs: Runs, dataset: str, quality: str) -> dict[str, dict[str, str]]:
    """By curve name, the range of its mean points in rate and quality."""
    rows = runs.points.assign(curve=curve_names(runs.points))
    ranges = {}
    for name, part in rows[rows["dataset"].eq(dataset)].groupby("curve", sort=False):
        means = mean_points(part)
        ranges[str(name)] = {
            "bpp": _range(means["bpp"], 4),
            runs.measure_title(quality): _range(means[quality].dropna(), runs.measures[quality].digits),
        }
    return ranges


def _range(values: pd.Series, digits: int) -> str:
    return f"{values.min():.{digits}f} .. {values.max():.{digits}f}" if len(values) else ""


def _noted(table: Table) -> list[str]:
    return [table.note, ""] if table.note else []


def _more(count: int, file: str) -> list[str]:
    """A line that links what is left out of a table of `count` lines; no line where nothing is."""
    return ["", f"{count - _MOST} more lines: [{file}]({file})"] if count > _MOST else []


def _links(paths: Iterable[Path]) -> list[str]:
    return [f"- [{path.stem}]({path.name})" for path in paths]
