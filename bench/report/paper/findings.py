"""What the rows of a report say on the paper's claims (`bench.report.paper.claims`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.published import stated
from bench.report.rows import curve_names, judged, mean_points
from bench.report.sections import Material

_SAME = ["dataset", "task", "extractor", "analyzer", "label", "seed"]


@dataclass(frozen=True)
class Finding:
    """What the rows of one dataset say on a claim.

    Attributes
    ----------
    words
        The dataset and its figures.
    holds
        Whether they agree with the claim; None: in its direction, but by less, or not for all.
    command
        The command that measures them again.
    """

    words: str
    holds: bool | None
    command: str = ""


class Facts:
    """The figures that claims are judged by."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._tables = {table.name: table.cells for table in material.tables}

    def lines(self, table: str, **criteria: str) -> list[dict[Any, Any]]:
        """The lines of one of the report's tables that have these cells; none where there is no such table."""
        cells = self._tables.get(table, pd.DataFrame())
        if cells.empty:
            return []
        for column, value in criteria.items():
            cells = cells[cells[column].eq(value)]
        return cells.to_dict("records")

    @cached_property
    def points(self) -> pd.DataFrame:
        points = judged(self.material.runs.points)
        return points.assign(curve=curve_names(points))

    def pairs(self, other: str) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
        """Dataset, codec, and the points of CAAS and of another paradigm with the same codec and networks."""
        for (dataset, _, _, _, label, _), part in self.points.groupby(_SAME, sort=False):
            first, second = (part[part["paradigm"].eq(name)] for name in ("caas", other))
            if len(first) and len(second):
                yield str(dataset), str(label), first, second

    def bd(self, test: pd.DataFrame, anchor: pd.DataFrame) -> dict[Any, Any] | None:
        """The line of bd.csv, over PSNR, of two curves; None where there is no figure."""
        bd = self.material.bd
        names = {"dataset": test["dataset"].iloc[0], "test": test["curve"].iloc[0], "anchor": anchor["curve"].iloc[0]}
        lines = bd[bd["quality"].eq("psnr") & bd[list(names)].eq(list(names.values())).all(axis=1)]
        return lines.iloc[0].to_dict() if len(lines) and pd.notna(lines["bd_rate"].iloc[0]) else None

    def command(self, rows: Iterable[pd.DataFrame]) -> str:
        """The command that measures curves again."""
        runs, curves = self.material.runs, pd.concat(list(rows)).drop_duplicates("curve")
        mask = pd.Series(False, runs.table.index)
        for line in curves.to_dict("records"):
            mask |= runs.curve(line)
        return f"{runs.command(mask)} && bench report RUN RUN"


def against_atc(facts: Facts) -> Iterator[Finding]:
    """Whether CAAS needs fewer bits than ATC with the same codec."""
    for dataset, group in itertools.groupby(facts.pairs("atc"), key=lambda pair: pair[0]):
        pairs = [(label, facts.bd(caas, atc), (caas, atc)) for _, label, caas, atc in group]
        found = [(label, line, rows) for label, line, rows in pairs if line]
        if not found:
            continue
        fewer = [label for label, line, _ in found if _end(line, "high") < 0]
        values = ", ".join(f"{label} {line['bd_rate']:+.1f} %" for label, line, _ in found)
        words = f"{dataset}: fewer bits with {len(fewer)} of {len(found)} codecs ({values})"
        holds = True if len(fewer) == len(found) else None if fewer else False
        yield Finding(words, holds, facts.command(rows for _, _, both in found for rows in both))


def against_cta(facts: Facts) -> Iterator[Finding]:
    """Whether CAAS reaches at least CTA's best quality with fewer bits than CTA's least, on the same sequences."""
    for dataset, group in itertools.groupby(facts.pairs("cta"), key=lambda pair: pair[0]):
        wins, words, rows = 0, [], []
        for _, label, caas, cta in group:
            common = set(caas["sequence"]) & set(cta["sequence"])
            best, other = (mean_points(part[part["sequence"].isin(common)]) for part in (caas, cta))
            if best.empty or other.empty:
                continue
            top, most = best.loc[best["psnr"].idxmax()], other.loc[other["psnr"].idxmax()]
            wins += bool(top["psnr"] >= most["psnr"] and top["bpp"] < other["bpp"].min())
            words.append(
                f"{label} {top['psnr']:.1f} dB at {top['bpp']:.3f} bpp against {most['psnr']:.1f} at {most['bpp']:.2f}"
            )
            rows += [caas, cta]
        if words:
            holds = True if wins == len(words) else None if wins else False
            text = f"{dataset}: better, with fewer bits, for {wins} of {len(words)} codecs ({', '.join(words)})"
            yield Finding(text, holds, facts.command(rows))


