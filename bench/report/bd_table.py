"""Every curve against every other: BD-rate and BD-PSNR with verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from bench.metrics.bd import METHODS, Curve, Verdict, bd_quality, bd_rate, mean_verdict
from bench.metrics.measures import MEASURES, PSNR
from bench.published import published
from bench.report.rows import CURVE, Runs, curve_names, judged, per_sequence

# Codecs that stand beside a column of the paper's Table IV.
_TABLE_IV = {"VTM": ("vtm", "vvenc"), "DCVC": ("dcvc",), "DCVC-DC": ("dcvc-dc",)}
# What makes a curve of one run the other's counterpart; where conditions differ, the verdict says so.
_CHAIN = [name for name in CURVE if name != "condition"]
# Measures of every run that curves are compared by.
QUALITIES = tuple(measure.name for measure in MEASURES if measure.quality)


def bd_table(points: pd.DataFrame, qualities: Sequence[str] = QUALITIES) -> pd.DataFrame:
    """One line per dataset, quality, anchor and test, of the points that `per_sequence` gives.

    Parameters
    ----------
    qualities
        Columns of measures to compare by; where no row of a dataset has one, there is nothing to compare.

    ``bd_rate`` (percent) and ``bd_quality`` are per-sequence figures averaged, ``pooled`` is the BD-rate of the
    mean curves. Only curves with at least two rate points are compared; those with fewer are no curves.
    """
    lines: list[dict[str, Any]] = []
    for (dataset, task), rows in _named(points).groupby(["dataset", "task"], sort=False):
        # Of pictures, every quality has a line, if only to say why there is no figure; accuracy has a table of its own.
        of_pictures = QUALITIES if rows["psnr"].notna().any() else ()
        compared = [name for name in qualities if name in of_pictures or rows[name].notna().any()]
        if not compared:
            continue
        curves = {name: part for name, part in rows.groupby("curve", sort=False) if part["rate_point"].nunique() > 1}
        for quality in compared:
            sets = {name: _CurveSet(part, quality) for name, part in curves.items()}
            for anchor, test in permutations(sets, 2):
                place = {"dataset": dataset, "task": task, "quality": quality, "anchor": anchor, "test": test}
                lines.append(place | _compare(sets[anchor], sets[test]))
    return pd.DataFrame(lines)


def compare_curves(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One line per quality and curve that two runs' tables share: the second against the first."""
    lines: list[dict[str, Any]] = []
    others = dict(iter(_named(per_sequence(second)).groupby(_CHAIN, sort=False)))
    for chain, rows in _named(per_sequence(first)).groupby(_CHAIN, sort=False):
        if chain in others:
            place = {**dict(zip(_CHAIN, chain, strict=True)), "curve": rows["curve"].iloc[0]}
            for name in QUALITIES:
                compared = _compare(_CurveSet(rows, name), _CurveSet(others[chain], name))
                lines.append({**place, "quality": name, **compared})
    return pd.DataFrame(lines)


def main_qualities(qualities: Iterable[str]) -> list[str]:
    """Those that figures and matrices show; of the others bd.csv has the figures."""
    return [name for name in qualities if name not in QUALITIES or name == PSNR.name]


def matrices(bd: pd.DataFrame) -> list[tuple[str, str]]:
    """Datasets and qualities that have a matrix of BD-rates."""
    chosen = bd[bd["quality"].isin(main_qualities(bd["quality"].unique()))]
    return list(chosen[["dataset", "quality"]].drop_duplicates().itertuples(index=False, name=None))


def matrix(bd: pd.DataFrame, dataset: str, quality: str = "psnr") -> pd.DataFrame:
    """BD-rate of each test (row) against each anchor (column), as text: percent, or why there is none."""
    chosen = bd[(bd["dataset"] == dataset) & (bd["quality"] == quality)]
    order = list(dict.fromkeys(chosen["anchor"]))
    cells = chosen.pivot_table(index="test", columns="anchor", values="verdict", aggfunc="first")
    return cells.reindex(index=order, columns=order).fillna("")


