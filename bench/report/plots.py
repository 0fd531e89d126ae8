"""RD curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.rows import curve_names, judged, mean_points, per_sequence, sequence_range

# Colour tells the codec, line and marker the paradigm.
_COLOURS = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
PARADIGM_STYLES = {"cta": (":", "s"), "atc": ("--", "^"), "caas": ("-", "o")}


def rd_plot(table: pd.DataFrame, dataset: str, paths: Sequence[Path]) -> None:
    """Draw PSNR over bits per spike, for all sequences and for each speed class, into PNG or SVG files."""
    points = judged(per_sequence(table[table["dataset"] == dataset]))
    rows = table.loc[points["first"]]
    classes = [name for name in ("low", "high") if (rows["speed_class"] == name).any()]
    panels = [("all sequences", points, rows["sequence"].nunique())]
    for name in classes:
        count = rows.loc[rows["speed_class"] == name, "sequence"].nunique()
        panels.append((f"{name}-speed", points[points["speed_class"] == name], count))
    figure = Figure(figsize=(5.2 * len(panels) + 2.6, 4.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    labels = list(rows["label"].unique())
    for axis, (title, part, count) in zip(axes, panels, strict=True):
        _draw(axis, part, labels)
        axis.set_title(literal(f"{dataset}, {title} ({count})"))
    axes[0].set_ylabel("PSNR [dB]")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", fontsize=8, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "spikebench"}):
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw(axis: Axes, points: pd.DataFrame, labels: list[str]) -> None:
    means = mean_points(points)
    means["curve"] = curve_names(means)
    for name, curve in means.groupby("curve", sort=False):
        paradigm, label = curve[["paradigm", "label"]].iloc[0]
        uneven = ""
        if curve["sequences"].nunique() > 1:
            uneven = f" ({sequence_range(curve)} sequences)"
        line, marker = PARADIGM_STYLES.get(paradigm, ("-.", "x"))
        colour = codec_colour(labels, label)
        # ATC and CAAS coincide under the identity analyzer: an open marker shows both.
        fill = "none" if paradigm == "atc" else colour
        size = 8 if paradigm == "atc" else 5
        axis.plot(
            curve["bpp"], curve["psnr"], line, marker=marker, color=colour, label=literal(f"{name}{uneven}"),
            markerfacecolor=fill, markersize=size, linewidth=1.4,
        )  # fmt: skip
    axis.axvline(1.0, color="0.6", linewidth=1, zorder=0)
    bits_axis(axis)


def literal(text: object) -> str:
    """A name as matplotlib draws it letter by letter: between two dollars it would read mathematics."""
    return str(text).replace("$", r"\$")


def codec_colour(labels: list[str], label: str) -> tuple[float, float, float]:
    """A codec's colour among those of a figure."""
    colour: tuple[float, float, float] = _COLOURS[labels.index(label) % len(_COLOURS)]
    return colour


def bits_axis(axis: Axes) -> None:
    """Make the x axis that of rates."""
    axis.set_xscale("log")
    axis.tick_params("x", which="minor", labelsize="x-small")  # of a narrow axis: several to the decade
    axis.set_xlabel("bits per spike (raw = 1)")
    axis.grid(True, which="both", color="0.92", linewidth=0.6)
