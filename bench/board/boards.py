"""The boards: entries of one dataset, task and condition card, compared with one reference among them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.board.entries import Submission, verified_words
from bench.errors import BenchError
from bench.interfaces import Measure
from bench.metrics.bd import Verdict
from bench.metrics.measures import MEASURES
from bench.report.bd_table import VVC, bd_against, first_reference, main_qualities
from bench.report.rows import Runs, curve_names, mean_points

# Columns that the rows of one board agree in. Rows under different cards never meet.
BOARD = ["dataset", "data", "task", "condition"]
_NO_FIGURE = float("inf")
_ACCURACY = "accuracy"


@dataclass(frozen=True)
class Entry:
    """A line of a board: one curve of one submission.

    Attributes
    ----------
    submission
        The submission.
    curve
        Name of the curve, as the figure shows it.
    codec, paradigm
        Codec with its preset and options, and paradigm.
    weights
        First digits of the SHA-256 of its weights; empty without.
    verdict
        BD-rate against the reference, or why there is none.
    remark
        A warning about that figure; empty where there is none.
    rates, quality
        Ranges of the mean curve.
    measured
        Numbers of rate points and sequences, and what was not measured.
    state, words
        How far it was verified: ``full``, ``part`` or ``none``, and words.
    """

    submission: Submission
    curve: str
    codec: str
    paradigm: str
    weights: str
    verdict: str
    remark: str
    rates: str
    quality: str
    measured: str
    state: str
    words: str


@dataclass(frozen=True)
class Board:
    """The entries of one dataset, task and condition card.

    Attributes
    ----------
    dataset, data, task, condition
        What its entries agree in; `data` tells recordings of one name apart and is empty for a dataset of the suite.
    card
        The condition card.
    quality
        Column and measure that entries are compared by; None where nothing was measured.
    reference
        Name of the curve that BD-rates are against; empty if no curve may be it.
    is_named
        Whether the board's maintainer names it.
    is_vvc
        Whether that is a codec of VVC.
    entries
        The entries, the lowest BD-rate first.
    table
        Its rows.
    """

    dataset: str
    data: str
    task: str
    condition: str
    card: dict[str, Any]
    quality: tuple[str, Measure] | None
    reference: str
    is_named: bool
    is_vvc: bool
    entries: tuple[Entry, ...]
    table: pd.DataFrame


def make_boards(submissions: Sequence[Submission], references: Sequence[str] = ()) -> list[Board]:
    """Sort the curves of all submissions into boards.

    Parameters
    ----------
    references
        Curves that the maintainer names as references, each as ``ARCHIVE`` or ``ARCHIVE#CURVE``. A board without any
        of them takes a curve that is verified in full, if it has one.

    Raises
    ------
    BenchError
        If no board has a curve of one of `references`.
    """
    tables = [submission.table.astype(dict.fromkeys(BOARD, str)) for submission in submissions]
    table = pd.concat(tables, ignore_index=True)
    documents = {submission.archive.name: submission.document for submission in submissions}
    numbers = {submission.number: submission for submission in submissions}
    boards = []
    for key, rows in table.groupby(BOARD, sort=True):
        part = Runs(rows.reset_index(drop=True), documents)
        if len(part.points):
            boards.append(_board(part, [str(value) for value in key], numbers, references))
    named = {
        name
        for board in boards
        for entry in board.entries
        for name in _named(entry.submission, entry.curve, references)
    }
    if lacking := [name for name in references if name not in named]:
        raise BenchError(f"no board has a curve of '{lacking[0]}', which is named as a reference")
    return boards


def _board(runs: Runs, key: list[str], submissions: dict[int, Submission], references: Sequence[str]) -> Board:
    points = runs.points.assign(curve=curve_names(runs.points))
    first = runs.table.loc[points["first"]].set_axis(points.index)
    weights = first["weights_sha256"].astype(str)
    points = points.assign(submission=first["submission"], weights=weights, options=first["options"])
    quality = _quality(runs)
    against = functools.cache(lambda curve: _against(points, curve, quality))
    names = curve_names(runs.table)
    curves = points.drop_duplicates("curve")
    entries: dict[str, dict[str, Any]] = {}
    for curve, part in points.groupby("curve", sort=False):
        submission = submissions[int(part["submission"].iloc[0])]
        entries[str(curve)] = _entry(runs, str(curve), part, runs.table[names.eq(curve)], submission, quality)
    named = [curve for curve, entry in entries.items() if _named(entry["submission"], curve, references)]
    candidates = named or [curve for curve, entry in entries.items() if entry["state"] == "full"]
    reference = ""
    if candidates:
        able = curves[curves["curve"].isin(candidates)]
        reference = first_reference(able, lambda curve: int(against(curve)["bd_rate"].count()))
    verdicts = {line["test"]: line for line in against(reference).to_dict("records")} if reference else {}
    unknown = "(no quality was measured)" if reference else "(no reference)"
    ranked = []
    for curve, entry in entries.items():
        line = verdicts.get(curve, {})
        verdict = "reference" if curve == reference else line.get("verdict", unknown)
        board_entry = Entry(**entry, verdict=verdict, remark=str(line.get("remark", "")))
        ranked.append((_place(line, curve == reference), board_entry.curve, board_entry))
    ordered = tuple(entry for _, _, entry in sorted(ranked, key=lambda item: item[:2]))
    card = next(s.document["conditions"][key[3]] for s in submissions.values() if key[3] in s.document["conditions"])
    measure = (quality, runs.measures[quality]) if quality else None
    is_vvc = curves["codec"][curves["curve"].eq(reference)].isin(VVC).any()
    dataset, data, task, condition = key
    return Board(
        dataset, data, task, condition, card, measure, reference, bool(named), bool(is_vvc), ordered, runs.table
    )


def _named(submission: Submission, curve: str, references: Sequence[str]) -> list[str]:
    """The `references` that name a curve: by its archive alone, or with the curve's name, which then has no number."""
    archive, name = submission.archive.name, curve.replace(f" #{submission.number}", "", 1)
    return [stated for stated in references if stated in (archive, f"{archive}#{name}")]


