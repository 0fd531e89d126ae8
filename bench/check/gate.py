"""``bench check`` and ``bench compare``: compare one run with another.

A row whose result is the same on every machine is compared exactly: its bits and the hash of its decoded frames. These
are the rows where neither codec nor extractor nor analyzer has learned weights, and both runs used the same external
binaries. All other rows are compared with a tolerance: curves by BD-rate and accuracy, points by quality. Slower rows
are listed, but never fail a check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.metrics.bd import LEAST_RATE, Curve, Verdict, bd_rate, mean_verdict
from bench.report.bd_table import compare_curves
from bench.report.rows import CURVE, Runs, codec_label, load_runs

# Rows of two runs that agree in these columns are compared; their conditions are compared by the cards.
_PLACE = (
    "dataset", "sequence", "segment", "task", "paradigm", "extractor", "analyzer", "codec", "options", "rate_point",
    "seed",
)  # fmt: skip
_CURVE = ("dataset", "task", "paradigm", "extractor", "analyzer", "codec", "preset", "options", "seed")
# Fields of the condition card that may differ: a check is for new weights of the same chain, too.
_WEIGHTS = ("extractor_sha256", "analyzer_sha256")
# Ratio of seconds above which a row is listed as slower.
_SLOWER = 1.5
# Curves of two runs that agree in these columns are compared by `bench compare`.
_CHAIN = [name for name in CURVE if name != "condition"]
_LABEL = _CHAIN.index("label")


class Finding(Enum):
    """The result of comparing one row or curve with the reference."""

    SAME = "same"
    BETTER = "better"
    CHANGED = "changed"
    WORSE = "worse"
    NEW = "new"
    ABSENT = "not measured"

    @property
    def bad(self) -> bool:
        """Whether it fails the check."""
        return self in {Finding.WORSE, Finding.CHANGED}


@dataclass(frozen=True)
class Line:
    """One line of a check: the finding for a row or curve, the row's or curve's name, and its figures as text."""

    finding: Finding
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Tolerance:
    """The losses that rows compared with tolerance may have.

    Attributes
    ----------
    bd_rate
        Percent of BD-rate of a curve; where there is no BD-rate, percent of its bits.
    psnr
        PSNR of a point, dB.
    ssim
        SSIM or MS-SSIM of a point.
    accuracy
        Mean accuracy of a curve, as share of its rows, from 0 to 1.
    """

    bd_rate: float = 1.0
    psnr: float = 0.05
    ssim: float = 0.002
    accuracy: float = 0.02


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes
    ----------
    lines
        One line for each row and for each curve that is compared with tolerance.
    advice
        A text for each row that became slower.
    exact, tolerant
        Number of rows that were compared exactly and with tolerance; rows that neither run measured are in neither.
    """

    lines: tuple[Line, ...]
    advice: tuple[str, ...]
    exact: int
    tolerant: int

    @property
    def absent(self) -> int:
        """Number of rows that neither run measured."""
        return sum(line.finding is Finding.ABSENT for line in self.lines)

    @property
    def counts(self) -> str:
        """The numbers of rows that were compared exactly, with tolerance and not at all, as text."""
        rest = f", {self.absent} measured in neither" if self.absent else ""
        return f"{self.exact} rows compared exactly, {self.tolerant} with tolerance{rest}"

    @property
    def failures(self) -> list[Line]:
        """The lines that fail the check: worse ones, and rows that differ though they are compared exactly."""
        return [line for line in self.lines if line.finding.bad]


def check_runs(run: Path, reference: Path, tolerance: Tolerance) -> Check:
    """Compare a run with a reference run.

    Parameters
    ----------
    run, reference
        Folders of the two runs.
    tolerance
        The losses that pass.

    Raises
    ------
    BenchError
        If the runs cannot be compared: one is unreadable, not finished or without a measured row, their conditions
        differ, or the reference has rows that the run does not have.
    """
    new, old = finished_run(run), finished_run(reference)
    pairs, added = paired(new, old, run, reference)
    compared = [pair for pair in pairs if "ok" in (pair[0].status, pair[1].status)]
    if not compared:
        raise BenchError(f"cannot compare: no row of {reference} was measured there or in {run}")
    exact = sum(exact for _, _, exact in compared)
    lines = [*compare_pairs(pairs, tolerance), *(Line(Finding.NEW, row_name(row)) for row in added)]
    return Check(tuple(lines), tuple(_advice(pairs)), exact, len(compared) - exact)


def compare_pairs(pairs: Sequence[Pair], tolerance: Tolerance) -> list[Line]:
    """The lines of a check: one for each pair of rows, and those of the curves that are compared with tolerance."""
    tolerant = [(now, before) for now, before, exact in pairs if not exact and "ok" in (now.status, before.status)]
    return [*(_row_line(*pair, tolerance) for pair in pairs), *_curve_lines(tolerant, tolerance)]


