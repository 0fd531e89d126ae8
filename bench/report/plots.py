"""RD plots, and what all plots share: the styles that tell curves apart, legends, titles and the rate axis."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter

from bench.metrics.measures import PSNR
from bench.names import short, shortened
from bench.report.rows import curve_names, judged, mean_points, per_sequence, sequence_range
from bench.report.style import COLOURS, panels, save, style

K = TypeVar("K", bound=Hashable)
_Place = Literal["outside right upper", "outside lower left"]
# Codecs that have the same colour in every report, as places in `COLOURS`. Other codecs take the rest in turn.
_OWN_COLOURS = {
    "sci": 0, "x265": 1, "vvenc": 2, "dcvc": 4, "dcvc-dc": 5, "vtm": 6, "x264": 7, "spikecodec": 8, "svtav1": 9,
}  # fmt: skip
# Line style of each paradigm.
_LINES = {"cta": ":", "atc": "--", "caas": "-"}
# Marks of each paradigm; "" stands for paradigms of other packages. No mark is used by two paradigms. Those of ATC are
# open, because under the identity analyzer its curves lie on those of CAAS: through an open mark both can be seen.
_MARKS = {"cta": "sX<p8", "atc": "^*>Hd", "caas": "oDvPh", "": "x+12"}
# Dashes for further curves of one colour and paradigm once all its marks are used; lengths in line widths.
_DASHES: tuple[tuple[int, ...], ...] = ((8, 2, 1, 2), (8, 2, 1, 2, 1, 2), (3, 1, 3, 4), (12, 3))
# Characters that a curve's name may have in a legend.
LEGEND_WIDTH = 48
# Space around a legend, inches.
_LEGEND_PAD = 0.15
# Ratio of an axis' ends up to which there is room for labels between powers of ten.
_FEW = 80
# Smallest letters of a legend, points.
_SMALLEST = 6.0


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
        scale = mpl.rcParams["lines.linewidth"] / 1.5
        return {
            "color": self.colour,
            "linestyle": (0, _DASHES[self.line - 1]) if self.line else _LINES.get(self.paradigm, "-."),
            "marker": _MARKS[self.paradigm][self.mark],
            "markerfacecolor": "none" if opened else self.colour,
            "markersize": scale * (8 if opened else 5),
            "linewidth": 1.4 * scale,
        }

    def svg(self) -> dict[str, Any]:
        """The same look for the page: ``colour``, ``dash`` in pixels, and ``mark``, an outline of about 2 x 2 units."""
        lengths = _DASHES[self.line - 1] if self.line else _dash(_LINES.get(self.paradigm, "-."))
        return {
            "colour": self.colour,
            "dash": " ".join(f"{2 * length:g}" for length in lengths),
            "mark": _svg_path(_MARKS[self.paradigm][self.mark]),
            "open": self.paradigm in ("atc", ""),
        }


def _dash(line: str) -> Sequence[float]:
    """Lengths of matplotlib's dashes and gaps, in line widths; none for a whole line."""
    patterns: dict[str, Sequence[float]] = {
        ":": mpl.rcParams["lines.dotted_pattern"],
        "--": mpl.rcParams["lines.dashed_pattern"],
        "-.": mpl.rcParams["lines.dashdot_pattern"],
    }
    return patterns.get(line, ())


@functools.cache
def _svg_path(mark: str) -> str:
    """The outline of a mark of matplotlib as an SVG path around the origin."""
    style = MarkerStyle(mark)
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    parts = []
    for places, code in style.get_path().transformed(style.get_transform()).iter_segments():
        letter = letters.get(np.uint8(code), "Z")
        parts.append(letter)
        if letter != "Z":
            parts += [f"{2 * x:.3g} {-2 * y:.3g} " for x, y in places.reshape(-1, 2)]
    return "".join(parts)


