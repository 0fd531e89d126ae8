"""Reconstructions side by side, from the pictures that a run keeps with its streams (paper Figs. 10, 12, 13, 15)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.interfaces import Codec, Dataset, Recording
from bench.metrics.quality import psnr_per_frame
from bench.names import file_name, shortened
from bench.pictures import read_grey
from bench.progress import silent
from bench.registry import create
from bench.report.plots import figure_title, literal
from bench.report.rows import curve_names
from bench.report.style import save, style
from bench.results.document import picture_path, stream_path, usable_origin
from bench.results.rows import codec_spec
from bench.runner.execute import shown_instant
from bench.stream.recording import Results


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes
    ----------
    title, words
        The two lines above the picture: what it shows, and for a result its rate and quality.
    image
        H x W in [0, 1]; H x W x 3 where it is coloured.
    frames
        Function that returns the same at the coding instants of these numbers, n x H x W in [0, 1]; None where there is
        no such thing. It raises `BenchError` where what it needs is absent.
    """

    title: str
    words: str
    image: np.ndarray
    frames: Callable[[Sequence[int]], np.ndarray] | None = None


@dataclass(frozen=True)
class Sheet:
    """Pictures of one sequence that are shown together.

    Attributes
    ----------
    name
        Name of its file, without suffix.
    title, tiles
        Title of the sheet, and its pictures. Where the first is the truth, the others may be compared with it.
    count
        Number of coding instants; 0 where the pictures are of no one instant.
    """

    name: str
    title: str
    tiles: tuple[Tile, ...]
    count: int = 0

    def draw(self, folder: Path, formats: Sequence[str] = (".png",)) -> list[Path]:
        """Draw the pictures side by side into a file of each format in a folder; returns the files."""
        return draw_tiles(self.tiles, folder / f"{self.name}.png", self.title, formats)


# Space above and below all tiles, inches.
_MARGIN = 0.1
# Width of a letter, in parts of its size.
_LETTER = 0.56