def bits_against(column: str) -> Callable[[Facts], Iterator[Finding]]:
    """Whether SCI needs as many percent fewer bits than a codec as the paper's Table IV states."""

    def check(facts: Facts) -> Iterator[Finding]:
        bd = facts.material.bd
        for line in facts.lines("table_iv", **{"published against": column}):
            pair = bd["anchor"].eq(line["against"]) & bd["test"].eq(line["test"]) & bd["dataset"].eq(line["dataset"])
            figure = bd[pair & bd["quality"].eq("psnr")].iloc[0]
            words = f"{line['dataset']}: {line['measured [%]']} % against {line['against'].removeprefix('CAAS ')}"
            if pd.notna(figure["bd_rate"]):
                holds = _at_least(-_end(figure, "high"), -_end(figure, "low"), -float(line["published [%]"]))
                yield Finding(words, holds, line["command"])

    return check


def gain_of(part: str, column: str, published: str, sign: int = 1) -> Callable[[Facts], Iterator[Finding]]:
    """Whether a part of the model gains as much as the paper states: a column of the table `ablations`."""

    def check(facts: Facts) -> Iterator[Finding]:
        for line in facts.lines("ablations", part=part):
            value, paper = _number(line.get(column, "")), _number(line.get(published, ""))
            if value is not None and paper is not None:
                words = f"{line['dataset']}: {line[column]} {column.removeprefix('gain ')}"
                yield Finding(words, _at_least(sign * value, sign * value, sign * paper), line["command"])

    return check


def smoother(facts: Facts) -> Iterator[Finding]:
    """Whether the constraint makes features smoother by as much as in Table II."""
    wanted = 1 - smooth_ratio()
    lines = facts.lines("table_ii", features="with constraint")
    for line in lines:
        for other in facts.lines("table_ii", features="without constraint", dataset=line["dataset"]):
            values = [_number(one["L1, measured"]) for one in (line, other)]
            if values[0] is not None and values[1]:
                gain = 1 - values[0] / values[1]
                words = f"{line['dataset']}: L1 norm {other['L1, measured']} to {line['L1, measured']} ({-gain:+.0%})"
                yield Finding(words, _at_least(gain, gain, wanted), f"{line['command']} && {other['command']}")


def best_scores(facts: Facts) -> Iterator[Finding]:
    """Whether SCI has the best no-reference scores of the paper's codecs."""
    lines = [line for line in facts.lines("table_v") if line["published"] and _number(line["measured"]) is not None]
    for dataset, group in itertools.groupby(lines, key=lambda line: line["dataset"]):
        words, wins, command = [], [], ""
        for metric, part in itertools.groupby(group, key=lambda line: line["metric"]):
            ranked = sorted(part, key=lambda line: float(line["measured"]), reverse="higher" in metric)
            place = next((k for k, line in enumerate(ranked) if line["codec"].startswith("CAAS sci")), None)
            if place is not None:
                words.append(
                    f"{metric.partition(' ')[0]} {ranked[place]['measured']}, place {place + 1} of {len(ranked)}"
                )
                wins.append(place == 0)
                command = ranked[place]["command"]
        if words:
            yield Finding(
                f"{dataset}: {', '.join(words)}", True if all(wins) else None if any(wins) else False, command
            )


def more_accurate(facts: Facts) -> Iterator[Finding]:
    """Whether the paper's features are classified better than SpiReco's, without compression."""
    for line in facts.lines("table_vi", representation="ours"):
        for other in facts.lines("table_vi", representation="SpiReco", dataset=line["dataset"]):
            gain = float(line["accuracy [%]"]) - float(other["accuracy [%]"])
            paper = [_number(one["published [%]"]) for one in (line, other)]
            wanted = paper[0] - paper[1] if paper[0] is not None and paper[1] is not None else 0.0
            words = f"{line['dataset']}: {gain:+.2f} points ({line['accuracy [%]']} and {other['accuracy [%]']} %)"
            # Accuracies are shares of samples: equal to the paper's, rounded, is equal.
            yield Finding(words, _at_least(gain, gain + 0.05, wanted), f"{line['command']} && {other['command']}")


