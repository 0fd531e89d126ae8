"""Training data: moving photographs and videos, recorded by a simulated spike camera and memory-mapped from disk.

A sample is the recording of a square scene over one intra period: its spikes, and at each coding instant the true
luminance and the TFP features. Without a folder of pictures, scenes are composed of synthetic pictures (`dead_leaves`),
so that training works without any data.
"""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.datasets._scenes import Scene
from bench.datasets.s_scenes import draw_pictures
from bench.datasets.video import PICTURES, VIDEOS, read_video
from bench.errors import BenchError
from bench.files import whole_file
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.paths import is_left_behind
from bench.pictures import luminance, read_grey
from bench.processes import in_processes
from bench.progress import Progress, silent
from bench.sampling import Sampling
from bench.spikes import PackedSpikes, SpikeCamera, firing_rate

SIZE, FRAMES = 128, 16  # side S of a sample in pixels, and number K of its coding instants
MARGIN = Sampling.margin
NUM_SPIKES = Sampling().num_spikes(FRAMES)
INSTANTS = Sampling().instants(NUM_SPIKES)
RATE, WINDOW = 0.6, 21  # spikes per frame of unit luminance, and spike frames of TFP's window
_LEVELS = 65535  # luminance is quantised to 16 bits, see `bench.datasets._simulated`
# Number of samples from which starting processes takes less time than they save.
_MANY = 100
# Share of the samples that come from videos, where there are both videos and pictures.
_VIDEO_SHARE = 0.25
# Possible numbers of spike frames from one frame of a video to the next, and number of frames that are read.
_FACTORS, _VIDEO_FRAMES = (4, 8, 16, 27), 64
_META = "shards.json"


