"""Samples that classifiers are trained on: moving images of the training split, the same for all representations."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.neural.latents import Estimator
from baselines.recognition.alignment import ALIGNED, aligned
from baselines.recognition.representations import FRAMES, represent, shown_by
from bench.errors import BenchError
from bench.files import cache_root
from bench.fingerprint import code_fingerprint, component_fingerprint, digest
from bench.interfaces import Codec, Dataset, Extractor, from_uint8, to_uint8
from bench.processes import in_processes
from bench.progress import Progress
from bench.registry import create

# Each image is drawn in several motions, so that there are about so many samples; one in twenty of a class is held out.
_SAMPLES = 16_000
_HELD_OUT = 20
# Samples that are made together, and number of such parts from which starting processes saves time.
_TOGETHER, _MANY = 32, 8


@dataclass(frozen=True)
class Samples:
    """Representations and labels.

    Attributes
    ----------
    frames
        N x K x H x W uint8.
    labels, rates
        Class of each of N samples, and the rate point at which it was coded (-1: not coded).
    classes
        Number of classes.
    digest
        Hash of everything that the samples depend on.
    """

    frames: np.ndarray
    labels: np.ndarray
    rates: np.ndarray
    classes: int
    digest: str


def bent(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rotate, shear and scale an H x W image a little about its middle, at random."""
    from scipy import ndimage

    angle, shear = np.deg2rad(random.uniform(-12, 12)), random.uniform(-0.12, 0.12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) / random.uniform(0.88, 1.12, 2)
    middle = (np.array(image.shape) - 1) / 2
    distorted: np.ndarray = ndimage.affine_transform(image, matrix, middle - matrix @ middle, order=1)
    return distorted


def make_samples(on: str, data: str, coded: bool, seed: int, progress: Progress) -> tuple[Samples, Samples]:
    """Samples of a dataset's training split, and those held out of it; they are kept in the cache.

    Parameters
    ----------
    on, data
        Name of the representation, and of the dataset.
    coded
        Whether samples are coded by `sci`: about `_SAMPLES` of them, seven of eight at most, at its seven rate points
        in random order.
    """
    dataset = training_split(data)
    held = _held_out(np.array(dataset.images().labels))
    parts = []
    for indices, least in ((np.flatnonzero(~held), _SAMPLES), (np.flatnonzero(held), 1)):
        draws = max(1, round(least / len(indices)))
        plain = _shown_samples(on, dataset, indices, draws, seed, progress)
        received = _coded_samples(plain, seed, progress) if coded else plain
        parts.append(_aligned_samples(received, progress) if on in ALIGNED else received)
    return parts[0], parts[1]


def _held_out(labels: np.ndarray) -> np.ndarray:
    """Which of N images are held out: one in twenty, class by class, since images may come in turn of their classes."""
    held = np.zeros(len(labels), bool)
    held[np.argsort(labels, kind="stable")[_HELD_OUT - 1 :: _HELD_OUT]] = True
    return held


def training_split(data: str) -> Any:
    """The dataset of a name, its images for training."""
    return create(Dataset, f"{data}:split=train")


def _shown_samples(on: str, dataset: Any, indices: np.ndarray, draws: int, seed: int, progress: Progress) -> Samples:
    """Every image of the indices in `draws` motions; from the second on it is also distorted (`bent`)."""
    shown = shown_by(on)
    kind = component_fingerprint(shown) if isinstance(shown, Extractor) else on
    images = dataset.images()
    identity = digest([kind, component_fingerprint(dataset), images.labels, indices.tolist(), draws, seed])
    count, size = draws * len(indices), dataset.options.size

    make = functools.partial(_shown_part, on, dataset.name, indices, draws, seed)
    frames = _kept(identity, (count, FRAMES, size, size), make, lambda done: progress(done, count, "recordings"))
    labels = np.tile(np.array(images.labels)[indices], draws)
    return Samples(frames, labels, np.full(count, -1), len(images.classes), identity)


def _shown_part(on: str, data: str, indices: np.ndarray, draws: int, seed: int, part: int) -> np.ndarray:
    """The part of a number of `_shown_samples`."""
    shown, dataset = shown_by(on), training_split(data)
    samples = []
    for number in range(draws * len(indices))[_of(part)]:
        draw, index = number // len(indices), int(indices[number % len(indices)])
        image = dataset.images().image(index)
        if draw:
            image = bent(image, np.random.default_rng([seed, draw, index]))
        recording = dataset.moving(image, index, draw)
        samples.append(to_uint8(represent(shown, recording, dataset.options.rate, index)))
    return np.stack(samples)


