"""What training data is made of: photographs, videos, and septuplets of Vimeo-90K.

A scene is composed of moving photographs, or cut out of a clip: a video, or the seven pictures of a septuplet. Without
a folder, photographs are replaced by synthetic pictures (`dead_leaves`), so that training works without any data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.datasets._scenes import Scene
from bench.datasets.s_scenes import draw_pictures
from bench.datasets.s_vimeo import Split, septuplet_list, septuplet_names, septuplet_pictures
from bench.datasets.video import PICTURES, VIDEOS, read_video
from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.paths import is_left_behind
from bench.pictures import luminance, read_grey, read_same

# Share of the scenes that come from clips, where there are both clips and photographs.
_CLIP_SHARE = 0.25
# Possible numbers of spike frames from one frame of a video to the next, and number of frames that are read.
_FACTORS: tuple[int, ...] = (4, 8, 16, 27)
_VIDEO_FRAMES = 64
# The same of a septuplet: its seven pictures last a whole sample, or lie as far apart as in s-vimeo by default.
_SEPTUPLET_FACTORS: tuple[int, ...] = (27, 48)

Between = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""A function that interpolates between two frames of a clip. Arguments: both frames, H x W, and a number n of steps.
It returns the first frame and the n - 1 frames between the two, n x H x W."""


@dataclass(frozen=True)
class Sources:
    """Photographs and clips of which scenes are made.

    Attributes
    ----------
    pictures
        Files of photographs.
    clips
        Files of videos and folders of septuplets, by number; `drawn_by` leaves out those that no sample draws.
    count
        Number of clips from which samples draw.
    between
        Function that interpolates between the frames of clips.
    """

    pictures: Sequence[Path]
    clips: Mapping[int, Path]
    count: int
    between: Between | None = None

    def drawn_by(self, samples: Iterable[np.random.Generator]) -> Sources:
        """The same sources without the clips that no scene of these generators is cut out of: a set may have 64,612."""
        numbers = {self._draw_clip(random) for random in samples} - {None}
        return replace(self, clips={number: path for number, path in self.clips.items() if number in numbers})

    def hashes(self) -> list[object]:
        """SHA-256 of all files that scenes depend on, with the numbers of the clips.

        Raises
        ------
        BenchError
            If a septuplet lacks a picture.
        """
        clips = [[number, *(file_sha256(file) for file in _files(path))] for number, path in self.clips.items()]
        return [[file_sha256(path) for path in self.pictures], self.count, clips]

    def scene(self, random: np.random.Generator, size: int, num_spikes: int) -> np.ndarray:
        """Luminance of a random scene, num_spikes x size x size float32 in [0, 1].

        Raises
        ------
        BenchError
            If a clip is too short or too small, or cannot be read.
        """
        number = self._draw_clip(random)
        if number is not None:
            return _cut_out(self.clips[number], random, size, num_spikes, self.between)
        if self.pictures:
            pictures = [luminance(read_grey(path)) for path in draw_pictures(self.pictures, random)]
        else:
            pictures = [dead_leaves(random) for _ in range(int(random.integers(1, 4)))]
        return Scene(pictures, random, size, num_spikes).render(range(num_spikes))

    def _draw_clip(self, random: np.random.Generator) -> int | None:
        """Number of the clip that a scene is cut out of; None for a scene of photographs."""
        if self.count and (not self.pictures or random.random() < _CLIP_SHARE):
            return int(random.integers(self.count))
        return None


def find_sources(data: Path | None, between: Between | None = None, split: Split = "train") -> Sources:
    """All photographs and clips in a folder and below it, without the files that file managers create there.

    Of a ``vimeo_septuplet`` folder (or one inside its ``sequences``) only the septuplets of a list are taken, as clips.

    Raises
    ------
    BenchError
        If the folder is missing or holds none of these, or a septuplet is in the lists of both parts of the set.
    """
    if data is None:
        return Sources((), {}, 0)
    if not data.is_dir():
        raise BenchError(f"no folder {data} to train on")
    files = sorted(_walk(data, split))
    clips = [path for path in files if path.suffix.lower() not in PICTURES]
    if not files:
        raise BenchError(f"{data} holds no pictures, videos or septuplets of Vimeo-90K's {split} list")
    if clips and between is None:
        raise BenchError(f"{clips[0]} is a clip; these samples are made of pictures alone")
    return Sources(
        [path for path in files if path.suffix.lower() in PICTURES], dict(enumerate(clips)), len(clips), between
    )