def table_iv(runs: Runs, bd: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table IV: BD-rate of SCI against others under CAAS, measured beside published.

    libvvenc stands beside VTM in the column of VVC. Lines are missing where a curve is.
    """
    curves = _named(runs.points).drop_duplicates(["dataset", "curve"])
    rows = {(line["dataset"], line["curve"]): runs.curve(line) for line in curves.to_dict("records")}
    names = curves.loc[curves["paradigm"] == "caas", ["dataset", "task", "codec", "curve"]]
    tests, anchors = names[names["codec"] == "sci"], names.rename(columns={"codec": "other", "curve": "anchor"})
    pairs = tests.rename(columns={"curve": "test"}).merge(anchors, on=["dataset", "task"])
    pairs = pairs.merge(bd[bd["quality"] == "psnr"], on=["dataset", "task", "anchor", "test"])
    lines = [
        {
            "dataset": pair["dataset"], "test": pair["test"], "against": pair["anchor"],
            "measured [%]": pair["verdict"],
            "published [%]": line["value"], "published against": line["column"],
            "command": runs.command(
                rows[pair["dataset"], pair["test"]] | rows[pair["dataset"], pair["anchor"]]
            ) + " && bench report RUN RUN",
        }
        for pair in pairs.to_dict("records")
        for line in published()
        if line["table"] == "IV" and pair["other"] in _TABLE_IV[line["column"]]
    ]  # fmt: skip
    return pd.DataFrame(lines)


def _named(points: pd.DataFrame) -> pd.DataFrame:
    """Points of each sequence, with their curve's name."""
    return points.assign(curve=curve_names(points))


class _CurveSet:
    """One curve for each sequence and the pooled ones; each is made once, however many it is compared with."""

    def __init__(self, rows: pd.DataFrame, quality: str) -> None:
        self._rows = rows
        self._quality = quality
        self.condition = str(rows["condition"].iloc[0])
        self._curves = {str(name): self._make(part) for name, part in rows.groupby("sequence", sort=False)}
        self._pooled: dict[frozenset[str], Curve] = {}

    @property
    def sequences(self) -> list[str]:
        return list(self._curves)

    def curve(self, sequence: str) -> Curve:
        """A sequence's curve; one without points where there is none."""
        return self._curves.get(sequence) or self._make(self._rows[:0])

    def pooled(self, sequences: list[str]) -> Curve:
        """The curve of means over sequences; rate points that not all of these sequences have are left out."""
        key = frozenset(sequences)
        if key not in self._pooled:
            rows = judged(self._rows[self._rows["sequence"].isin(sequences)], self._quality)
            groups = rows.groupby("rate_point", sort=False)
            self._pooled[key] = self._make(groups[["bpp", self._quality]].mean()[groups.size() == len(sequences)])
        return self._pooled[key]

    def _make(self, rows: pd.DataFrame) -> Curve:
        instants = str(rows["evaluated"].iloc[0]) if "evaluated" in rows and len(rows) else ""
        return Curve(tuple(rows["bpp"]), tuple(rows[self._quality]), self.condition, instants)


def _compare(anchor: _CurveSet, test: _CurveSet) -> dict[str, Any]:
    names = list(dict.fromkeys([*anchor.sequences, *test.sequences]))
    pairs = {name: (anchor.curve(name), test.curve(name)) for name in names}
    rate = mean_verdict({name: bd_rate(*pair) for name, pair in pairs.items()})
    gain = mean_verdict({name: bd_quality(*pair, others=False) for name, pair in pairs.items()})
    pooled = bd_rate(anchor.pooled(names), test.pooled(names), others=False)
    return {
        "verdict": _short(rate),
        "bd_rate": rate.value,
        "low": rate.interval[0] if rate.interval else None,
        "high": rate.interval[1] if rate.interval else None,
        **{method: rate.others.get(method) for method in METHODS[1:]},
        "bd_quality": gain.value,
        "pooled": pooled.value,
        "overlap": rate.overlap,
        "sequences": rate.count[0],
        "asked": rate.count[1],
        "reason": rate.reason,
        "quality_sequences": gain.count[0],
        "quality_reason": gain.reason,
        "pooled_points": f"{len(anchor.pooled(names).rates)} and {len(test.pooled(names).rates)}",
        "pooled_reason": pooled.reason,
        "remark": rate.remark,
        "condition": anchor.condition
        if anchor.condition == test.condition
        else f"{anchor.condition} and {test.condition}",
    }


def _short(verdict: Verdict) -> str:
    text = verdict.text()
    if verdict.value is not None and verdict.interval:
        text += f" ({verdict.interval[0]:+.1f} .. {verdict.interval[1]:+.1f})"
    return text