def _place(line: dict[str, Any], is_reference: bool) -> float:
    """What entries are sorted by: the BD-rate, where codecs may be ranked by it (`Verdict.ranked`)."""
    if is_reference:
        return 0.0
    if not line or not line["ranked"]:
        return _NO_FIGURE
    return float(line["bd_rate"])


def _quality(runs: Runs) -> str:
    """Column of the measure that curves are compared by: PSNR, else the task's own, else accuracy; empty if none."""
    present = [name for name in (*main_qualities(runs.qualities), _ACCURACY) if runs.points[name].notna().any()]
    return present[0] if present else ""


def _against(points: pd.DataFrame, reference: str, quality: str) -> pd.DataFrame:
    """The entries against the reference; accuracy, which is 0 or 1 for a sequence, is compared between mean curves."""
    if not quality:
        return pd.DataFrame(columns=["bd_rate"])
    table = bd_against(points, reference, quality)
    if quality != _ACCURACY or table.empty:
        return table
    verdicts = [
        f"({reason})" if pd.isna(value) else Verdict(value).text()
        for value, reason in zip(table["pooled"], table["pooled_reason"], strict=True)
    ]
    return table.assign(bd_rate=table["pooled"], verdict=verdicts, ranked=table["pooled"].notna(), remark="")


def _entry(
    runs: Runs, curve: str, part: pd.DataFrame, rows: pd.DataFrame, submission: Submission, quality: str
) -> dict[str, Any]:
    """The fields of an entry but those of its BD-rate."""
    means, head = mean_points(part), part.iloc[0]
    done = rows[rows["status"].eq("ok")]
    missing = len(rows) - len(done)
    state, words = verified_words(submission, done["job"].astype(str))
    return {
        "submission": submission,
        "curve": curve,
        "codec": str(head["label"]).removesuffix(f" #{submission.number}"),
        "paradigm": str(head["paradigm"]).upper(),
        "weights": str(head["weights"])[:12],
        "rates": _range(means["bpp"], next(measure.digits for measure in MEASURES if measure.name == "bpp")),
        "quality": _range(means[quality].dropna(), runs.measures[quality].digits) if quality else "",
        "measured": ", ".join(
            _count(number, word)
            for number, word in (
                (means["rate_point"].nunique(), "point"),
                (part["sequence"].nunique(), "sequence"),
                (missing, "row not measured"),
            )
            if number
        ),
        "state": state,
        "words": words,
    }


def _range(values: pd.Series, digits: int) -> str:
    ends = list(dict.fromkeys(f"{value:.{digits}f}" for value in (values.min(), values.max()))) if len(values) else []
    return " to ".join(ends)


def _count(number: int, word: str) -> str:
    first, *rest = word.split(" ", 1)
    return " ".join([str(number), first + ("" if number == 1 else "s"), *rest])