def finished_run(folder: Path) -> Runs:
    """Load a run and check that it can be compared.

    Raises
    ------
    BenchError
        If the run is unreadable, not finished, or has no measured row.
    """
    runs = load_runs([folder])
    if runs.documents[str(folder)]["status"] != "finished":
        raise BenchError(f"{folder} is not finished: rows are missing; `bench run` with --resume goes on with it")
    if not runs.table["status"].eq("ok").any():
        reasons = [text for text in runs.table["reason"].unique() if text]
        raise BenchError(f"no row of {folder} was measured" + (f"; the first says: {reasons[0]}" if reasons else ""))
    return runs


# A line of `Runs.table` as a named tuple of its columns, which takes half the memory of a dict.
Row = Any
# A row of the new run, the same row of the reference, and whether the two must be equal.
Pair = tuple[Row, Row, bool]
place = attrgetter(*_PLACE)
_curve = attrgetter(*_CURVE)


def paired(new: Runs, old: Runs, run: Path, reference: Path) -> tuple[list[Pair], list[Row]]:
    """Pair the rows of two runs, whose folders are `run` and `reference`.

    Returns
    -------
    tuple
        The pairs, and the rows that only the new run has.

    Raises
    ------
    BenchError
        If the old run has a row that the new one lacks, or their conditions differ.
    """
    ours, theirs = ({place(row): row for row in runs.table.itertuples(index=False)} for runs in (new, old))
    if missing := [row for where, row in theirs.items() if where not in ours]:
        raise BenchError(
            f"cannot compare: {len(missing)} of {len(theirs)} rows of {reference} are not in {run}, "
            f"the first is {row_name(missing[0])}"
        )
    cards = {**cards_of(new), **cards_of(old)}
    pairs = []
    for where, before in theirs.items():
        now = ours[where]
        first, second = cards[before.condition], cards[now.condition]
        if other := card_differences(first, second):
            raise BenchError(
                f"cannot compare {row_name(now)}: {other[0]} is {second.get(other[0])!r}, in {reference} "
                f"{first[other[0]]!r}"
            )
        if now.evaluated != before.evaluated:
            raise BenchError(
                f"cannot compare {row_name(now)}: its evaluated instants are {now.evaluated or 'none'}, in {reference} "
                f"{before.evaluated or 'none'}"
            )
        weights = (card[key] for card in (first, second) for key in _WEIGHTS)
        learned = any((now.weights_sha256, before.weights_sha256, *weights))
        pairs.append((now, before, not learned and now.codec_sha256 == before.codec_sha256))
    return pairs, [row for where, row in ours.items() if where not in theirs]


def card_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The fields, but for hashes of weights, in which two condition cards differ."""
    return [key for key in first if key not in _WEIGHTS and first[key] != second.get(key)]


def cards_of(runs: Runs) -> dict[str, dict[str, Any]]:
    """The condition cards of one run by their hash."""
    (document,) = runs.documents.values()
    cards: dict[str, dict[str, Any]] = document["conditions"]
    return cards


def row_name(row: Row) -> str:
    """The name of a row, different for each row; segment, seed and task are omitted where 0, 0 and reconstruction."""
    where = f"{row.dataset}/{row.sequence}" + (f"@{row.segment}" if row.segment else "")
    return f"{_curve_name(row)} {row.rate_point} {where}"


def _curve_name(row: Row) -> str:
    name = f"{row.paradigm} {codec_label(row.codec, row.preset, row.options)} [{row.extractor}+{row.analyzer}]"
    name += f" for {row.task}" if row.task != "reconstruction" else ""
    return name + (f" seed {row.seed}" if row.seed else "")


def _row_line(now: Row, before: Row, exact: bool, tolerance: Tolerance) -> Line:
    name = row_name(now)
    if now.status != before.status:
        finding = Finding.WORSE if before.status == "ok" else Finding.BETTER
        return Line(finding, name, f"{before.status} -> {now.status} {now.reason}".rstrip())
    if now.status != "ok":
        return Line(Finding.ABSENT, name, f"{now.status}: {now.reason}")
    detail = f"{before.bits:.0f} -> {now.bits:.0f} bits ({100 * (now.bits / before.bits - 1):+.2f} %)"
    if pd.notna(now.psnr) and pd.notna(before.psnr):
        detail += f", {before.psnr:.3f} -> {now.psnr:.3f} dB"
    same = now.bits == before.bits and now.decoded_sha256 == before.decoded_sha256
    if same and _close(now.psnr, before.psnr):
        return Line(Finding.SAME, name)
    if exact:
        return Line(Finding.CHANGED, name, detail)
    lost = [
        measure
        for measure, limit in (("psnr", tolerance.psnr), ("ssim", tolerance.ssim), ("ms_ssim", tolerance.ssim))
        if _lost(getattr(now, measure), getattr(before, measure), limit)
    ]
    return Line(Finding.WORSE if lost else Finding.SAME, name, detail)


def _lost(now: float, before: float, limit: float) -> bool:
    """Whether a measure fell by more than its limit, or is missing now; two infinite values are equal."""
    return bool(pd.notna(before) and now != before and not before - now <= limit)


def _close(now: float, before: float) -> bool:
    """Whether two values are equal up to a metric's rounding on another machine; two missing values are equal."""
    if pd.isna(now) or pd.isna(before):
        return bool(pd.isna(now) and pd.isna(before))
    return now == before or abs(now - before) < 1e-3