def matched_sheets(table: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> list[Sheet]:
    """Sheets that compare all curves, for the first slow and the first fast sequence of each dataset.

    A sequence of which the run has kept no picture has no sheet. Where conditions show different instants of the
    recording, each instant has a sheet of its own.
    """
    sheets = []
    for dataset, sequence, part in _parts(table, documents):
        for number, (index, rows) in enumerate(part.groupby("index", sort=False)):
            names = (dataset, sequence, str(index)) if number else (dataset, sequence)
            card = documents[rows["run"].iloc[0]]["conditions"][rows["condition"].iloc[0]]
            sheets.append(
                Sheet(f"pictures_{file_name(*names)}", *_tiles(rows, documents), count=int(card["num_frames"]))
            )
    return sheets


def _parts(table: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Dataset, sequence, and the rows that have a picture; their column ``index`` is the spike frame that it shows."""
    reconstructions = table[(table["status"] == "ok") & table["accuracy"].isna()]
    for dataset, rows in reconstructions.groupby("dataset", sort=False):
        for sequence in _examples(rows):
            part = rows[rows["sequence"] == sequence]
            part = part[part["segment"] == part["segment"].min()]
            part = part[
                [picture_path(Path(run), job).exists() for run, job in zip(part["run"], part["job"], strict=True)]
            ]
            if len(part):
                places = [_spike_index(row, documents, picture_instant(row, documents)) for _, row in part.iterrows()]
                yield str(dataset), sequence, part.assign(index=places)


def _examples(rows: pd.DataFrame) -> list[str]:
    """The first sequence of each speed class."""
    return list(dict.fromkeys(rows.groupby("speed_class", sort=False)["sequence"].first()))


def _tiles(rows: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> tuple[str, tuple[Tile, ...]]:
    """Title and tiles of a sheet: truth, spike frame, results.

    The results are all points of one curve, or, of several curves, the point of each that is nearest to a common rate.
    """
    text = "{} {}".format(*rows.iloc[0][["dataset", "sequence"]])
    rows = rows.assign(curve=curve_names(rows))
    if rows["curve"].nunique() > 1:
        rows, rate = _nearest_points(rows)
        text += f", points nearest to {rate:.2g} bits per spike"
    # Only rows with a quality show an instant that has a truth.
    with_truth = rows[rows["psnr"].notna()]
    first = (with_truth if len(with_truth) else rows).iloc[0]
    k = picture_instant(first, documents)
    # Opened once for pictures and films: it may simulate all spikes for the first of them.
    recording = _recording(first, documents)
    places = partial(_places, first, documents)
    truth = recording.truth(places([k]))[0] if len(with_truth) else None
    tiles = []
    if truth is not None:
        tiles.append(Tile(f"truth, instant {k}", "", truth, lambda ks: recording.truth(places(ks))))
    what = f"spikes at instant {k}" if truth is None else "spikes at that instant"
    tiles.append(Tile(what, "", _spikes(recording, places([k]))[0], lambda ks: _spikes(recording, places(ks))))
    for row in rows.to_dict("records"):
        result = result_picture(row)
        if result is not None:
            quality = "" if truth is None else f", {psnr(result, truth):.2f} dB"
            words = f"{row['bpp']:.4f} bpp{quality}"
            frames = partial(_decoded, row, documents)
            tiles.append(Tile(f"{row['curve']}, {row['rate_point']}", words, result, frames))
    return text, tuple(tiles)


def _places(row: pd.Series, documents: dict[str, dict[str, Any]], ks: Sequence[int]) -> list[int]:
    """Indices of the recording's spike frames at coding instants of a row's segment."""
    return [_spike_index(row, documents, int(k)) for k in ks]


def _decoded(row: dict[str, Any], documents: dict[str, dict[str, Any]], ks: Sequence[int]) -> np.ndarray:
    """A row's results at coding instants, n x H x W: its stream is decoded and analyzed."""
    path = stream_path(Path(row["run"]), row["job"])
    if not path.exists():
        raise BenchError("streams stay on the machine where the run was made")
    codec = usable_origin(documents[row["run"]], Codec, codec_spec(row["codec"], row["options"]))
    frames = np.concatenate(list(Results(path, codec=codec).frames(silent)))
    return frames[list(ks)]


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """PSNR of one H x W frame in dB, see `psnr_per_frame`."""
    return float(psnr_per_frame(result[None], truth[None])[0])


def result_picture(row: dict[str, Any]) -> np.ndarray | None:
    """A row's result at the shown instant, H x W float32 in [0, 1]; None where its ``run`` has not kept the picture."""
    path = picture_path(Path(row["run"]), row["job"])
    return read_grey(path).astype(np.float32) / 255 if path.exists() else None


def picture_instant(row: pd.Series, documents: dict[str, dict[str, Any]]) -> int:
    """The number k of the coding instant that a row's picture shows."""
    card = documents[row["run"]]["conditions"][row["condition"]]
    evaluated = range(card["num_frames"]) if row["evaluated"] == "all" else [int(k) for k in row["evaluated"].split()]
    return shown_instant(evaluated, card["num_frames"])


def _nearest_points(rows: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The point of each curve whose rate is nearest (in ratio) to a common rate, and that rate in bits per spike.

    The common rate is the median rate of the lossy points, or of all where none is lossy; among these, of all except
    those of CTA, or of all where only CTA has any.
    """
    lossy = rows[rows["rate_point"] != "lossless"]
    candidates = lossy if len(lossy) else rows
    grey = candidates[candidates["paradigm"] != "cta"]
    rate = float((grey if len(grey) else candidates)["bpp"].median())
    distance = (rows["bpp"] / rate).map(lambda ratio: abs(math.log(ratio)))
    nearest = rows.assign(distance=distance).sort_values("distance", kind="stable").drop_duplicates("curve")
    order = {name: index for index, name in enumerate(("cta", "atc", "caas"))}
    return nearest.sort_values(["paradigm"], key=lambda names: names.astype(object).map(order), kind="stable"), rate


def at_instant(row: pd.Series, documents: dict[str, dict[str, Any]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and spikes of a row's segment at coding instant k, which must have a truth: both H x W float32."""
    recording, places = _recording(row, documents), _places(row, documents, [k])
    return recording.truth(places)[0], _spikes(recording, places)[0]


def _spikes(recording: Recording, places: Sequence[int]) -> np.ndarray:
    """Spike frames of a recording, n x H x W float32 in {0, 1}."""
    return np.stack([recording.spikes(place, place + 1)[0] for place in places]).astype(np.float32)


def _recording(row: pd.Series, documents: dict[str, dict[str, Any]]) -> Recording:
    spec = usable_origin(documents[row["run"]], Dataset, str(row["dataset"]))
    return create(Dataset, spec).open(str(row["sequence"]))


def _spike_index(row: pd.Series, documents: dict[str, dict[str, Any]], k: int) -> int:
    """Index of the recording's spike frame at which a row's coding instant k lies."""
    card = documents[row["run"]]["conditions"][row["condition"]]
    return int(row["segment"]) + int(card["margin"]) + k * int(card["stride"])


def draw_tiles(tiles: Sequence[Tile], path: Path, text: str, formats: Sequence[str] = (".png",)) -> list[Path]:
    """Draw tiles side by side under the title `text`, in a file of each format; `path` names them but for suffixes."""
    from PIL import Image

    figure, axes, characters = _tile_axes(len(tiles), tiles[0].image.shape[0] / tiles[0].image.shape[1])
    figure_title(figure, text)
    names = shortened((tile.title for tile in tiles), characters)
    for axis, tile in zip(axes, tiles, strict=True):
        axis.imshow(tile.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.axis("off")
        axis.set_title(literal("\n".join(filter(None, (names[tile.title], tile.words)))), fontsize=_tile_letters())
    if not style().whole:
        figure.draw_without_rendering()
        # The height was more than enough for tiles as wide as the figure lets them be; what is left over is cut off.
        figure.set_figheight(figure.get_tightbbox().height + _MARGIN)
    files = save(figure, path.parent, path.stem, formats)
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as image:  # 256 colours are enough for grey pictures, and take a third of the bytes
                small = image.convert("RGB").quantize(256)
            small.save(file, optimize=True)
    return files


def _tile_letters() -> float:
    """Size of the letters above a tile, points."""
    return float(mpl.rcParams["legend.fontsize"]) if style().width else 8.0


def _tile_axes(count: int, ratio: float) -> tuple[Figure, list[Axes], int]:
    """An empty figure for tiles of a ratio of height to width, its panels, and how many letters fit above a tile."""
    letters, words = _tile_letters(), 3 * _tile_letters() / 72  # two lines of text and their space, inches
    now = style()
    if now.whole and now.width and now.height:
        # The number of columns that makes the tiles largest.
        room = now.height - 0.6
        sides = {n: min(now.width / n, (room / math.ceil(count / n) - words) / ratio) for n in range(1, count + 1)}
        columns = max(sides, key=lambda n: sides[n])
        size, side = (now.width, now.height), now.width / columns
    elif now.width:
        columns = 2
        side = now.width / columns
        size = now.width, (side * ratio + 2 * words) * math.ceil(count / columns)
    else:
        columns, side = 3 if count in (3, 5, 6) else min(count, 4), 3.1
        size = side * columns, (side * ratio + 0.55) * math.ceil(count / columns) + 0.4
    figure = Figure(figsize=size, layout="compressed")
    axes = list(figure.subplots(math.ceil(count / columns), columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count], max(12, int(side * 72 / (_LETTER * letters)))