def _walk(data: Path, split: Split) -> Iterator[Path]:
    """Files of photographs and videos in a folder and below it, and folders of septuplets."""
    for whole in (data.absolute(), data.resolve()):
        for root in whole.parents:
            if whole.is_relative_to(root / "sequences") and _is_vimeo(root):
                yield from (path for path in _septuplets(root, split) if path.is_relative_to(whole))
                return
    for folder, inside, names in os.walk(data):
        here = Path(folder)
        if _is_vimeo(here):
            yield from _septuplets(here, split)
            inside[:] = [name for name in inside if name != "sequences"]
        inside[:] = [name for name in inside if not is_left_behind(Path(name))]
        for path in (here / name for name in names if not is_left_behind(Path(name))):
            if path.suffix.lower() in (*PICTURES, *VIDEOS):
                yield path


def _is_vimeo(folder: Path) -> bool:
    return septuplet_list(folder, "train").is_file() and (folder / "sequences").is_dir()


def _septuplets(root: Path, split: Split) -> list[Path]:
    """Folders of the septuplets of a list."""
    names = {part: septuplet_names(septuplet_list(root, part)) for part in ("train", "test")}
    if both := sorted({*names["train"]} & {*names["test"]}):
        raise BenchError(f"{root}: septuplet {both[0]} is in both lists, training and test")
    return [root / "sequences" / name for name in names[split]]


def _files(clip: Path) -> list[Path]:
    """The files of a clip: a video, or a septuplet's pictures."""
    if clip.suffix:
        return [clip]
    pictures = septuplet_pictures(clip)
    for path in pictures:
        if not path.is_file():
            raise BenchError(f"{path} does not exist, though Vimeo-90K's list names it")
    return pictures


def _cut_out(
    clip: Path, random: np.random.Generator, size: int, num_spikes: int, between: Between | None
) -> np.ndarray:
    """Luminance of a random cut-out of a clip, with interpolated frames at the spike frames between its own."""
    is_video = bool(clip.suffix)
    frames = read_video(clip, _VIDEO_FRAMES) if is_video else read_same(septuplet_pictures(clip), clip)
    factors = _FACTORS if is_video else _SEPTUPLET_FACTORS
    lengths = {factor: -(-(num_spikes - 1) // factor) + 1 for factor in factors}
    fitting = [factor for factor in factors if lengths[factor] <= len(frames)]
    if not fitting or min(frames.shape[1:]) < size:
        raise BenchError(
            f"{clip} is too short or too small to train on ({min(lengths.values())} frames of {size} x {size} are "
            "needed)"
        )
    factor = int(random.choice(fitting))
    start, row, column = (int(random.integers(n + 1)) for n in np.array(frames.shape) - (lengths[factor], size, size))
    piece = luminance(frames[start : start + lengths[factor], row : row + size, column : column + size])
    assert between is not None  # noqa: S101 -- `find_sources` has seen to it
    return np.concatenate([*(between(*pair, factor) for pair in pairwise(piece)), piece[-1:]])[:num_spikes]


def dead_leaves(random: np.random.Generator, size: int = 192) -> np.ndarray:
    """A random picture of overlapping shaded discs with power-law radii; its statistics resemble those of photographs.

    Returns
    -------
    numpy.ndarray
        size x size float32 in [0, 1].
    """
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    picture = np.zeros((size, size), np.float32)
    # The radii r have density r^-3 between 3 pixels and a third of the side; the last disc lies on top.
    radii = 3 / np.sqrt(1 - random.random(700) * (1 - (9 / size) ** 2))
    for radius, (row, column), (level, slope_row, slope_column, texture) in zip(
        radii, random.random((700, 2)) * size, random.random((700, 4)), strict=True
    ):
        box = tuple(slice(max(0, int(middle - radius - 1)), int(middle + radius + 2)) for middle in (row, column))
        dy, dx = rows[box] - row, columns[box] - column
        shade = level + 0.3 * ((slope_row - 0.5) * dy + (slope_column - 0.5) * dx) / radius
        shade = shade + 0.1 * texture * np.sin(dx * (0.2 + slope_row) + dy * (0.2 + slope_column))
        inside = np.clip(radius - np.hypot(dy, dx) + 0.5, 0, 1)
        picture[box] += (inside * (shade - picture[box])).astype(np.float32)
    return np.clip(picture, 0, 1)