def _curve_lines(pairs: Iterable[tuple[Row, Row]], tolerance: Tolerance) -> list[Line]:
    """A line with the BD-rate of every curve, or where there is none, with its change of bits; and its accuracy."""
    curves: dict[tuple[Any, ...], list[tuple[Row, Row]]] = {}
    for pair in pairs:
        if pair[0].status == pair[1].status == "ok":
            curves.setdefault(_curve(pair[0]), []).append(pair)
    lines = []
    for rows in curves.values():
        now = rows[0][0]
        name = f"{_curve_name(now)}, curve on {now.dataset}"
        lines += _accuracy_lines(rows, name, tolerance)
        verdict = _bd(rows)
        if verdict.value is not None:
            finding = Finding.SAME
            if abs(verdict.value) > tolerance.bd_rate:
                finding = Finding.WORSE if verdict.value > 0 else Finding.BETTER
            lines.append(Line(finding, name, f"BD-rate {verdict.text()} %"))
            continue
        ratio = sum(now.bits for now, _ in rows) / sum(before.bits for _, before in rows)
        worse = 100 * (ratio - 1) > tolerance.bd_rate
        detail = f"bits {100 * (ratio - 1):+.2f} % (no BD-rate: {verdict.reason})"
        lines.append(Line(Finding.WORSE if worse else Finding.SAME, name, detail))
    return lines


def _accuracy_lines(rows: list[tuple[Row, Row]], name: str, tolerance: Tolerance) -> list[Line]:
    """A line with a curve's mean accuracy over all its rows: a single row is only right or wrong. Empty without any."""
    known = [(now.accuracy, before.accuracy) for now, before in rows if pd.notna(before.accuracy)]
    if not known:
        return []
    now, before = (sum(side) / len(known) for side in zip(*known, strict=True))
    lost = not before - now <= tolerance.accuracy  # also true where a row has no accuracy now (NaN)
    return [
        Line(Finding.WORSE if lost else Finding.SAME, name, f"accuracy {before:.4f} -> {now:.4f} ({len(known)} rows)")
    ]


def _bd(rows: Iterable[tuple[Row, Row]]) -> Verdict:
    """Mean BD-rate over sequences; `paired` has checked that the conditions agree."""
    sequences: dict[tuple[str, int], list[tuple[Row, Row]]] = {}
    for pair in rows:
        sequences.setdefault((pair[0].sequence, pair[0].segment), []).append(pair)
    verdicts = {}
    for (name, segment), part in sequences.items():
        now, before = (
            Curve(tuple(row.bits for row in side), tuple(row.psnr for row in side)) for side in zip(*part, strict=True)
        )
        verdicts[f"{name}@{segment}"] = bd_rate(before, now, others=False)
    return mean_verdict(verdicts, LEAST_RATE)


def _advice(pairs: Iterable[Pair]) -> list[str]:
    """A text for each row that became slower, among the rows that were timed in both runs."""
    slower = []
    for now, before, _ in pairs:
        for kind in ("encode", "decode"):
            ours, theirs = (getattr(row, f"{kind}_seconds") for row in (now, before))
            if pd.notna(ours) and pd.notna(theirs) and ours > _SLOWER * theirs:
                slower.append(f"{row_name(now)}: {kind} {theirs:.2f} -> {ours:.2f} s")
    return slower


def compare_runs(first: Path, second: Path) -> tuple[pd.DataFrame, list[str]]:
    """BD figures of every curve that two runs share, the second run against the first.

    Returns
    -------
    tuple
        One line per quality and curve (`bench.report.bd_table.compare_curves`), and a note for each run that has curves
        of its own.

    Raises
    ------
    BenchError
        If one of the runs is not finished or has no measured row, or they share no curve.
    """
    tables = [finished_run(folder).table for folder in (first, second)]
    table = compare_curves(*tables)
    if table.empty:
        raise BenchError(f"{first} and {second} have no curve in common")
    shared = set(table[_CHAIN].itertuples(index=False, name=None))
    notes = []
    for folder, rows in zip((first, second), tables, strict=True):
        own = set(rows.loc[rows["status"].eq("ok"), _CHAIN].itertuples(index=False, name=None)) - shared
        if own:
            notes.append(f"only in {folder}: {len(own)} curves, of {', '.join(sorted({line[_LABEL] for line in own}))}")
    return table, notes
