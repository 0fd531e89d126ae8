"""BD-rate and BD-PSNR of every pair of curves, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from bench.metrics.bd import LEAST_RATE, METHODS, Curve, Verdict, bd_quality, bd_rate, mean_verdict
from bench.metrics.measures import MEASURES, PSNR
from bench.names import file_name
from bench.published import published
from bench.report.rows import CURVE, Runs, curve_names, judged, per_sequence

# For each column of the paper's Table IV, the codecs that are compared with it.
_TABLE_IV = {"VTM": ("vtm", "vvenc"), "DCVC": ("dcvc",), "DCVC-DC": ("dcvc-dc",)}
# Codecs that implement VVC, the reference before others.
VVC = ("vtm", "vvenc")
# Curves of two runs that agree in these columns are compared. The condition is not among them: curves under different
# conditions get a verdict that says so, instead of no line.
_CHAIN = [name for name in CURVE if name != "condition"]
# Quality measures that every run has.
QUALITIES = tuple(measure.name for measure in MEASURES if measure.quality)


def bd_table(points: pd.DataFrame, qualities: Sequence[str] = QUALITIES) -> pd.DataFrame:
    """Compare all pairs of curves: one line per dataset, task, quality, anchor and test.

    Parameters
    ----------
    points
        Lines of `per_sequence`.
    qualities
        Columns of the measures to compare by. One that no row of a dataset has gives no lines for that dataset, except
        that datasets with PSNR always get lines for `QUALITIES`.

    Returns
    -------
    pandas.DataFrame
        ``bd_rate`` (percent) and ``bd_quality`` are means over the figures of single sequences; ``pooled`` is the
        BD-rate between the mean curves; ``verdict`` is `bd_rate` as text, or why there is none; ``ranked`` is
        `Verdict.ranked`. Curves of fewer than two rate points are left out.
    """
    lines: list[dict[str, Any]] = []
    for (dataset, task), rows in _named(points).groupby(["dataset", "task"], sort=False):
        # Where results are pictures, every quality gets a line, if only to say why there is no figure. BD-rates over
        # accuracy have a table of their own.
        always = QUALITIES if rows["psnr"].notna().any() else ()
        present = [name for name in qualities if name in always or rows[name].notna().any()]
        if not present:
            continue
        curves = {name: part for name, part in rows.groupby("curve", sort=False) if part["rate_point"].nunique() > 1}
        for quality in present:
            sets = {name: _CurveSet(part, quality) for name, part in curves.items()}
            for anchor, test in permutations(sets, 2):
                place = {"dataset": dataset, "task": task, "quality": quality, "anchor": anchor, "test": test}
                lines.append(place | _compare(sets[anchor], sets[test]))
    return pd.DataFrame(lines)


def bd_against(points: pd.DataFrame, anchor: str, quality: str) -> pd.DataFrame:
    """Compare the curves of one dataset and task with one of them: the lines of `bd_table` that have it as anchor.

    Parameters
    ----------
    points
        Lines of `per_sequence`, of one dataset and task.
    anchor
        Name of the curve (`bench.report.rows.curve_names`).
    quality
        Column of the measure to compare by.
    """
    sets = {str(name): _CurveSet(part, quality) for name, part in _named(points).groupby("curve", sort=False)}
    lines = [{"test": test, **_compare(sets[anchor], sets[test])} for test in sets if test != anchor]
    return pd.DataFrame(lines, columns=None if lines else ["test", "bd_rate"])


def compare_curves(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Compare two runs: one line per quality and common curve.

    Parameters
    ----------
    first, second
        Tables of rows (`Runs.table`). `first` is the anchor, `second` the test.
    """
    lines: list[dict[str, Any]] = []
    others = dict(iter(_named(per_sequence(second)).groupby(_CHAIN, sort=False)))
    for chain, rows in _named(per_sequence(first)).groupby(_CHAIN, sort=False):
        if chain in others:
            place = {**dict(zip(_CHAIN, chain, strict=True)), "curve": rows["curve"].iloc[0]}
            for name in QUALITIES:
                figures = _compare(_CurveSet(rows, name), _CurveSet(others[chain], name))
                lines.append({**place, "quality": name, **figures})
    return pd.DataFrame(lines)


