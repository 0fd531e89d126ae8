"""RD plots, and what all plots share: the styles that tell curves apart, legends, titles and the rate axis."""

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
# Line style of each paradigm.
_LINES = {"cta": ":", "atc": "--", "caas": "-"}
# Marks of each paradigm, by their names in matplotlib and in plotly; "" stands for paradigms of other packages. No mark
# is used by two paradigms. Those of ATC are open, because under the identity analyzer its curves lie on those of CAAS:
# through an open mark both can be seen.
_MARKS = {
    "cta": (("s", "square"), ("X", "x"), ("<", "triangle-left"), ("p", "pentagon"), ("8", "octagon")),
    "atc": (
        ("^", "triangle-up-open"), ("*", "star-open"), (">", "triangle-right-open"), ("H", "hexagon2-open"),
        ("$o$", "circle-open"),
    ),
    "caas": (("o", "circle"), ("D", "diamond"), ("v", "triangle-down"), ("P", "cross"), ("h", "hexagon")),
    "": (("x", "x-thin-open"), ("+", "cross-thin-open"), ("1", "y-up-open"), ("2", "y-down-open")),
}  # fmt: skip
# Dashes for further curves of one colour and paradigm once all its marks are used; lengths in line widths.
_DASHES: tuple[tuple[int, ...], ...] = ((8, 2, 1, 2), (8, 2, 1, 2, 1, 2), (3, 1, 3, 4), (12, 3))
# Characters that a curve's name may have in a legend.
LEGEND_WIDTH = 48
# Space around a legend, inches.
_LEGEND_PAD = 0.15


@dataclass(frozen=True)
class CurveStyle:
    """How a curve is drawn.

    Attributes
    ----------
    colour
        Colour of the curve's codec, as hex text.
    paradigm
        ``cta``, ``atc`` or ``caas``; empty for any other.
    mark, line
        Index of the mark among those of the paradigm, and of the line: 0 is the paradigm's own, others are `_DASHES`.
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
        """Colour, dash and symbol for the plot of the HTML page."""
        names = {"cta": "dot", "atc": "dash", "caas": "solid"}
        dash = ",".join(f"{2 * part}px" for part in _DASHES[self.line - 1]) if self.line else ""
        return [self.colour, dash or names.get(self.paradigm, "dashdot"), _MARKS[self.paradigm][self.mark][1]]


def curve_styles(curves: Iterable[tuple[K, str, str]], labels: Sequence[str]) -> dict[K, CurveStyle]:
    """A style for each curve: the codec's colour, the paradigm's line, and a mark that tells it from all others.

    Parameters
    ----------
    curves
        Key, paradigm and codec label of each curve.
    labels
        The codec labels of all figures of the report, so that a codec has the same colour in every figure.

    Returns
    -------
    The styles by the curves' keys.
    """
    places = {label: number for number, label in enumerate(sorted(set(labels)))}
    uses: Counter[tuple[str, str]] = Counter()
    styles: dict[K, CurveStyle] = {}
    for name, paradigm, label in curves:
        colour = COLOURS[places[label] % len(COLOURS)]
        group = paradigm if paradigm in _LINES else ""
        number = uses[group, colour]
        uses[group, colour] += 1
        lines, marks = 1 + len(_DASHES), len(_MARKS[group])
        styles[name] = CurveStyle(colour, group, number % marks, number // marks % lines)
    return styles


def rd_plot(
    table: pd.DataFrame, dataset: str, paths: Sequence[Path], quality: str = PSNR.name, title: str = PSNR.title
) -> None:
    """Draw a dataset's mean curves over bits per spike: a panel for all sequences and one for each speed class.

    Parameters
    ----------
    table
        Rows (`Runs.table`).
    paths
        PNG or SVG files to write.
    quality, title
        Column of the quality on the vertical axis, and the axis' title.
    """
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
    curves = points.drop_duplicates("curve")[["curve", "paradigm", "label"]]
    styles = curve_styles(curves.itertuples(index=False, name=None), list(table["label"].unique()))
    for axis, (what, part) in zip(axes, panels, strict=True):
        _draw(axis, part, styles, quality)
        axis.set_title(f"{what} ({part['sequence'].nunique()})", fontsize=11)
    axes[0].set_ylabel(literal(title))
    add_legend(figure, axes[0])
    with mpl.rc_context({"svg.hashsalt": "spikebench"}):
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _points(table: pd.DataFrame, dataset: str, quality: str = PSNR.name) -> pd.DataFrame:
    """Lines of `per_sequence` of one dataset that have a quality, with a column ``curve``, the name of their curve."""
    points = judged(per_sequence(table[(table["dataset"] == dataset) & (table["status"] == "ok")]), quality)
    return points.assign(curve=curve_names(points))


def short_names(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each curve whose name RD plots shorten; the column ``short`` is the shortened name."""
    parts = [_points(table, dataset).drop_duplicates("curve") for dataset in table["dataset"].unique()]
    lines = pd.concat([part.assign(short=part["curve"].map(shortened(part["curve"], LEGEND_WIDTH))) for part in parts])
    return lines[lines["short"] != lines["curve"]]


def _draw(axis: Axes, points: pd.DataFrame, styles: dict[str, CurveStyle], quality: str) -> None:
    """Draw the mean curves of a panel; the legend says so where their points are means over different numbers."""
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
    """A text that matplotlib draws letter by letter: unescaped, it would read mathematics between two dollar signs."""
    return str(text).replace("$", r"\$")


def figure_title(figure: Figure, text: str) -> None:
    """Set a figure's title, shortened to the figure's width."""
    figure.suptitle(literal(short(text, int(11 * figure.get_figwidth()))), fontsize=11)


def add_legend(figure: Figure, axis: Axes) -> None:
    """Add a legend of an axis' curves right of the figure, or below it in columns; the figure grows by its size."""
    handles, names = axis.get_legend_handles_labels()
    if not names:
        return
    width, height = figure.get_size_inches()

    def legend(place: _Place, columns: int) -> tuple[Legend, float, float]:
        box = figure.legend(handles, names, loc=place, ncols=columns, fontsize=8, frameon=False)
        extent = box.get_window_extent()
        return box, extent.width / figure.dpi + _LEGEND_PAD, extent.height / figure.dpi + _LEGEND_PAD

    box, needed_width, needed_height = legend("outside right upper", 1)
    if needed_height <= height and needed_width <= width:
        figure.set_size_inches(width + needed_width, height)
        return
    for columns in range(min(len(names), max(1, int(width // needed_width))), 0, -1):
        box.remove()
        box, needed_width, needed_height = legend("outside lower left", columns)
        if needed_width <= width:
            break
    figure.set_size_inches(max(width, needed_width), height + needed_height)


def bits_axis(axis: Axes) -> None:
    """Make the x axis a logarithmic one of bits per spike."""
    axis.set_xscale("log")
    axis.tick_params("x", which="minor", labelsize="x-small")  # a narrow axis labels several ticks in a decade
    axis.set_xlabel("bits per spike (raw = 1)")
    axis.grid(True, which="both", color="0.92", linewidth=0.6)
