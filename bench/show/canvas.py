"""Pictures that stand side by side, each under two lines of text."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.metrics.quality import psnr_per_frame
from bench.names import file_name
from bench.progress import Progress
from bench.stream.outputs import kind_of_output, write_frames

# Pixels of a panel: smaller pictures are enlarged, so that the words above them fit.
LEAST_WIDTH = 200
LINE, _GAP, _FONT = 15, 6, 12
_GREY = 0.15  # of the ground


class Film(ABC):
    """What one picture or video shows."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What its file is named after where a folder is given (`bench.names.file_name`)."""

    @abstractmethod
    def write(self, out: Path, progress: Progress) -> str:
        """Write a picture or a video; returns one line for the user.

        Parameters
        ----------
        out
            File with one of the suffixes that `bench.stream.outputs` writes, or a folder for pictures.
        progress
            Called before every segment.

        Raises
        ------
        BenchError
            If a spec is wrong, a codec does not run here, or the file cannot be written.
        """


def targets(out: Path, films: Sequence[Film], several: bool) -> list[Path]:
    """The file of each film: `out` itself, or with `several` a video in the folder `out`.

    Raises
    ------
    BenchError
        If there may be several films, and `out` is named like a file.
    """
    if not several:
        return [out]
    if kind_of_output(out):
        raise BenchError(f"{out}: there are several recordings; name a folder, where each gets a video")
    return [out / f"{file_name(*film.names)}.mp4" for film in films]


def write_pictures(out: Path, parts: Iterator[np.ndarray], count: int) -> str:
    """Write K pictures, which come in parts of k x H' x W'; returns the file's name for the user."""
    first = next(parts)
    return write_frames(out, itertools.chain([first], parts), (count, *first.shape[1:]), spikes=False)


@dataclass(frozen=True)
class Panel:
    """One of the pictures that stand side by side: a title, K x H x W frames in [0, 1], and words for each frame."""

    title: str
    frames: np.ndarray
    words: Sequence[str]


def with_psnr(title: str, frames: np.ndarray, truth: np.ndarray | None, words: str = "") -> Panel:
    """A panel whose words also have each frame's PSNR, where the truth is known."""
    if truth is None:
        return Panel(title, frames, [words] * len(frames))
    texts = [f"{value:.2f} dB" for value in psnr_per_frame(frames, truth)]
    return Panel(title, frames, [", ".join(filter(None, (text, words))) for text in texts])


def side_by_side(panels: Sequence[Panel]) -> np.ndarray:
    """All panels in one picture for each of K instants, K x H' x W' float32; at most four stand in a row."""
    times = math.ceil(LEAST_WIDTH / panels[0].frames.shape[2])
    columns = min(len(panels), 4 if len(panels) % 4 == 0 else 3)
    height, width = (times * side for side in panels[0].frames.shape[1:])
    cell = height + 2 * LINE + _GAP, width + _GAP
    shape = -(-len(panels) // columns) * cell[0] + _GAP, columns * cell[1] + _GAP
    canvas = np.full((len(panels[0].frames), *shape), _GREY, np.float32)
    for number, panel in enumerate(panels):
        top, left = (place * side + _GAP for place, side in zip(divmod(number, columns), cell, strict=True))
        below = top + 2 * LINE
        canvas[:, below : below + height, left : left + width] = panel.frames.repeat(times, 1).repeat(times, 2)
        for frame, words in zip(canvas, panel.words, strict=True):
            frame[top:below, left : left + width] = _text(panel.title, words, width)
    return canvas


def _text(title: str, words: str, width: int) -> np.ndarray:
    """Two lines of text, 2 LINE x width in [0, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("L", (width, 2 * LINE), round(255 * _GREY))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_FONT)
    for line, text in enumerate((title, words)):
        draw.text((1, line * LINE), text, fill=235 if line == 0 else 180, font=font)
    return np.asarray(strip, np.float32) / 255
