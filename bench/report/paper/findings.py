"""What the rows of a report say on the paper's claims (`bench.report.paper.claims`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.metrics.bd import mean_interval
from bench.published import stated
from bench.report.paper.classification import recognition_rows
from bench.report.rows import curve_names, judged, mean_points
from bench.report.sections import Material

_SAME = ["dataset", "task", "extractor", "analyzer", "seed"]
# A part that adds at most this share of the operations adds few of them.
_FEW = 0.1


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

    @cached_property
    def codecs(self) -> dict[tuple[str, str], str]:
        """The bare name of each curve's codec, by dataset and curve."""
        lines = self.points.drop_duplicates(["dataset", "curve"])
        return {(line["dataset"], line["curve"]): line["codec"] for line in lines.to_dict("records")}

    def pairs(self) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
        """Dataset, codec, and the points of CAAS and of ATC with the same codec and networks."""
        for (dataset, *_, label), part in self.points.groupby([*_SAME, "label"], sort=False):
            first, second = (part[part["paradigm"].eq(name)] for name in ("caas", "atc"))
            if len(first) and len(second):
                yield str(dataset), str(label), first, second

    def rivals(self) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
        """Dataset, codec, its points under CAAS, and those of all codecs under CTA with the same networks."""
        for (dataset, *_), part in self.points.groupby(_SAME, sort=False):
            cta = part[part["paradigm"].eq("cta")]
            for label, caas in part[part["paradigm"].eq("caas")].groupby("label", sort=False):
                if len(cta):
                    yield str(dataset), str(label), caas, cta

    def bd(self, dataset: str, test: str, anchor: str) -> dict[Any, Any] | None:
        """The line of bd.csv, over PSNR, of two curves; None where there is no figure, or one that ranks no codec."""
        bd, names = self.material.bd, {"dataset": dataset, "test": test, "anchor": anchor}
        lines = bd[bd["quality"].eq("psnr") & bd["ranked"] & bd[list(names)].eq(list(names.values())).all(axis=1)]
        return lines.iloc[0].to_dict() if len(lines) else None

    def command(self, rows: Iterable[pd.DataFrame]) -> str:
        """The command that measures curves again."""
        runs, curves = self.material.runs, pd.concat(list(rows)).drop_duplicates("curve")
        mask = pd.Series(False, runs.table.index)
        for line in curves.to_dict("records"):
            mask |= runs.curve(line)
        return f"{runs.command(mask)} && bench report RUN RUN"


def against_atc(facts: Facts) -> Iterator[Finding]:
    """Whether CAAS needs fewer bits than ATC with the same codec."""
    for dataset, group in itertools.groupby(facts.pairs(), key=lambda pair: pair[0]):
        pairs = [(label, facts.bd(dataset, _curve(caas), _curve(atc)), (caas, atc)) for _, label, caas, atc in group]
        comparisons = [(label, line, rows) for label, line, rows in pairs if line]
        if not comparisons:
            continue
        fewer = [label for label, line, _ in comparisons if _high(line) < 0]
        values = ", ".join(f"{label} {line['verdict']} %" for label, line, _ in comparisons)
        words = f"{dataset}: fewer bits with {len(fewer)} of {len(comparisons)} codecs ({values})"
        holds = True if len(fewer) == len(comparisons) else None if fewer else False
        yield Finding(words, holds, facts.command(rows for _, _, both in comparisons for rows in both))


def bits_against_cta(facts: Facts) -> Iterator[Finding]:
    """Whether the best pictures of CAAS need fewer bits than CTA's fewest, of any codec."""
    return _against_cta(facts, "bpp", -1, "fewer bits with", "bpp", 3)


def quality_against_cta(facts: Facts) -> Iterator[Finding]:
    """Whether the best pictures of CAAS are at least as good as CTA's best, of any codec."""
    return _against_cta(facts, "psnr", 1, "as good or better with", "dB", 2)


def _against_cta(facts: Facts, column: str, sign: int, verb: str, unit: str, digits: int) -> Iterator[Finding]:
    """Whether a figure of CAAS's best mean point beats that of every mean point of CTA, on the same sequences."""
    for dataset, group in itertools.groupby(facts.rivals(), key=lambda pair: pair[0]):
        wins: list[bool] = []
        rows: list[pd.DataFrame] = []
        words: dict[str, list[str]] = {}
        for _, label, caas, cta in group:
            margins = []
            for rival, other in cta.groupby("label", sort=False):
                common = set(caas["sequence"]) & set(other["sequence"])
                own, points = (_complete(part, common) for part in (caas, other))
                if len(own) and len(points):
                    top = own.loc[own["psnr"].idxmax(), column]
                    best = sign * (sign * points[column]).max()
                    margins.append((sign * (top - best), top, best, rival))
            if margins:
                margin, top, best, rival = min(margins)
                wins.append(bool(margin >= 0))
                words.setdefault(f"{best:.{digits}f} of {rival}", []).append(f"{label} {top:.{digits}f}")
                rows += [caas, cta]
        if wins:
            figures = ", ".join(f"{', '.join(own)} {unit} against {other}" for other, own in words.items())
            text = f"{dataset}: {verb} {sum(wins)} of {len(wins)} codecs ({figures})"
            yield Finding(text, True if all(wins) else None if any(wins) else False, facts.command(rows))


