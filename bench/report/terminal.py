"""The summary that a run prints at its end: RD table, what could not be measured, where the results lie."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.interfaces import Measure
from bench.metrics.accuracy import interval
from bench.metrics.quality import PSNR_CEILING
from bench.report.rows import average, curve_names, load_runs, printed_mean
from bench.runner.run import RunReport

# Measures that are left out because a terminal is too narrow; rd.csv and the report have them.
_UNPRINTED = {"bpf", "psnr_of_mse", "rate_error"}


def print_run(done: RunReport) -> None:
    """Print a run's averages, the reasons of rows that are not measured, and notes.

    Parameters
    ----------
    done
        The summary of the run; its rows are read from its folder.
    """
    console = Console(markup=False)
    runs = load_runs([done.folder])
    table, measures = runs.table, {key: value for key, value in runs.measures.items() if key not in _UNPRINTED}
    if done.states["ok"]:
        for (dataset, task), part in average(table).groupby(["dataset", "task"], sort=False):
            what = f"{dataset}, {task}" if table["task"].nunique() > 1 else str(dataset)
            console.print(_table(what, part, measures))
    if capped := int(table["capped_frames"].sum()):
        console.print(
            f"{capped} evaluated frames equal their truth, or nearly, and count as {PSNR_CEILING:.0f} dB; "
            "rd.csv also has the PSNR of the mean MSE (psnr_of_mse)",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    reasons = table[table["status"].ne("ok")].groupby(["status", "codec", "reason"], sort=False).size()
    for (status, codec, reason), count in reasons.items():
        console.print(f"{status} {count} x {codec}: {reason}", highlight=False, soft_wrap=True)
    for note in done.notes:
        console.print(note, highlight=False, soft_wrap=True)
    counted = ", ".join(f"{count} {state}" for state, count in done.states.items() if count)
    console.print(f"{counted} in {done.seconds:.0f} s -> {done.folder}/rd.csv", highlight=False, soft_wrap=True)
    if done.states["ok"]:
        console.print(f"plots and tables: bench report {done.folder}", highlight=False, soft_wrap=True)


def _table(what: str, means: pd.DataFrame, measures: Mapping[str, Measure]) -> Table:
    """The averages of one dataset and task, a line for each rate point; columns without any figure are left out."""
    chains = dict.fromkeys(f"{line.extractor}+{line.analyzer}" for line in means.itertuples())
    title = f"{what}, {', '.join(chains)}: means over n sequences"
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False, header_style="bold")
    table.add_column("codec", overflow="fold")
    table.add_column("point", no_wrap=True)
    measures = {name: measure for name, measure in measures.items() if means[name].notna().any()}
    between = ("95 % interval",) if "accuracy" in measures else ()
    for name in ("n", *(measure.heading for measure in measures.values()), *between):
        table.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for line in means.assign(curve=curve_names(means)).to_dict("records"):
        curve = line["curve"]
        if previous and curve != previous:
            table.add_section()
        cells = [printed_mean(line, name, measure.digits) for name, measure in measures.items()]
        if between and (count := line["accuracy_count"]):
            cells.append("{:.3f} .. {:.3f}".format(*interval(line["accuracy"] * count, count)))
        table.add_row("" if curve == previous else curve, line["rate_point"], str(line["sequences"]), *cells)
        previous = curve
    return table