def _coded_samples(plain: Samples, seed: int, progress: Progress) -> Samples:
    """The same samples, about `_SAMPLES` of them as the codec's network decodes them.

    Of a set so large, every eighth stays as it is. Of a larger one more do, since coding takes longer than all else.
    """
    codec: Any = create(Codec, "sci")
    count = len(plain.labels)
    points, every = len(codec.rate_points) + 1, max(1, round(count / _SAMPLES))
    numbers = np.arange(count)
    # In random order: images may come in turn of their classes, and a rate must not tell the class.
    rates = np.random.default_rng(seed).permutation(np.where(numbers % every, -1, numbers // every % points - 1))
    identity = digest([plain.digest, component_fingerprint(codec), rates.tolist()])
    make = functools.partial(_coded_part, _kept_path(plain.digest), rates)
    frames = _kept(identity, plain.frames.shape, make, lambda done: progress(done, count, "coding"))
    return replace(plain, frames=frames, rates=rates, digest=identity)


def _aligned_samples(samples: Samples, progress: Progress) -> Samples:
    """The same samples, each aligned to its middle instant."""
    identity, count = digest([samples.digest, code_fingerprint(aligned.__module__)]), len(samples.labels)
    make = functools.partial(_aligned_part, _kept_path(samples.digest))
    frames = _kept(identity, samples.frames.shape, make, lambda done: progress(done, count, "alignment"))
    return replace(samples, frames=frames, digest=identity)


def _aligned_part(path: Path, part: int) -> np.ndarray:
    """The part of a number of `_aligned_samples`; `path` has the samples before."""
    return to_uint8(aligned(_read_part(path, part)).numpy())


def _of(part: int) -> slice:
    """The samples of the part of a number."""
    return slice(part * _TOGETHER, (part + 1) * _TOGETHER)


def _read_part(path: Path, part: int) -> np.ndarray:
    """The part of a number of the samples in a file, N x K x H x W float32 in [0, 1]."""
    return from_uint8(np.load(path, mmap_mode="r")[_of(part)])


def _kept_path(identity: str) -> Path:
    return cache_root() / "train" / f"classes-{identity[:16]}" / "frames.npy"


def _kept(
    identity: str, shape: tuple[int, ...], make: Callable[[int], np.ndarray], done: Callable[[int], None]
) -> np.ndarray:
    """A uint8 array from the user's cache, which is made if it is not there, on all cores if it is large.

    Parameters
    ----------
    make
        Function that returns the part of a number: `_TOGETHER` samples, or as many as are left.
    done
        Called with the number of finished samples.
    """
    path = _kept_path(identity)
    folder = path.parent
    if not path.exists():
        partial = folder / f"{uuid.uuid4().hex}.partial"  # two trainings may need the same samples
        try:
            folder.mkdir(parents=True, exist_ok=True)
            frames = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            parts = range(0, len(frames), _TOGETHER)
            for start, part in zip(parts, in_processes(make, len(parts), few=_MANY), strict=True):
                frames[start : start + _TOGETHER] = part
                done(start + len(part))
            frames.flush()
            partial.replace(path)
        except OSError as error:
            raise BenchError(f"{folder}: samples cannot be written: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array


def _coded_part(path: Path, rates: np.ndarray, part: int) -> np.ndarray:
    """The part of a number of `_coded_samples`: features as the codec's network decodes them.

    `path` has the samples before. A rate of -1 leaves a sample as it is.
    """
    codec: Any = create(Codec, "sci")
    frames, points = _read_part(path, part), rates[_of(part)]
    coded = np.flatnonzero(points >= 0)
    if not len(coded):
        return to_uint8(frames)
    with torch.inference_mode():
        plain = torch.from_numpy(frames[coded])
        model = codec.network_preset.model(torch.from_numpy(points[coded]))
        state, decoded = None, []
        for index in range(plain.shape[1]):
            frame = plain[:, index : index + 1]
            received, state = model.code(Estimator(), frame, index, tuple(plain.shape[2:]), state)
            decoded.append(received.clamp(0, 1))
        frames[coded] = torch.cat(decoded, 1).numpy()
    return to_uint8(frames)
