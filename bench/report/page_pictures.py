"""Pictures and films of the page, as WebP files in the text of a JSON element."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.interfaces import to_uint8
from bench.progress import Progress
from bench.report.pictures import Sheet

# A film has at most this many instants.
_INSTANTS = 8
# WebP's quality of what is kept with loss, of 100: films, which show motion, and the pictures of later sheets.
_FILM_QUALITY, _LATER_QUALITY = 55, 85
# Characters of pictures without loss and films: when the first sheets have used them up, later ones have neither. So a
# page of the paper's suite stays below 5 MB with all its pictures.
_BUDGET = 2_000_000
# Pixels that a side of a WebP file may have.
_MOST_PIXELS = 16383


def sheets_data(sheets: Sequence[Sheet], progress: Progress) -> list[dict[str, Any]]:
    """Sheets of pictures as the page's script reads them.

    Parameters
    ----------
    progress
        Called before the pictures of each sheet.

    Returns
    -------
    One mapping for each sheet. ``film`` holds the numbers of the instants of its films; without films it is empty, and
    ``still`` says why. ``exact``: whether its pictures are kept without loss. A tile's ``film`` has its pictures at the
    instants below one another.
    """
    entries: list[dict[str, Any]] = []
    spent = 0
    for done, sheet in enumerate(sheets):
        progress(done, len(sheets), f"films of {sheet.title}")
        exact = spent < _BUDGET
        height = sheet.tiles[0].image.shape[0]
        instants, films, reason = _films(sheet, min(_INSTANTS, _MOST_PIXELS // height) if exact else 0)
        tiles = [
            {
                "title": tile.title,
                "words": tile.words,
                "image": webp(to_uint8(tile.image), 100 if exact else _LATER_QUALITY),
                "film": webp(film.reshape(-1, film.shape[-1]), _FILM_QUALITY) if film is not None else "",
            }
            for tile, film in zip(sheet.tiles, films, strict=True)
        ]
        spent += sum(len(tile["image"]) + len(tile["film"]) for tile in tiles)
        truth = sheet.tiles[0].title.startswith("truth")
        entries.append(
            {"title": sheet.title, "truth": truth, "exact": exact, "film": instants, "still": reason, "tiles": tiles}
        )
    return entries


def _films(sheet: Sheet, most: int) -> tuple[list[int], list[np.ndarray | None], str]:
    """Instants, the pictures of each tile at them (n x H x W uint8), and why there are none."""
    none: list[np.ndarray | None] = [None] * len(sheet.tiles)
    if sheet.count < 2:
        return [], none, "These pictures are of one instant."
    if not most:
        return [], none, "Only the first scenes have films, so that the page stays small."
    instants = sorted({*np.linspace(0, sheet.count - 1, min(most, sheet.count)).astype(int).tolist()})
    films, reasons = [], []
    for tile in sheet.tiles:
        film = None
        if tile.frames is not None:
            try:
                film = to_uint8(np.clip(tile.frames(instants), 0, 1))
            except BenchError as error:
                reasons.append(str(error))
        films.append(film)
    if reasons:
        return [], none, f"No film of this scene: {reasons[0]}."
    return instants, films, ""


def webp(picture: np.ndarray, quality: int = 100) -> str:
    """An H x W or H x W x 3 picture of 8 bits as a WebP file in a data URL; without loss at quality 100."""
    from PIL import Image

    file = io.BytesIO()
    # Spikes, of two values, take many times the bytes with loss.
    lossless = quality == 100 or len(np.unique(picture)) <= 2
    Image.fromarray(picture).save(file, "WEBP", lossless=lossless, quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
