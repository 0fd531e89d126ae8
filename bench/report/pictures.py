"""Reconstructions side by side, from the pictures that a run keeps beside its streams (paper Figs. 10, 12, 13, 15)."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.datasets._files import read_grey
from bench.interfaces import Dataset, to_uint8
from bench.metrics.quality import psnr_per_frame
from bench.registry import create
from bench.report.plots import literal
from bench.report.rows import file_name
from bench.runner.execute import shown_instant
from bench.runner.run import picture_path, usable_origin


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes
    ----------
    title, words
        What it is; rate and quality where it is a result.
    image
        H x W in [0, 1].
    """

    title: str
    words: str
    image: np.ndarray

    def webp(self) -> bytes:
        """The picture in 8 bits as a lossless WebP file, which is a quarter smaller than a PNG file."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(to_uint8(self.image)).save(file, "WEBP", lossless=True, quality=100, method=4)
        return file.getvalue()


@dataclass(frozen=True)
class Sheet:
    """Pictures of one sequence.

    Attributes
    ----------
    name
        Of its file, without the suffix.
    title, tiles
        What it shows.
    """

    name: str
    title: str
    tiles: tuple[Tile, ...]

    def draw(self, folder: Path) -> Path:
        """Draw the pictures side by side into a PNG file; returns it."""
        path = folder / f"{self.name}.png"
        draw_tiles(self.tiles, path, self.title)
        return path


_CURVE = ["paradigm", "label", "extractor", "analyzer"]


def matched_sheets(table: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> list[Sheet]:
    """One sheet for a slow and a fast sequence of each dataset; none where no picture was kept."""
    return [
        Sheet(f"pictures_{file_name(dataset)}_{file_name(sequence)}", *_tiles(part, documents))
        for dataset, sequence, part in _parts(table)
    ]


def _parts(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Dataset, sequence and rows with a picture of each sheet."""
    done = table[(table["status"] == "ok") & table["psnr"].notna()]
    for dataset, rows in done.groupby("dataset", sort=False):
        for sequence in _chosen(rows):
            part = rows[(rows["sequence"] == sequence) & (rows["segment"] == rows["segment"].min())]
            part = part[
                [picture_path(Path(run), job).exists() for run, job in zip(part["run"], part["job"], strict=True)]
            ]
            if len(part):
                yield str(dataset), sequence, part


def _chosen(rows: pd.DataFrame) -> list[str]:
    chosen = rows.groupby("speed_class", sort=False)["sequence"].first()
    return list(dict.fromkeys(chosen))


def _tiles(rows: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> tuple[str, tuple[Tile, ...]]:
    """Truth, a spike frame, and all points of a curve; of several curves, each one's point nearest to a common rate."""
    title = "{} {}".format(*rows.iloc[0][["dataset", "sequence"]])
    if len(rows.drop_duplicates(_CURVE)) > 1:
        rows, rate = _matched(rows)
        title += f", points nearest to {rate:.4g} bits per spike"
    k = shown(rows.iloc[0], documents)
    truth, spikes = at_instant(rows.iloc[0], documents, k)
    tiles = [Tile(f"truth, instant {k}", "", truth), Tile("spikes at that instant", "", spikes)]
    for row in rows.to_dict("records"):
        result = result_picture(row)
        if result is not None:
            name = f"{row['paradigm'].upper()} {row['label']}, {row['rate_point']}"
            tiles.append(Tile(name, f"{row['bpp']:.4f} bpp, {psnr(result, truth):.2f} dB", result))
    return title, tuple(tiles)


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Of one frame, dB."""
    return float(psnr_per_frame(found[None], truth[None])[0])


def result_picture(row: dict[str, Any]) -> np.ndarray | None:
    """H x W result at the shown instant, of a row with its ``run``; None where the run has not kept it."""
    path = picture_path(Path(row["run"]), row["job"])
    return read_grey(path).astype(np.float32) / 255 if path.exists() else None


def shown(row: pd.Series, documents: dict[str, dict[str, Any]]) -> int:
    """The coding instant that a row's picture shows."""
    card = documents[row["run"]]["conditions"][row["condition"]]
    every = row["evaluated"] == "all"
    return shown_instant(range(card["num_frames"]) if every else [int(k) for k in row["evaluated"].split()])


def _matched(rows: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The point of each curve whose rate lies nearest (in ratio) to the middle rate of the lossy grey codecs."""
    grey = rows[rows["paradigm"] != "cta"]
    rate = float((grey if len(grey) else rows)["bpp"].median())
    distance = (rows["bpp"] / rate).map(lambda ratio: abs(math.log(ratio)))
    nearest = rows.assign(distance=distance).sort_values("distance", kind="stable").drop_duplicates(_CURVE)
    order = {name: index for index, name in enumerate(("cta", "atc", "caas"))}
    return nearest.sort_values(["paradigm"], key=lambda names: names.astype(object).map(order), kind="stable"), rate


def at_instant(row: pd.Series, documents: dict[str, dict[str, Any]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """H x W luminance and spikes of a row's segment at coding instant k."""
    document = documents[row["run"]]
    card = document["conditions"][row["condition"]]
    recording = create(Dataset, usable_origin(document, Dataset, str(row["dataset"]))).open(str(row["sequence"]))
    index = int(row["segment"]) + card["margin"] + k * card["stride"]
    return recording.truth([index])[0], recording.spikes(index, index + 1)[0].astype(np.float32)


def draw_tiles(tiles: Sequence[Tile], path: Path, title: str) -> None:
    """Draw pictures side by side into a PNG file; they may be coloured, H x W x 3."""
    from PIL import Image

    columns = 3 if len(tiles) in (3, 5, 6) else 4
    lines = math.ceil(len(tiles) / columns)
    height, width = tiles[0].image.shape[:2]
    figure = Figure(figsize=(3.1 * columns, (3.1 * height / width + 0.55) * lines + 0.4), layout="constrained")
    figure.suptitle(literal(title), fontsize=10)
    for axis in figure.subplots(lines, columns, squeeze=False).flat:
        axis.axis("off")
    for axis, tile in zip(figure.axes, tiles, strict=False):
        axis.imshow(tile.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(literal("\n".join(filter(None, (tile.title, tile.words)))), fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=85)
    with Image.open(drawn) as image:  # 256 colours are enough for grey pictures, in a third of the bytes
        image.convert("RGB").quantize(256).save(path, optimize=True)