def _complete(points: pd.DataFrame, sequences: Collection[str]) -> pd.DataFrame:
    """The mean points over these sequences, without those that lack one of them."""
    means = mean_points(points[points["sequence"].isin(sequences)])
    return means[means["sequences"].eq(len(sequences))]


def bits_against(codec: str, target: float) -> Callable[[Facts], Iterator[Finding]]:
    """Whether SCI needs as many percent fewer bits than a codec under CAAS as is stated."""

    def check(facts: Facts) -> Iterator[Finding]:
        for line in facts.lines("table_iv"):
            figure = facts.bd(line["dataset"], line["test"], line["against"])
            if figure and facts.codecs[line["dataset"], line["against"]] == codec:
                words = f"{line['dataset']}: {line['measured [%]']} % against {line['against'].removeprefix('CAAS ')}"
                yield Finding(words, _at_least(-_high(figure), -figure["bd_rate"], target), line["command"])

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
    target = 1 - smooth_ratio()
    lines = facts.lines("table_ii", features="with constraint")
    for line in lines:
        for other in facts.lines("table_ii", features="without constraint", dataset=line["dataset"]):
            values = [_number(one["L1, measured"]) for one in (line, other)]
            if values[0] is not None and values[1]:
                gain = 1 - values[0] / values[1]
                words = f"{line['dataset']}: L1 norm {other['L1, measured']} to {line['L1, measured']} ({-gain:+.0%})"
                yield Finding(words, _at_least(gain, gain, target), f"{line['command']} && {other['command']}")


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
    """Whether the paper's features are classified better than SpiReco's, on the same samples, without compression.

    A dataset that the paper has no figures of gives no finding.
    """
    rows = recognition_rows(facts.material.runs)
    for (_, dataset, backbone), part in rows.groupby(["run", "dataset", "backbone"], sort=False):
        answers = part.pivot_table(index="sequence", columns="representation", values="correct")
        if not {"sci", "tfi"} <= set(answers):
            continue
        place = {"dataset": dataset, "backbone": backbone}
        lines = [facts.lines("table_vi", representation=name, **place)[0] for name in ("ours", "SpiReco")]
        paper = [_number(line["published [%]"]) for line in lines]
        gains = (100 * (answers["sci"] - answers["tfi"])).dropna()
        bounds = mean_interval(list(gains))
        if bounds and paper[0] is not None and paper[1] is not None:
            gain = gains.mean()
            accuracies = " and ".join(line["accuracy [%]"] for line in lines)
            words = f"{dataset}, {backbone}: {gain:+.2f} points ({bounds[0]:+.2f} .. {bounds[1]:+.2f}), {accuracies} %"
            # The paper's accuracies are rounded to a tenth: a gain within half of it is equal.
            holds = _at_least(bounds[0], gain + 0.05, paper[0] - paper[1])
            yield Finding(words, holds, lines[0]["command"])


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


def growth(before: str, after: str, row: tuple[str, str], few: bool) -> Callable[[Facts], Iterator[Finding]]:
    """Whether a part adds as few operations as Table IX states, or fewer; without `few`, as many or more."""

    def check(facts: Facts) -> Iterator[Finding]:
        first, second = facts.lines("table_ix", part=before), facts.lines("table_ix", part=after)
        if first and second:
            added, paper = float(second[0]["GMAC"]) / float(first[0]["GMAC"]) - 1, added_operations(*row)
            words = f"{first[0]['GMAC']} to {second[0]['GMAC']} GMAC ({added:+.1%})"
            reached, in_direction = (added <= paper, added <= _FEW) if few else (added >= paper, added > _FEW)
            yield Finding(words, True if reached else None if in_direction else False, second[0]["command"])

    return check


def _at_least(low: float, gain: float, target: float) -> bool | None:
    """Whether a gain, with an interval from `low`, reaches the target. None: smaller. False: the interval has 0."""
    if low <= 0:
        return False
    return True if gain >= target else None


def _high(line: dict[Any, Any]) -> float:
    """The upper end of a BD-rate's interval; the figure itself for a single sequence, which has no interval."""
    return float(line["high"] if pd.notna(line["high"]) else line["bd_rate"])


def _curve(points: pd.DataFrame) -> str:
    return str(points["curve"].iloc[0])


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
