"""``bench explain --run``: measures rows again with the present code, and compares them with those of earlier runs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.check.gate import (
    Finding,
    Line,
    Tolerance,
    card_differences,
    cards_of,
    compare_pairs,
    paired,
    place,
    row_name,
)
from bench.errors import BenchError
from bench.registry import check_foreign
from bench.report.rows import Runs, load_runs
from bench.request import ProgressBar, Request, choose, measure
from bench.results.rows import RD_FILE
from bench.runner.spec import named_components


@dataclass(frozen=True)
class Again:
    """One row that was measured again.

    Attributes
    ----------
    name
        The row's name, as in `bench check`.
    run
        Folder of the run that has the earlier row.
    figures
        Title, earlier value, value of now, and number of decimals: bits, then each measure that either row has, but for
        those that follow from the bits.
    """

    name: str
    run: str
    figures: tuple[tuple[str, float, float, int], ...]


@dataclass(frozen=True)
class Outcome:
    """What measuring again gave.

    Attributes
    ----------
    rows
        The rows.
    differences
        What is not equal within the gate's tolerance.
    """

    rows: tuple[Again, ...]
    differences: tuple[Line, ...]


def measure_again(fields: Mapping[str, Any], folders: Sequence[Path], trusted: bool, bar: ProgressBar) -> Outcome:
    """Measure a grid again, into temporary folders and with an empty store, and compare its rows with those of runs.

    Two rows are equal within the gate's tolerance if neither is worse than the other (`bench.check.gate`).

    Parameters
    ----------
    fields
        Fields of `bench.runner.spec.RunSpec`, from a file of anyone.
    folders
        Runs that may have the earlier rows. Of several that have a row, the one that started last counts.
    trusted
        Whether the grid may name files and programs to be run.
    bar
        See `bench.request.measure`.

    Raises
    ------
    BenchError
        If the grid names a file or program and is not trusted, nothing of it can be measured here, or no run has one of
        its rows.
    """
    if not trusted:
        for base, spec in named_components(fields):
            check_foreign(base, spec, "the command", "give --trust if it is your own")
    suite, plan = choose(**fields)
    if absent := next((job.skip for job in plan.jobs if job.skip), ""):
        raise BenchError(f"cannot be measured here: {absent}")
    with tempfile.TemporaryDirectory(prefix="bench-again-") as name:
        folder = Path(name)
        report = measure(Request(suite, plan, folder / "run", figures=False, store=folder / "store"), bar).report
        now = load_runs([report.folder])
        skipped = now.table.loc[now.table["status"].eq("skipped"), "reason"]
        if len(skipped):
            raise BenchError(f"cannot be measured here: {skipped.iloc[0]}")
        pairs = list(_earlier(now, folders))
    if not pairs:
        raise BenchError("measured, but no run has these rows to compare with; --results names the folder of the runs")
    rows, differences = [], []
    for new, old in pairs:
        run = next(iter(old.documents))
        matched, _ = paired(new, old, Path("the present code"), Path(run))
        other_way = [(before, after, exact) for after, before, exact in matched]
        lines = [*compare_pairs(matched, Tolerance()), *compare_pairs(other_way, Tolerance())]
        differences += [line for line in lines if line.finding is Finding.CHANGED or line.finding is Finding.WORSE]
        lines_now, lines_then = _lines(new), _lines(old)
        for after, before, _ in matched:
            figures = _figures(new, old, lines_now[place(after)], lines_then[place(before)])
            rows.append(Again(row_name(before), run, tuple(figures)))
    return Outcome(tuple(rows), tuple({line.name: line for line in reversed(differences)}.values()))


def _earlier(now: Runs, folders: Sequence[Path]) -> Iterator[tuple[Runs, Runs]]:
    """For each run that has rows of `now` under the same rules: these rows of now, and of then."""
    runs = [load_runs([folder]) for folder in folders if (folder / RD_FILE).is_file()]
    new_rows = {place(row): row for row in now.table.itertuples(index=False)}
    cards = cards_of(now)
    for old in sorted(runs, key=_started, reverse=True):
        old_rows = [
            row
            for row in old.table[old.table["status"].eq("ok")].itertuples(index=False)
            if place(row) in new_rows
            and row.evaluated == new_rows[place(row)].evaluated
            and not card_differences(cards_of(old)[row.condition], cards[new_rows[place(row)].condition])
        ]
        if old_rows:
            jobs = {new_rows[place(row)].job for row in old_rows}
            yield _part(now, jobs), _part(old, {row.job for row in old_rows})
            for row in old_rows:
                del new_rows[place(row)]


def _part(runs: Runs, jobs: set[str]) -> Runs:
    return Runs(runs.table[runs.table["job"].isin(jobs)].reset_index(drop=True), runs.documents)


def _started(runs: Runs) -> str:
    (document,) = runs.documents.values()
    return str(document["provenance"][-1].get("started", ""))


def _figures(
    new: Runs, old: Runs, now: dict[Any, Any], then: dict[Any, Any]
) -> Iterator[tuple[str, float, float, int]]:
    """The figures of one row, see `Again`."""
    yield "bits", then["bits"], now["bits"], 0
    for name in dict.fromkeys([*new.measures, *old.measures]):
        before, after = (_or_nan(line.get(name)) for line in (then, now))
        if name not in ("bpp", "bpf") and not (math.isnan(before) and math.isnan(after)):
            known = new if name in new.measures else old
            yield known.measure_title(name), before, after, known.measures[name].digits


def _lines(runs: Runs) -> dict[tuple[Any, ...], dict[Any, Any]]:
    """The rows by their places, with columns of any name: a named tuple has no field of a task's own measure."""
    return {
        place(row): line
        for row, line in zip(runs.table.itertuples(index=False), runs.table.to_dict("records"), strict=True)
    }


def _or_nan(value: object) -> float:
    return float("nan") if value is None or pd.isna(value) else float(str(value))
