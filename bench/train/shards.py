"""Training data: photographs or videos in motion before a simulated spike camera, written once, read memory-mapped.

A sample is a short recording of a square cut-out: its spikes, the true luminance at the coding instants, and TFP
features there. Without a folder of pictures, samples are drawn from `dead_leaves`, so that training works anywhere.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.datasets._files import luminance, read_grey
from bench.datasets.video import PICTURES, VIDEOS, read_video
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.paths import is_left_behind
from bench.progress import Progress, silent
from bench.spikes import PackedSpikes, SpikeCamera, firing_rate

SIZE, FRAMES, STRIDE, MARGIN = 128, 6, 8, 20
NUM_SPIKES = 2 * MARGIN + (FRAMES - 1) * STRIDE + 1
INSTANTS = MARGIN + STRIDE * np.arange(FRAMES)
RATE, WINDOW = 0.6, 21
_LEVELS = 65535
_VIDEO_FRAMES = 64
_META = "shards.json"


@dataclass(frozen=True)
class Shards:
    """Samples on disk.

    Attributes
    ----------
    spikes
        N x T x S*S/8 packed bytes.
    features, truth
        N x K x S x S uint8: TFP at the coding instants, and the luminance there.
    digest
        What the samples were made from and by.
    folder
        Where they lie.
    """

    spikes: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    digest: str
    folder: Path

    def __len__(self) -> int:
        return len(self.truth)

    def frames(self, size: int, crop: int, seed: int, step: int) -> np.ndarray:
        """Batch of a step: the same for the same seed and step, whatever ran before.

        Returns
        -------
        numpy.ndarray
            size x K x crop x crop float32 in [0, 1]: TFP features mostly, true luminance for the rest.
        """
        random = np.random.default_rng([seed, step])
        batch = np.empty((size, FRAMES, crop, crop), np.float32)
        for item in batch:
            source = self.truth if random.random() < 0.3 else self.features
            row, column = random.integers(SIZE - crop + 1, size=2)
            frames = source[random.integers(len(self)), :, row : row + crop, column : column + crop]
            item[:] = frames[:: random.choice([1, -1]), :: random.choice([1, -1]), :: random.choice([1, -1])]
            if random.random() < 0.5:
                item[:] = item.transpose(0, 2, 1).copy()
        return batch / np.float32(255)

    def pairs(self, size: int, crop: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch of a step for analysis: features and luminance, both size x K x crop x crop float32 in [0, 1]."""
        random = np.random.default_rng([seed, step])
        features, truth = (np.empty((size, FRAMES, crop, crop), np.float32) for _ in range(2))
        for item, wanted in zip(features, truth, strict=True):
            sample = random.integers(len(self))
            row, column = random.integers(SIZE - crop + 1, size=2)
            flips = tuple(slice(None, None, step) for step in random.choice([1, -1], 3))
            for target, source in ((item, self.features), (wanted, self.truth)):
                target[:] = source[sample, :, row : row + crop, column : column + crop][flips]
        return features / np.float32(255), truth / np.float32(255)

    def derive(
        self, key: str, extract: Callable[[np.ndarray, np.ndarray], np.ndarray], progress: Progress = silent
    ) -> Shards:
        """The same samples with other features, written once beside them.

        Parameters
        ----------
        key
            Stands for everything that the features depend on.
        extract
            Spikes T x S x S and instants to features K x S x S in [0, 1].
        """
        path = self.folder / f"features-{digest([key, self.digest])[:16]}.npy"
        if not path.is_file():
            partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
            with partial.open("wb") as file:
                np.save(file, np.stack([*self._derived(extract, progress)]))
            partial.replace(path)
        return replace(self, features=np.load(path, mmap_mode="r"), digest=path.stem)

    def _derived(
        self, extract: Callable[[np.ndarray, np.ndarray], np.ndarray], progress: Progress
    ) -> Iterator[np.ndarray]:
        for number, packed in enumerate(self.spikes, 1):
            spikes = PackedSpikes(packed, SIZE, SIZE)[:]
            yield np.rint(np.clip(extract(spikes, INSTANTS), 0, 1) * 255).astype(np.uint8)
            progress(number, len(self), "features")

    def scenes(self, size: int, crop: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch of a step for codecs of spikes.

        Returns
        -------
        spikes, truth
            size x 2 MARGIN x crop x crop float32 in {0, 1}, the spikes around one coding instant each, and
            size x 1 x crop x crop float32 in [0, 1], the luminance there.
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

    def held_out(self, count: int) -> np.ndarray:
        """TFP features of the first samples, count x K x S x S float32 in [0, 1]."""
        return self.features[:count].astype(np.float32) / 255


def open_shards(data: Path | None, cache: Path, samples: int, seed: int, progress: Progress) -> Shards:
    """Open the samples of a folder, making them first where they are not there yet.

    Parameters
    ----------
    data
        Folder of pictures or videos (searched recursively), or None for `dead_leaves`.
    cache
        Where shards are kept, one folder for each source, number and seed.

    Raises
    ------
    BenchError
        If the folder is missing or holds nothing to train on.
    """
    sources = _sources(data)
    hashes = [file_sha256(path) for path in sources]
    name = digest([hashes, samples, seed, code_fingerprint(__name__)])[:16]
    folder = cache / name
    if not (folder / _META).is_file():
        _write(folder, sources, samples, seed, progress)
    arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("spikes", "features", "truth")}
    return Shards(**arrays, digest=name, folder=folder)