def curve_styles(curves: Iterable[tuple[K, str, str]], labels: Sequence[str]) -> dict[K, CurveStyle]:
    """A style for each curve: the codec's colour, the paradigm's line, and a mark that tells it from all others.

    Parameters
    ----------
    curves
        Key, paradigm and codec label of each curve.
    labels
        The codec labels of all figures of the report, so that a codec has the same colour in every figure. Presets of
        a codec have its colour.

    Returns
    -------
    The styles by the curves' keys.
    """
    colours = _codec_colours(labels)
    uses: Counter[tuple[str, str]] = Counter()
    styles: dict[K, CurveStyle] = {}
    for name, paradigm, label in curves:
        colour = colours[label]
        group = paradigm if paradigm in _LINES else ""
        number = uses[group, colour]
        uses[group, colour] += 1
        lines, marks = 1 + len(_DASHES), len(_MARKS[group])
        styles[name] = CurveStyle(colour, group, number % marks, number // marks % lines)
    return styles


def _codec_colours(labels: Iterable[str]) -> dict[str, str]:
    """The colour of each codec label: the codec's own, whatever its preset, or else the next of those that are free."""
    free = [place for place in range(len(COLOURS)) if place not in _OWN_COLOURS.values()]
    free += [place for place in range(len(COLOURS)) if place not in free]
    others = sorted(label for label in set(labels) if label.partition(" (")[0] not in _OWN_COLOURS)
    places = {label: free[number % len(free)] for number, label in enumerate(others)}
    return {label: COLOURS[places.get(label, _OWN_COLOURS.get(label.partition(" (")[0], 0))] for label in labels}


def rd_plot(
    table: pd.DataFrame, dataset: str, paths: Sequence[Path], quality: str = PSNR.name, title: str = PSNR.title
) -> None:
    """Draw a dataset's mean curves over bits per spike: a panel for all sequences and one for each speed class.

    Parameters
    ----------
    table
        Rows (`Runs.table`).
    paths
        PNG, SVG or PDF files to write, which differ in their suffix alone.
    quality, title
        Column of the quality on the vertical axis, and the axis' title.
    """
    points = _points(table, dataset, quality)
    speeds = [("all sequences", points)]
    if style().parts and points["speed_class"].nunique() > 1:
        speeds += [
            (f"{name}-speed", points[points["speed_class"] == name])
            for name in ("low", "high")
            if (points["speed_class"] == name).any()
        ]
    # Spikes need a hundred times the bits of features: on a common axis, curves of features would lie on one another.
    apart = points["paradigm"].eq("cta").any() and points["paradigm"].ne("cta").any()
    parts = [("ATC and CAAS", False), ("CTA", True)] if apart else [("", None)]
    figure, axes = panels(len(speeds) * len(parts), (5.2, 3.8 if apart else 4.6), len(speeds))
    figure_title(figure, dataset)
    curves = points.drop_duplicates("curve")[["curve", "paradigm", "label"]]
    styles = curve_styles(curves.itertuples(index=False, name=None), list(table["label"].unique()))
    places = iter(axes)
    for words, spikes in parts:
        row = [next(places) for _ in speeds]
        for axis in row[1:]:
            axis.sharex(row[0])
            axis.sharey(row[0])
        for axis, (what, part) in zip(row, speeds, strict=True):
            panel_points = part if spikes is None else part[part["paradigm"].eq("cta") == spikes]
            _draw(axis, panel_points, styles, quality)
            axis.set_title(f"{words}, {what} ({panel_points['sequence'].nunique()})".removeprefix(", "))
        row[0].set_ylabel(literal(title))
    add_legend(figure, *axes)
    save(figure, paths[0].parent, paths[0].stem, [path.suffix for path in paths])


def _points(table: pd.DataFrame, dataset: str, quality: str = PSNR.name) -> pd.DataFrame:
    """Lines of `per_sequence` of one dataset that have a quality, with a column ``curve``, the name of their curve."""
    points = judged(per_sequence(table[(table["dataset"] == dataset) & (table["status"] == "ok")]), quality)
    return points.assign(curve=curve_names(points))


def short_names(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each curve whose name RD plots shorten; the column ``short`` is the shortened name."""
    if table.empty:
        return table
    parts = [_points(table, dataset).drop_duplicates("curve") for dataset in table["dataset"].unique()]
    lines = pd.concat([part.assign(short=part["curve"].map(shortened(part["curve"], LEGEND_WIDTH))) for part in parts])
    return lines[lines["short"] != lines["curve"]]


def _draw(axis: Axes, points: pd.DataFrame, styles: dict[str, CurveStyle], quality: str) -> None:
    """Draw the mean curves of a panel.

    The legend has the number of sequences n that points are means over where it is not that of the panel's title.
    """
    names, every = shortened(styles, LEGEND_WIDTH), str(points["sequence"].nunique())
    for name, part in points.groupby("curve", sort=False):
        curve = mean_points(part)
        label, number = names[str(name)], sequence_range(curve)
        label += "" if number == every else f", n = {number}"
        axis.plot(curve["bpp"], curve[quality], label=literal(label), **styles[str(name)].plot())
    bits_axis(axis)


def literal(text: object) -> str:
    """A text that matplotlib draws letter by letter: unescaped, it would read mathematics between two dollar signs."""
    return str(text).replace("$", r"\$")


def figure_title(figure: Figure, text: str) -> None:
    """Set a figure's title, shortened to its width; above the panel where there is one alone, and none in a paper."""
    if not style().titled:
        return
    # On a slide, the legend takes a third of the width.
    inches = figure.get_figwidth() * (0.65 if style().whole and len(figure.axes) == 1 else 1)
    points = FontProperties(size=mpl.rcParams["figure.titlesize"]).get_size_in_points()
    characters = int(130 * inches / points)
    if len(figure.axes) == 1:
        figure.axes[0].set_title(literal(short(text, characters)), fontsize=mpl.rcParams["figure.titlesize"])
    else:
        figure.suptitle(literal(short(text, characters)))


def add_legend(figure: Figure, *axes: Axes) -> None:
    """Add a legend of the axes' curves right of the figure, or below it in columns; the figure grows by its size.

    On a slide it does not grow, and the letters of a long legend are smaller. In a paper the legend is below.
    """
    curves = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not curves:
        return
    width, height = figure.get_size_inches()
    names, handles = list(curves), list(curves.values())

    def legend(place: _Place, columns: int, size: float | None = None) -> tuple[Legend, float, float]:
        box = figure.legend(handles, names, loc=place, ncols=columns, fontsize=size, frameon=False)
        extent = box.get_window_extent()
        return box, extent.width / figure.dpi + _LEGEND_PAD, extent.height / figure.dpi + _LEGEND_PAD

    if style().whole:
        size = mpl.rcParams["legend.fontsize"]
        box, needed_width, needed_height = legend("outside right upper", 1, size)
        while size > _SMALLEST and (needed_height > height or needed_width > width / 2):
            box.remove()
            size *= 0.9
            box, needed_width, needed_height = legend("outside right upper", 1, size)
        return
    box, needed_width, needed_height = legend("outside right upper", 1)
    if style().width is None and needed_height <= height and needed_width <= width:
        figure.set_size_inches(width + needed_width, height)
        return
    for columns in range(min(len(names), max(1, int(width // (needed_width - _LEGEND_PAD)))), 0, -1):
        box.remove()
        box, needed_width, needed_height = legend("outside lower left", columns)
        if needed_width <= width:
            break
    figure.set_size_inches(width if style().width else max(width, needed_width), height + needed_height)


def bits_axis(axis: Axes) -> None:
    """Make the x axis a logarithmic one of bits per spike, with a line at the rate of raw spikes where it has that."""
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: _minor(value, axis.get_xlim())))
    axis.tick_params("x", which="minor", labelsize=mpl.rcParams["xtick.labelsize"])
    axis.set_xlabel("bits per spike (raw = 1)")
    low, high = axis.get_xlim()
    if low < 1 < high:
        axis.axvline(1.0, color="0.6", linewidth=1, zorder=0)
    axis.grid(True, which="both", color="0.92", linewidth=0.6)


def _minor(value: float, limits: tuple[float, float]) -> str:
    """The label of a minor tick: twice and five times a power of ten, where the axis has few powers of ten."""
    first = f"{value:e}"[0]
    return f"{value:g}" if first in "25" and limits[1] < _FEW * limits[0] else ""
