"""RD curves, and what all figures share: how curves are told apart, and where their names stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from bench.metrics.measures import PSNR
from bench.names import short, shortened
from bench.report.rows import curve_names, judged, mean_points, per_sequence, sequence_range

K = TypeVar("K", bound=Hashable)
_Place = Literal["outside right upper", "outside lower left"]
COLOURS: tuple[str, ...] = tuple(mpl.colors.to_hex(colour) for colour in mpl.colormaps["tab10"].colors)  # type: ignore[attr-defined]
# A paradigm's line, then its marks (of matplotlib and of plotly), which no other paradigm has. ATC and CAAS coincide
# under the identity analyzer: an open mark shows both.
_LINES = {"cta": ":", "atc": "--", "caas": "-"}
_MARKS = {
    "cta": (("s", "square"), ("X", "x"), ("<", "triangle-left"), ("p", "pentagon"), ("8", "octagon")),
    "atc": (
        ("^", "triangle-up-open"), ("*", "star-open"), (">", "triangle-right-open"), ("H", "hexagon2-open"),
        ("$o$", "circle-open"),
    ),
    "caas": (("o", "circle"), ("D", "diamond"), ("v", "triangle-down"), ("P", "cross"), ("h", "hexagon")),
    "": (("x", "x-thin-open"), ("+", "cross-thin-open"), ("1", "y-up-open"), ("2", "y-down-open")),
}  # fmt: skip
# Lines of curves whose paradigm has no colour and mark left; in line widths.
_DASHES: tuple[tuple[int, ...], ...] = ((8, 2, 1, 2), (8, 2, 1, 2, 1, 2), (3, 1, 3, 4), (12, 3))
# Characters of a curve's name in a legend.
LEGEND_WIDTH = 48
# Inches around a legend.
_LEGEND_PAD = 0.15


@dataclass(frozen=True)
class CurveStyle:
    """How a curve is drawn.

    Attributes
    ----------
    colour
        Of its codec.
    paradigm
        One of the paper's, or empty.
    mark, line
        Numbers among the marks and lines of its paradigm.
    """

    colour: str
    paradigm: str
    mark: int
    line: int

    def plot(self) -> dict[str, Any]:
        """Arguments of matplotlib's ``plot``."""
        opened = self.paradigm == "atc"
        return {
            "color": self.colour,
            "linestyle": (0, _DASHES[self.line - 1]) if self.line else _LINES.get(self.paradigm, "-."),
            "marker": _MARKS[self.paradigm][self.mark][0],
            "markerfacecolor": "none" if opened else self.colour,
            "markersize": 8 if opened else 5,
            "linewidth": 1.4,
        }

    def plotly(self) -> list[str]:
        """Colour, dash and symbol of the page's plot."""
        names = {"cta": "dot", "atc": "dash", "caas": "solid"}
        dash = ",".join(f"{2 * part}px" for part in _DASHES[self.line - 1]) if self.line else ""
        return [self.colour, dash or names.get(self.paradigm, "dashdot"), _MARKS[self.paradigm][self.mark][1]]