def _sources(data: Path | None) -> list[Path]:
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


def _write(folder: Path, sources: Sequence[Path], samples: int, seed: int, progress: Progress) -> None:
    """Write into a folder beside the final one, and rename it when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        shapes = {
            "spikes": (NUM_SPIKES, SIZE * SIZE // 8),
            "features": (FRAMES, SIZE, SIZE),
            "truth": (FRAMES, SIZE, SIZE),
        }
        arrays = {
            part: np.lib.format.open_memmap(partial / f"{part}.npy", "w+", np.uint8, (samples, *shape))
            for part, shape in shapes.items()
        }
        for i in range(samples):
            random = np.random.default_rng([seed, i])
            luminance = _scene(sources, random)
            levels = np.floor(np.clip(luminance, 0, 1) * _LEVELS + 0.5).astype(np.float32)
            camera = SpikeCamera(SIZE, SIZE, theta=float(round(_LEVELS / RATE)), seed=int(random.integers(1 << 31)))
            spikes = camera.expose(levels)
            features = np.minimum(firing_rate(spikes, INSTANTS, WINDOW) / np.float32(RATE), 1)
            arrays["spikes"][i] = PackedSpikes.pack(spikes).data.reshape(NUM_SPIKES, -1)
            arrays["features"][i] = np.rint(features * 255)
            arrays["truth"][i] = np.rint(levels[INSTANTS] * (255 / _LEVELS))
            progress(i + 1, samples, "training data")
        for array in arrays.values():
            array.flush()
        (partial / _META).write_text(json.dumps({"samples": samples, "seed": seed, "sources": len(sources)}) + "\n")
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # another process was faster
            raise BenchError(f"{folder}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _scene(sources: Sequence[Path], random: np.random.Generator) -> np.ndarray:
    """Luminance NUM_SPIKES x SIZE x SIZE: a background and a faster object before it, both moving."""
    if sources:
        chosen = sources[int(random.integers(len(sources)))]
        if chosen.suffix.lower() in VIDEOS:
            return _video_scene(chosen, random)
        background, cutout = _picture(chosen), _picture(_another_picture(sources, random) or chosen)
    else:
        background, cutout = dead_leaves(random), dead_leaves(random)
    frames = _moving(background, random, float(np.exp(random.uniform(np.log(0.02), np.log(0.7)))))
    speed = float(np.exp(random.uniform(np.log(0.1), np.log(2.0))))
    cover = _cover(random, speed)
    return frames + cover * (_moving(cutout, random, speed) - frames)


def _another_picture(sources: Sequence[Path], random: np.random.Generator) -> Path | None:
    pictures = [path for path in sources if path.suffix.lower() in PICTURES]
    return pictures[int(random.integers(len(pictures)))] if pictures else None


def _picture(path: Path) -> np.ndarray:
    return luminance(read_grey(path))


def _video_scene(path: Path, random: np.random.Generator) -> np.ndarray:
    """A cut-out of a video, its frames interpolated to spike instants."""
    factor = int(random.choice([4, 8, 16]))
    needed = -(-(NUM_SPIKES - 1) // factor) + 1
    frames = read_video(path, _VIDEO_FRAMES)
    if len(frames) < needed or min(frames.shape[1:]) < SIZE:
        raise BenchError(
            f"{path} is too short or too small to train on ({needed} frames of {SIZE} x {SIZE} are needed)"
        )
    start, row, column = (int(random.integers(n + 1)) for n in np.array(frames.shape) - (needed, SIZE, SIZE))
    piece = luminance(frames[start : start + needed, row : row + SIZE, column : column + SIZE])
    index, part = np.divmod(np.arange(NUM_SPIKES), factor)
    weight = (part / factor).astype(np.float32)[:, None, None]
    return piece[index] + weight * (piece[np.minimum(index + 1, needed - 1)] - piece[index])


def _moving(picture: np.ndarray, random: np.random.Generator, speed: float) -> np.ndarray:
    """The picture panning, turning and zooming; bicubic, continued as its own mirror image."""
    import torch
    import torch.nn.functional as F

    heading, turn, zoom = random.uniform(0, 2 * np.pi), random.normal(0, 3e-4), random.normal(0, 2e-4)
    scale = float(np.exp(random.uniform(np.log(0.5), np.log(1.3))))
    centre = random.uniform(0.25, 0.75, 2) * np.array(picture.shape[::-1])
    time = np.arange(NUM_SPIKES) - NUM_SPIKES / 2
    angle, size = random.uniform(-0.2, 0.2) + turn * time, scale * np.exp(zoom * time)
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    x, y = offset[None, None, :], offset[None, :, None]
    cosine, sine = (size * np.cos(angle))[:, None, None], (size * np.sin(angle))[:, None, None]
    columns = centre[0] + (speed * time * np.cos(heading))[:, None, None] + cosine * x - sine * y
    rows = centre[1] + (speed * time * np.sin(heading))[:, None, None] + sine * x + cosine * y
    height, width = picture.shape
    grid = torch.from_numpy(np.stack((2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1), -1)).float()
    source = torch.from_numpy(picture)[None, None].expand(NUM_SPIKES, -1, -1, -1)
    return F.grid_sample(source, grid, "bicubic", "reflection", align_corners=True)[:, 0].numpy()


def _cover(random: np.random.Generator, speed: float) -> np.ndarray:
    """Where the object is: a soft-edged blob on a straight path, T x S x S in [0, 1]."""
    heading, seed = random.uniform(0, 2 * np.pi, 2)
    time = np.arange(NUM_SPIKES) - NUM_SPIKES / 2
    centre = random.uniform(0.25, 0.75, 2) * SIZE
    radius = random.uniform(0.08, 0.3) * SIZE
    x = np.arange(SIZE)[None, None, :] - centre[0] - (speed * time * np.cos(heading))[:, None, None]
    y = np.arange(SIZE)[None, :, None] - centre[1] - (speed * time * np.sin(heading))[:, None, None]
    edge = radius * (1 + 0.25 * np.cos(3 * np.arctan2(y, x) + seed))
    return np.clip(edge - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)


def dead_leaves(random: np.random.Generator, size: int = 192) -> np.ndarray:
    """A picture of overlapping shaded discs with power-law radii: the statistics of photographs, from nothing."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    picture = np.zeros((size, size), np.float32)
    # Radii r with density r^-3 between 3 and a third of the side; the last disc lies on top.
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