def bits_saved(facts: Facts) -> Iterator[Finding]:
    """Whether more than 95 % of the bits are saved and less than 20 points of accuracy lost."""
    for dataset, group in itertools.groupby(facts.lines("table_vii"), key=lambda line: line["dataset"]):
        lines = [line for line in group if _number(line["AD [points]"]) is not None]
        good = [line for line in lines if float(line["BS [%]"]) > 95 and (_number(line["AD [points]"]) or 0) < 20]
        if lines:
            saved, lost = (sorted(_number(line[name]) or 0.0 for line in lines) for name in ("BS [%]", "AD [points]"))
            words = f"{dataset}: {saved[0]:.1f} to {saved[-1]:.1f} % saved, {lost[0]:.1f} to {lost[-1]:.1f} points lost"
            holds = True if len(good) == len(lines) else None if good else False
            yield Finding(words, holds, lines[0]["command"])


def one_stream(facts: Facts) -> Iterator[Finding]:
    """Whether one stream for all tasks has fewer bits than a stream for each."""
    lines = facts.lines("many_tasks", paradigm="CAAS")
    for (dataset, codec), group in itertools.groupby(lines, key=lambda line: (line["dataset"], line["codec"])):
        pairs = [(value, line) for line in group if (value := _number(line["one stream saves [%]"])) is not None]
        if pairs:
            values = [value for value, _ in pairs]
            words = f"{dataset}, {codec}: {min(values):+.0f} to {max(values):+.0f} % of the bits saved"
            holds = True if min(values) > 0 else None if max(values) > 0 else False
            yield Finding(words, holds, pairs[0][1]["command"])


def encoder_cost(facts: Facts) -> Iterator[Finding]:
    """Whether SCI's encoder computes as much less than SpikeCodec's as the paper states, extraction included."""
    extraction = facts.lines("table_ix", part="extraction, dual, 10 PFU")
    encoder = facts.lines("table_x", codec="sci:preset=paper", part="encoder alone (I)")
    other = facts.lines("table_x", codec="spikecodec:preset=full", part="before the channel (I)")
    if extraction and encoder and other:
        own = float(extraction[0]["GMAC"]) + float(encoder[0]["GMAC"])
        gain = 1 - own / float(other[0]["GMAC"])
        words = f"{own:.0f} GMAC and {float(other[0]['GMAC']):.0f} ({-gain:+.0%})"
        yield Finding(words, _at_least(gain, gain, 1 - encoder_ratio("macs")), other[0]["command"])


def growth(before: str, after: str, row: tuple[str, str]) -> Callable[[Facts], Iterator[Finding]]:
    """Whether a part adds no more operations than Table IX states."""

    def check(facts: Facts) -> Iterator[Finding]:
        first, second = facts.lines("table_ix", part=before), facts.lines("table_ix", part=after)
        if first and second:
            added = float(second[0]["GMAC"]) / float(first[0]["GMAC"]) - 1
            words = f"{first[0]['GMAC']} to {second[0]['GMAC']} GMAC ({added:+.1%})"
            # A tenth more than the published operations is still the same order of cost.
            yield Finding(words, added <= 1.1 * (1 + added_operations(*row)) - 1, second[0]["command"])

    return check


def _at_least(low: float, high: float, wanted: float) -> bool | None:
    """Whether a gain, which lies between two ends, reaches the wanted one; None where it is smaller, but a gain."""
    if low <= 0:
        return False
    return True if high >= wanted else None


def _end(line: Any, end: str) -> float:
    """An end of a figure's interval; the figure itself where there is no interval."""
    return float(line[end] if pd.notna(line[end]) else line["bd_rate"])


def _number(cell: object) -> float | None:
    """The number that a cell begins with; None where it has none."""
    try:
        return float(str(cell).split()[0])
    except (ValueError, IndexError):
        return None


def smooth_ratio() -> float:
    """The published L1 norm of features with the constraint, as a share of that without."""
    paper, row = stated("II"), "L1 norm of the Laplacian"
    return float(paper[row, "with constraint"]) / float(paper[row, "without constraint"])


def encoder_ratio(column: str) -> float:
    """What the paper's encoder takes, as a share of what SpikeCodec's takes, as published."""
    paper = stated("X")
    return float(paper["SCI I-enc", column]) / float(paper["SpikeCodec I-enc", column])


def added_operations(before: str, after: str) -> float:
    """The share by which a row of Table IX has more operations than another, as published."""
    paper = stated("IX")
    return float(paper[after, "macs"]) / float(paper[before, "macs"]) - 1