def in_order(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of `bd_table` of one anchor, the fewest bits first; figures that rank no codec follow, then the others."""
    return lines.sort_values(["ranked", "bd_rate"], ascending=[False, True], kind="stable")


def main_qualities(qualities: Iterable[str]) -> list[str]:
    """The qualities that have plots and matrices of their own: PSNR and those of tasks. bd.csv has all of them."""
    return [name for name in qualities if name not in QUALITIES or name == PSNR.name]


def matrices(bd: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs (dataset, quality) that get a matrix of BD-rates."""
    lines = bd[bd["quality"].isin(main_qualities(bd["quality"].unique()))]
    return list(lines[["dataset", "quality"]].drop_duplicates().itertuples(index=False, name=None))


def matrix_title(runs: Runs, dataset: str, quality: str) -> str:
    """The heading of a matrix: the dataset, and the quality where it is not PSNR."""
    return dataset if quality == PSNR.name else f"{dataset}, by {runs.measure_title(quality)}"


def set_file(dataset: str, quality: str) -> str:
    """The part of a file's name that names dataset and quality; PSNR is not named."""
    return file_name(dataset) if quality == PSNR.name else f"{file_name(dataset)}_{file_name(quality)}"


def matrix_file(dataset: str, quality: str) -> str:
    """Name of a matrix's files, without suffix."""
    return f"bd_matrix_{set_file(dataset, quality)}"


def first_reference(curves: pd.DataFrame, figures: Callable[[str], int]) -> str:
    """The curve that others are compared with first: VVC, where it is among the curves.

    VTM comes before libvvenc, CAAS before other paradigms, a codec without options before its variants (other presets,
    say), and then the curve that most others have a figure against.

    Parameters
    ----------
    curves
        One line per curve, with the columns ``curve``, ``codec``, ``options`` and ``paradigm``.
    figures
        The number of curves that have a BD-rate against the one of this name.
    """
    ranks = {
        curve: (VVC.index(codec) if codec in VVC else len(VVC), paradigm != "caas", bool(options))
        for curve, codec, paradigm, options in zip(
            *(curves[name].astype(str) for name in ("curve", "codec", "paradigm", "options")), strict=True
        )
    }
    first = min(ranks.values())
    return max((curve for curve, rank in ranks.items() if rank == first), key=figures)


def reference(runs: Runs, bd: pd.DataFrame, dataset: str, quality: str) -> str:
    """The curve that a set's curves are compared with first (`first_reference`)."""
    lines = bd[bd["dataset"].eq(dataset) & bd["quality"].eq(quality)]
    figures = lines.groupby("anchor", sort=False)["bd_rate"].count()
    points = _named(runs.points).query("dataset == @dataset").drop_duplicates("curve").set_index("curve")
    curves = points.loc[figures.index].reset_index(names="curve")
    curves["options"] = runs.table.loc[curves["first"], "options"].to_numpy()
    return first_reference(curves, lambda curve: int(figures[curve]))


def matrix(bd: pd.DataFrame, dataset: str, quality: str = "psnr") -> pd.DataFrame:
    """BD-rate of each test (row) against each anchor (column) as text: percent, or why there is none."""
    lines = bd[(bd["dataset"] == dataset) & (bd["quality"] == quality)]
    order = list(dict.fromkeys(lines["anchor"]))
    cells = lines.pivot_table(index="test", columns="anchor", values="verdict", aggfunc="first")
    return cells.reindex(index=order, columns=order).fillna("")


def table_iv(runs: Runs, bd: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table IV: measured and published BD-rates of SCI against other codecs under CAAS.

    The published column of VTM (VVC) is compared with both VTM and libvvenc. A pair has no line where one of its curves
    was not measured.
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
    """Lines of `per_sequence` with a column ``curve``, the name of their curve."""
    return points.assign(curve=curve_names(points))


class _CurveSet:
    """One codec's curves, for each sequence and of means over sequences; each is built once for all its comparisons."""

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
        """The curve of a sequence; a curve without points if the sequence has none."""
        return self._curves.get(sequence) or self._make(self._rows[:0])

    def pooled(self, sequences: list[str]) -> Curve:
        """The curve of means over these sequences; rate points that one of them lacks are left out."""
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
    """The columns of bd.csv for one pair of curve sets, over the sequences of both."""
    names = list(dict.fromkeys([*anchor.sequences, *test.sequences]))
    pairs = {name: (anchor.curve(name), test.curve(name)) for name in names}
    rate = mean_verdict({name: bd_rate(*pair) for name, pair in pairs.items()}, LEAST_RATE)
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
        "ranked": rate.ranked,
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
    """A verdict's text with its interval."""
    text = verdict.text()
    if verdict.value is not None and verdict.interval:
        text += f" ({verdict.interval[0]:+.1f} .. {verdict.interval[1]:+.1f})"
    return text