def curve_styles(curves: Iterable[tuple[K, str, str]], labels: Sequence[str]) -> dict[K, CurveStyle]:
    """A style for each curve: the codec's colour, the paradigm's line, and a mark that tells it from all others.

    Parameters
    ----------
    curves
        What names it, its paradigm and its codec's label.
    labels
        Those of all figures that stand together, so that a codec has one colour in all of them.
    """
    places = {label: number for number, label in enumerate(sorted(set(labels)))}
    taken: Counter[tuple[str, str]] = Counter()
    styles: dict[K, CurveStyle] = {}
    for name, paradigm, label in curves:
        colour = COLOURS[places[label] % len(COLOURS)]
        group = paradigm if paradigm in _LINES else ""
        number = taken[group, colour]
        taken[group, colour] += 1
        lines, marks = 1 + len(_DASHES), len(_MARKS[group])
        styles[name] = CurveStyle(colour, group, number % marks, number // marks % lines)
    return styles


def rd_plot(
    table: pd.DataFrame, dataset: str, paths: Sequence[Path], quality: str = PSNR.name, title: str = PSNR.title
) -> None:
    """Draw a quality over bits per spike, for all sequences and for each speed class, into PNG or SVG files."""
    points = _points(table, dataset, quality)
    panels = [("all sequences", points)]
    if points["speed_class"].nunique() > 1:
        panels += [
            (f"{name}-speed", points[points["speed_class"] == name])
            for name in ("low", "high")
            if (points["speed_class"] == name).any()
        ]
    figure = Figure(figsize=(5.2 * len(panels), 4.6), layout="constrained")
    figure_title(figure, dataset)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    named = points.drop_duplicates("curve")[["curve", "paradigm", "label"]]
    styles = curve_styles(named.itertuples(index=False, name=None), list(table["label"].unique()))
    for axis, (what, part) in zip(axes, panels, strict=True):
        _draw(axis, part, styles, quality)
        axis.set_title(f"{what} ({part['sequence'].nunique()})", fontsize=11)
    axes[0].set_ylabel(literal(title))
    add_legend(figure, axes[0])
    with mpl.rc_context({"svg.hashsalt": "spikebench"}):
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _points(table: pd.DataFrame, dataset: str, quality: str = PSNR.name) -> pd.DataFrame:
    """Points of each sequence of a dataset that have a quality, with their curve's name."""
    points = judged(per_sequence(table[(table["dataset"] == dataset) & (table["status"] == "ok")]), quality)
    return points.assign(curve=curve_names(points))


def short_names(table: pd.DataFrame) -> pd.DataFrame:
    """The curves whose names are shortened in RD plots: their first points, and ``short``, what stands there."""
    parts = [_points(table, dataset).drop_duplicates("curve") for dataset in table["dataset"].unique()]
    lines = pd.concat([part.assign(short=part["curve"].map(shortened(part["curve"], LEGEND_WIDTH))) for part in parts])
    return lines[lines["short"] != lines["curve"]]


def _draw(axis: Axes, points: pd.DataFrame, styles: dict[str, CurveStyle], quality: str) -> None:
    names = shortened(styles, LEGEND_WIDTH)
    for name, part in points.groupby("curve", sort=False):
        curve = mean_points(part)
        uneven = ""
        if curve["sequences"].nunique() > 1:
            uneven = f" ({sequence_range(curve)} sequences)"
        label = literal(f"{names[str(name)]}{uneven}")
        axis.plot(curve["bpp"], curve[quality], label=label, **styles[str(name)].plot())
    axis.axvline(1.0, color="0.6", linewidth=1, zorder=0)
    bits_axis(axis)


def literal(text: object) -> str:
    """A name as matplotlib draws it letter by letter: between two dollars it would read mathematics."""
    return str(text).replace("$", r"\$")


def figure_title(figure: Figure, text: str) -> None:
    """Write a figure's title, shortened to its width."""
    figure.suptitle(literal(short(text, int(11 * figure.get_figwidth()))), fontsize=11)


def add_legend(figure: Figure, axis: Axes) -> None:
    """Put the names of an axis' curves beside the figure, or below it in columns; it grows by what they take."""
    handles, names = axis.get_legend_handles_labels()
    if not names:
        return
    width, height = figure.get_size_inches()

    def legend(place: _Place, columns: int) -> tuple[Legend, float, float]:
        drawn = figure.legend(handles, names, loc=place, ncols=columns, fontsize=8, frameon=False)
        extent = drawn.get_window_extent()
        return drawn, extent.width / figure.dpi + _LEGEND_PAD, extent.height / figure.dpi + _LEGEND_PAD

    drawn, needed_width, needed_height = legend("outside right upper", 1)
    if needed_height <= height and needed_width <= width:
        figure.set_size_inches(width + needed_width, height)
        return
    for columns in range(min(len(names), max(1, int(width // needed_width))), 0, -1):
        drawn.remove()
        drawn, needed_width, needed_height = legend("outside lower left", columns)
        if needed_width <= width:
            break
    figure.set_size_inches(max(width, needed_width), height + needed_height)


def bits_axis(axis: Axes) -> None:
    """Make the x axis that of rates."""
    axis.set_xscale("log")
    axis.tick_params("x", which="minor", labelsize="x-small")  # of a narrow axis: several to the decade
    axis.set_xlabel("bits per spike (raw = 1)")
    axis.grid(True, which="both", color="0.92", linewidth=0.6)
