"""How figures are sized, lettered and saved: for a screen, for a column of a paper, or for slides.

A function that draws takes its figure from `panels` and gives it to `save`. `drawing` sets the style and the formats of
all figures that are drawn within it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

StyleName = Literal["screen", "paper", "slides"]
_CM = 1 / 2.54


@dataclass(frozen=True)
class Style:
    """The look of all figures.

    Attributes
    ----------
    width, height
        Width of a figure and height of a panel, inches. None: what the function that draws asks for.
    whole
        Whether the height is that of the whole figure, and nothing may make it grow.
    titled
        Whether a figure has a title; in a paper the caption is its title.
    parts
        Whether a figure of all sequences also has panels for the slow and the fast ones.
    dpi
        Pixels per inch of PNG files.
    settings
        Matplotlib's settings.
    """

    width: float | None = None
    height: float | None = None
    whole: bool = False
    titled: bool = True
    parts: bool = True
    dpi: int = 120
    settings: Any = field(default_factory=dict)


# Ten colours that readers with colour-blindness tell apart, on white and on black (M. A. Petroff, arXiv:2107.02270).
COLOURS: tuple[str, ...] = tuple(mpl.colors.to_hex(colour) for colour in mpl.color_sequences["petroff10"])
# Fonts are embedded as TrueType, since many publishers refuse Type 3.
_COMMON = {
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "spikebench", "axes.prop_cycle": cycler(color=COLOURS),
}  # fmt: skip
STYLES: dict[StyleName, Style] = {
    "screen": Style(settings=_COMMON | {"figure.titlesize": 11, "legend.fontsize": 8}),
    # One column of a two-column page.
    "paper": Style(
        8.5 * _CM, 5.6 * _CM, titled=False, parts=False, dpi=300,
        settings=_COMMON | {
            "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
            "legend.fontsize": 6, "legend.columnspacing": 0.8, "legend.handlelength": 1.6, "figure.titlesize": 8,
            "lines.linewidth": 1.1, "lines.markersize": 4, "axes.linewidth": 0.6,
            "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4,
        },
    ),
    "slides": Style(
        13.333, 7.5, whole=True, parts=False, dpi=144,
        settings=_COMMON | {
            "font.size": 18, "axes.titlesize": 18, "axes.labelsize": 18, "xtick.labelsize": 15, "ytick.labelsize": 15,
            "legend.fontsize": 14, "figure.titlesize": 22, "lines.linewidth": 2.8,
            "lines.markersize": 11, "axes.linewidth": 1.2,
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class _Drawing:
    style: Style
    formats: tuple[str, ...]
    only: frozenset[str] | None = None
    left_out: set[str] = field(default_factory=set)


_OUTSIDE = _Drawing(STYLES["screen"], (".png",))
_now: ContextVar[_Drawing] = ContextVar("drawing", default=_OUTSIDE)


@contextmanager
def drawing(
    name: StyleName = "screen", formats: Sequence[str] = (".png",), only: Sequence[str] | None = None
) -> Iterator[set[str]]:
    """Draw in a style, and save in these formats (``.png``, ``.svg``, ``.pdf``), within a ``with`` block.

    With `only`, figures of other names are not saved; the block gets a set that fills with their names.
    """
    now = _Drawing(STYLES[name], tuple(formats), None if only is None else frozenset(only))
    token = _now.set(now)
    try:
        with mpl.rc_context(now.style.settings):
            yield now.left_out
    finally:
        _now.reset(token)


def style() -> Style:
    """The present style."""
    return _now.get().style


def panels(count: int, size: tuple[float, float], columns: int = 0) -> tuple[Figure, list[Axes]]:
    """An empty figure of several panels, and the panels by lines.

    Parameters
    ----------
    size
        Width and height of a panel on a screen, inches.
    columns
        Number of panels in a line on a screen; 0 for all.
    """
    now = style()
    if now.width is None or now.height is None:
        columns = columns or count
        lines = math.ceil(count / columns)
        figure = Figure(figsize=(size[0] * columns, size[1] * lines), layout="constrained")
    elif now.whole:
        columns = min(count, 4)
        lines = math.ceil(count / columns)
        figure = Figure(figsize=(now.width, now.height), layout="constrained")
    else:
        columns = 1 if count <= 3 else 2
        lines = math.ceil(count / columns)
        figure = Figure(figsize=(now.width, now.height / columns * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ()) -> list[Path]:
    """Save a figure under a name in a folder, once in each of the present formats or of `formats`; gives the files.

    A figure that is not wanted (`drawing`) has no files.
    """
    now = _now.get()
    if now.only is not None and name not in now.only:
        now.left_out.add(name)
        return []
    paths = [folder / f"{name}{suffix}" for suffix in formats or now.formats]
    # Without a date, the same figure is the same file.
    dates: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context(style().settings):
        for path in paths:
            figure.savefig(path, dpi=style().dpi, metadata=dates.get(path.suffix))
    return paths
