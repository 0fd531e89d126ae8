"""Charts that the page draws from numbers, so that they follow its theme and their points can be clicked.

Charts are plain data. The page draws a chart in place of the plot that it names, which is a picture.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A point of a chart.

    Attributes
    ----------
    x
        A value for each of the chart's horizontal axes.
    y
        The value on the vertical axis; None in charts with `Chart.against`.
    words
        What the point is, such as its rate point.
    low, high
        Ends of an interval around y, where there is one.
    command
        The shell command that measures the point again; may be empty.
    at_least
        Whether x is a lower bound.
    """

    x: tuple[float, ...]
    y: float | None
    words: str
    low: float | None = None
    high: float | None = None
    command: str = ""
    at_least: bool = False


@dataclass(frozen=True)
class Series:
    """The points of one curve, which are joined by a line.

    Attributes
    ----------
    name
        The curve's name in legends.
    paradigm, label
        Paradigm and codec label, which its look follows from (`bench.report.plots.curve_styles`).
    points
        Its points, by rising rate.
    n
        Number of sequences behind its points, or the least and the most, for the legend.
    """

    name: str
    paradigm: str
    label: str
    points: tuple[Point, ...]
    n: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes
    ----------
    name
        A name of its own.
    title, note
        Heading, and a sentence on how to read the chart.
    x
        Titles of the horizontal axes; of several, the reader chooses one.
    y
        Title of the vertical axis.
    series
        The curves.
    logarithmic
        Whether the horizontal axes are logarithmic.
    levels
        Horizontal lines: value and words.
    limit
        A vertical line on the first horizontal axis: value and words.
    instead_of
        The plot that the page leaves out in favour of the chart: its file's name without suffix.
    against
        A dataset. The points' y are then the BD-rates of the curves that the series are named after, against the
        reference that the reader chooses.
    """

    name: str
    title: str
    note: str
    x: tuple[str, ...]
    y: str
    series: tuple[Series, ...]
    logarithmic: bool = True
    levels: tuple[tuple[float, str], ...] = ()
    limit: tuple[float, str] | None = None
    instead_of: str = ""
    against: str = ""