# A function that interpolates between two frames of a video. Arguments: both frames, H x W, and a number n of steps.
# It returns the first frame and the n - 1 frames between the two, n x H x W.
Between = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Shards:
    """N samples on disk, memory-mapped.

    Attributes
    ----------
    spikes
        N x T x (S * S / 8) uint8, packed as in `PackedSpikes`.
    features, truth
        N x K x S x S uint8: features (TFP, unless `derive` made others) and true luminance at the coding instants.
    digest
        Hash of the sources, the settings and the code that the samples were made with.
    folder
        Folder of the files.
    """

    spikes: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    digest: str
    folder: Path

    def __len__(self) -> int:
        return len(self.truth)

    def pairs(
        self, size: int, crop: int, seed: int, step: int, count: int = 0, plain: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the batch of a step, which depends only on seed and step. Samples are mirrored and transposed at random.

        Parameters
        ----------
        size, crop
            Number of samples in the batch, and side of the random cut-outs in pixels.
        seed, step
            Seed of the training, and number of the step.
        count
            Number of successive coding instants of each sample, starting at a random one; 0 for all.
        plain
            Share of the samples that get the true luminance in place of features.

        Returns
        -------
        features, truth
            Both size x count x crop x crop float32 in [0, 1].
        """
        random, most = np.random.default_rng([seed, step]), self.truth.shape[1]
        count = count or most
        features, truth = (np.empty((size, count, crop, crop), np.float32) for _ in range(2))
        for item, wanted in zip(features, truth, strict=True):
            sample, first = random.integers(len(self)), random.integers(most - count + 1)
            row, column = random.integers(SIZE - crop + 1, size=2)
            place = (sample, slice(first, first + count), slice(row, row + crop), slice(column, column + crop))
            turned = [slice(None, None, step) for step in random.choice([1, -1], 3)]
            crossed = random.random() < 0.5
            source = self.truth if random.random() < plain else self.features
            for target, given in ((item, source), (wanted, self.truth)):
                frames = given[place][tuple(turned)]
                target[:] = frames.transpose(0, 2, 1) if crossed else frames
        return features / np.float32(255), truth / np.float32(255)

    def derive(
        self, key: str, extract: Callable[[np.ndarray, np.ndarray], np.ndarray], progress: Progress = silent
    ) -> Shards:
        """The same samples with other features, which are computed once and kept in the samples' folder.

        Parameters
        ----------
        key
            Text that identifies everything on which the features depend.
        extract
            Function from T x S x S spikes and K instants to K x S x S features in [0, 1]. With many samples it is sent
            to other processes (`bench.processes.in_processes`).
        progress
            Called with the number of finished samples, the number of all and a label.
        """
        path = self.folder / f"features-{digest([key, self.digest])[:16]}.npy"
        if not path.is_file():
            made = in_processes(
                functools.partial(_features, self.folder / "spikes.npy", extract), len(self), _MANY, together=4
            )
            with whole_file(path) as file:
                np.save(file, np.stack([*self._counted(made, progress)]))
        return replace(self, features=np.load(path, mmap_mode="r"), digest=path.stem)

    def _counted(self, features: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
        for number, made in enumerate(features, 1):
            yield made
            progress(number, len(self), "features")

    def scenes(self, size: int, crop: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the batch of a step for codecs of spikes; see `pairs` for the arguments.

        Returns
        -------
        spikes
            size x 2 MARGIN x crop x crop float32 in {0, 1}: the spikes around one random coding instant of each sample.
        truth
            size x 1 x crop x crop float32 in [0, 1]: the true luminance at that instant.
        """
        random = np.random.default_rng([seed, step])
        spikes = np.empty((size, 2 * MARGIN, crop, crop), np.float32)
        truth = np.empty((size, 1, crop, crop), np.float32)
        for target, source in zip(truth, spikes, strict=True):
            sample, k = random.integers(len(self)), random.integers(FRAMES)
            row, column = random.integers(SIZE - crop + 1, size=2)
            window = slice(INSTANTS[k] - MARGIN, INSTANTS[k] + MARGIN)
            place = (slice(None), slice(row, row + crop), slice(column, column + crop))
            source[:] = PackedSpikes(self.spikes[sample, window], SIZE, SIZE)[:][place]
            target[0] = self.truth[sample, k][place[1:]] / np.float32(255)
        return spikes, truth

    def held_out(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Features and luminance of the first samples, both count x K x S x S float32 in [0, 1]."""
        features, truth = (part[:count].astype(np.float32) / np.float32(255) for part in (self.features, self.truth))
        return features, truth


def _features(path: Path, extract: Callable[[np.ndarray, np.ndarray], np.ndarray], number: int) -> np.ndarray:
    """Features of one sample of a file of spikes, K x S x S uint8."""
    spikes = PackedSpikes(np.load(path, mmap_mode="r")[number], SIZE, SIZE)[:]
    return np.rint(np.clip(extract(spikes, INSTANTS), 0, 1) * 255).astype(np.uint8)


def open_shards(
    data: Path | None, cache: Path, samples: int, seed: int, progress: Progress, between: Between | None = None
) -> Shards:
    """Open the samples that are made from a folder; they are simulated first if the cache does not have them.

    Parameters
    ----------
    data
        Folder of pictures or videos, which is searched recursively; None for synthetic pictures (`dead_leaves`).
    cache
        Folder that keeps samples, in one folder for each combination of sources, number, seed and code.
    samples, seed
        Number of samples, and seed of their scenes.
    progress
        Called with the number of finished samples, the number of all and a label.
    between
        Function that interpolates between frames of videos (`Between`); needed if the folder has videos.

    Raises
    ------
    BenchError
        If `data` is missing or holds no pictures or videos, or a video is too short or too small.
    """
    sources = _sources(data)
    hashes = [file_sha256(path) for path in sources]
    code = [code_fingerprint(module) for module in (__name__, *([between.__module__] if between else []))]
    name = digest([hashes, samples, seed, code])[:16]
    folder = cache / name
    if not (folder / _META).is_file():
        _write(folder, _Sources(sources, between), samples, seed, progress)
    arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("spikes", "features", "truth")}
    return Shards(**arrays, digest=name, folder=folder)


@dataclass(frozen=True)
class _Sources:
    """The pictures and videos that samples are made from, and the function that interpolates the videos' frames."""

    paths: Sequence[Path]
    between: Between | None


def _sources(data: Path | None) -> list[Path]:
    """All pictures and videos in a folder and below it, without the files that file managers create there."""
    if data is None:
        return []
    if not data.is_dir():
        raise BenchError(f"no folder {data} to train on")
    kinds = (*PICTURES, *VIDEOS)
    found = sorted(
        path
        for path in data.rglob("*")
        if path.suffix.lower() in kinds and not any(map(is_left_behind, map(Path, path.relative_to(data).parts)))
    )
    if not found:
        raise BenchError(f"{data} holds no pictures or videos")
    return found


def _write(folder: Path, sources: _Sources, samples: int, seed: int, progress: Progress) -> None:
    """Make the samples in a folder of another name, which is renamed to `folder` once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        shapes = {
            "spikes": (NUM_SPIKES, SIZE * SIZE // 8),
            "features": (FRAMES, SIZE, SIZE),
            "truth": (FRAMES, SIZE, SIZE),
        }
        for part, shape in shapes.items():
            np.lib.format.open_memmap(partial / f"{part}.npy", "w+", np.uint8, (samples, *shape)).flush()
        write = functools.partial(_write_sample, partial, sources, seed)
        for done, _ in enumerate(in_processes(write, samples, few=_MANY, together=4), 1):
            progress(done, samples, "training data")
        (partial / _META).write_text(
            json.dumps({"samples": samples, "seed": seed, "sources": len(sources.paths)}) + "\n"
        )
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # else another process has just made the same samples
            raise BenchError(f"{folder}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_sample(folder: Path, sources: _Sources, seed: int, number: int) -> None:
    """Simulate one sample and write it to its place in the arrays of a folder."""
    random = np.random.default_rng([seed, number])
    luminance = _scene(sources, random)
    levels = np.floor(np.clip(luminance, 0, 1) * _LEVELS + 0.5).astype(np.float32)
    camera = SpikeCamera(SIZE, SIZE, theta=float(round(_LEVELS / RATE)), seed=int(random.integers(1 << 31)))
    spikes = camera.expose(levels)
    features = np.minimum(firing_rate(spikes, INSTANTS, WINDOW) / np.float32(RATE), 1)
    sample = {
        "spikes": PackedSpikes.pack(spikes).data.reshape(NUM_SPIKES, -1),
        "features": np.rint(features * 255),
        "truth": np.rint(levels[INSTANTS] * (255 / _LEVELS)),
    }
    for part, values in sample.items():
        array = np.lib.format.open_memmap(folder / f"{part}.npy", "r+")
        array[number] = values
        array.flush()


def _scene(sources: _Sources, random: np.random.Generator) -> np.ndarray:
    """Luminance of a random scene, NUM_SPIKES x SIZE x SIZE: a cut-out of a video, or moving pictures."""
    pictures = [path for path in sources.paths if path.suffix.lower() in PICTURES]
    videos = [path for path in sources.paths if path.suffix.lower() in VIDEOS]
    if videos and (not pictures or random.random() < _VIDEO_SHARE):
        return _video_scene(videos[int(random.integers(len(videos)))], random, sources.between)
    if pictures:
        shown = [luminance(read_grey(path)) for path in draw_pictures(pictures, random)]
    else:
        shown = [dead_leaves(random) for _ in range(int(random.integers(1, 4)))]
    return Scene(shown, random, SIZE, NUM_SPIKES).render(range(NUM_SPIKES))


def _video_scene(path: Path, random: np.random.Generator, between: Between | None) -> np.ndarray:
    """Luminance of a random cut-out of a video, with interpolated frames at the spike frames between its own."""
    if between is None:
        raise BenchError(f"{path} is a video; these samples are made of pictures alone")
    frames = read_video(path, _VIDEO_FRAMES)
    fitting = [factor for factor in _FACTORS if _frames_for(factor) <= len(frames)]
    if not fitting or min(frames.shape[1:]) < SIZE:
        raise BenchError(
            f"{path} is too short or too small to train on ({_frames_for(_FACTORS[-1])} frames of {SIZE} x {SIZE} are "
            "needed)"
        )
    factor = int(random.choice(fitting))
    needed = _frames_for(factor)
    start, row, column = (int(random.integers(n + 1)) for n in np.array(frames.shape) - (needed, SIZE, SIZE))
    piece = luminance(frames[start : start + needed, row : row + SIZE, column : column + SIZE])
    return np.concatenate([*(between(*pair, factor) for pair in pairwise(piece)), piece[-1:]])[:NUM_SPIKES]


def _frames_for(factor: int) -> int:
    """Number of video frames that a sample takes, at `factor` spike frames from one to the next."""
    return -(-(NUM_SPIKES - 1) // factor) + 1


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
