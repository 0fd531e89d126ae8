"""Training data: scenes (`bench.train.sources`), recorded by a simulated spike camera and memory-mapped from disk.

A sample is the recording of a square scene over one intra period: its spikes, and at each coding instant the true
luminance and the TFP features.
"""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.datasets.s_vimeo import Split
from bench.errors import BenchError
from bench.files import whole_file
from bench.fingerprint import code_fingerprint, digest
from bench.processes import in_processes
from bench.progress import Progress, silent
from bench.sampling import Sampling
from bench.spikes import PackedSpikes, SpikeCamera, firing_rate
from bench.train.sources import Between, Sources, find_sources

SIZE, FRAMES = 128, 16  # side S of a sample in pixels, and number K of its coding instants
MARGIN = Sampling.margin
NUM_SPIKES = Sampling().num_spikes(FRAMES)
INSTANTS = Sampling().instants(NUM_SPIKES)
RATE, WINDOW = 0.6, 21  # spikes per frame of unit luminance, and spike frames of TFP's window
_LEVELS = 65535  # luminance is quantised to 16 bits, see `bench.datasets._simulated`
# Number of samples from which starting processes takes less time than they save.
_MANY = 100
_META = "shards.json"


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
        for item, item_truth in zip(features, truth, strict=True):
            sample, first = random.integers(len(self)), random.integers(most - count + 1)
            row, column = random.integers(SIZE - crop + 1, size=2)
            place = (sample, slice(first, first + count), slice(row, row + crop), slice(column, column + crop))
            turned = [slice(None, None, step) for step in random.choice([1, -1], 3)]
            crossed = random.random() < 0.5
            source = self.truth if random.random() < plain else self.features
            for target, data in ((item, source), (item_truth, self.truth)):
                frames = data[place][tuple(turned)]
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
            features = in_processes(
                functools.partial(_features, self.folder / "spikes.npy", extract), len(self), _MANY, together=4
            )
            with whole_file(path) as file:
                np.save(file, np.stack([*self._counted(features, progress)]))
        return replace(self, features=np.load(path, mmap_mode="r"), digest=path.stem)

    def _counted(self, features: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
        for number, sample in enumerate(features, 1):
            yield sample
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
    data: Path | None,
    cache: Path,
    samples: int,
    seed: int,
    progress: Progress,
    between: Between | None = None,
    split: Split = "train",
) -> Shards:
    """Open the samples that are made from a folder; they are simulated first if the cache does not have them.

    Parameters
    ----------
    data
        Folder of pictures, videos or septuplets (`find_sources`); None for synthetic pictures.
    cache
        Folder that keeps samples, in one folder for each combination of sources, number, seed and code.
    samples, seed
        Number of samples, and seed of their scenes.
    progress
        Called with the number of finished samples, the number of all and a label.
    between
        Function that interpolates between frames of videos and septuplets (`Between`); needed if the folder has any.
    split
        List of Vimeo-90K whose septuplets are taken.

    Raises
    ------
    BenchError
        If `data` is missing or holds none of these, or a video or septuplet is incomplete, too short or too small.
    """
    sources = find_sources(data, between, split).drawn_by(_generator(seed, number) for number in range(samples))
    hashes = sources.hashes()
    code = [code_fingerprint(module) for module in (__name__, *([between.__module__] if between else []))]
    name = digest([hashes, samples, seed, code])[:16]
    folder = cache / name
    if not (folder / _META).is_file():
        _write(folder, sources, samples, seed, progress)
    arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("spikes", "features", "truth")}
    return Shards(**arrays, digest=name, folder=folder)


def _write(folder: Path, sources: Sources, samples: int, seed: int, progress: Progress) -> None:
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
            json.dumps({"samples": samples, "seed": seed, "sources": len(sources.pictures) + sources.count}) + "\n"
        )
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # else another process has just made the same samples
            raise BenchError(f"{folder}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _generator(seed: int, number: int) -> np.random.Generator:
    """The generator from which a sample is drawn."""
    return np.random.default_rng([seed, number])


def _write_sample(folder: Path, sources: Sources, seed: int, number: int) -> None:
    """Simulate one sample and write it to its place in the arrays of a folder."""
    random = _generator(seed, number)
    luminance = sources.scene(random, SIZE, NUM_SPIKES)
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
