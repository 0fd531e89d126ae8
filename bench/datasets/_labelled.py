"""Labelled image sets for `bench.datasets.moving`: fetching, reading, checking, and the split for training and test."""

from __future__ import annotations

import functools
import gzip
import itertools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, one_line
from bench.files import cache_root
from bench.paths import listed
from bench.pictures import luma, read_grey

DIGITS = tuple("0123456789")
_MNIST = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Folders that the sets' archives have inside; torchvision puts Caltech-101's into one more.
_CIFAR, _CALTECH = "cifar-10-batches-py", "101_ObjectCategories"
_CALTECH_SIZE = (101, 8677)  # classes and their pictures, without the background class
_MOST_BYTES = 1 << 26  # an unpacked idx file that is larger is refused
_TRAINED, _TESTED = 30, 50  # images of a class of Caltech-101: for training, and at most for the test


@dataclass(frozen=True)
class Images:
    """One split, training or test, of a labelled set.

    Attributes
    ----------
    classes
        Names of the classes.
    labels
        The class of each image, as an index into `classes`.
    image
        Function that returns the image of an index, H x W uint8.
    """

    classes: tuple[str, ...]
    labels: tuple[int, ...]
    image: Callable[[int], np.ndarray]


def cache_folder(name: str) -> Path:
    """The folder in the user's cache into which `bench data get` puts a set."""
    return cache_root() / "data" / name


@functools.cache
def digits(split: str) -> Images:
    """scikit-learn's handwritten digits; a random fifth of each class, always the same, is the test split."""
    from sklearn.datasets import load_digits

    data = load_digits()
    every = np.round(data.images * (255 / 16)).astype(np.uint8)
    random = np.random.default_rng(0)
    indices = []
    for label in range(10):
        order = random.permutation(np.flatnonzero(data.target == label))
        tested = round(len(order) / 5)
        indices += list(order[:tested] if split == "test" else order[tested:])
    return _images("s-digits", DIGITS, every, data.target, indices)


@functools.cache
def mnist(root: Path, split: str) -> Images:
    """MNIST, with its own splits."""
    pictures, labels = (_idx("s-mnist", root, file) for file in _MNIST[split])
    return _images("s-mnist", DIGITS, pictures, labels)


@functools.cache
def mnist_10k(root: Path, split: str) -> Images:
    """MNIST's 10,000 test images, split at random but always alike: 8,000 for training and 2,000 for the test."""
    name = "s-mnist-10k"
    pictures, labels = (_idx(name, root, file) for file in _MNIST["test"])
    if len(pictures) != 10_000 or len(labels) != 10_000 or pictures.shape[1:] != (28, 28):
        raise BenchError(f"{name}: {root} holds {pictures.shape} images and {labels.shape} labels, not MNIST's 10,000")
    order = np.random.default_rng(0).permutation(10_000)
    indices = order[:8000] if split == "train" else order[8000:]
    return _images(name, DIGITS, pictures, labels, indices.tolist())


@functools.cache
def cifar(root: Path, split: str) -> Images:
    """CIFAR-10 as luma, with its own splits."""
    from torchvision.datasets import CIFAR10

    folder = root / _CIFAR if (root / _CIFAR).is_dir() else root
    # Read by torchvision, which checks the MD5 of every file before it unpickles it.
    dataset_class = type(CIFAR10.__name__, (CIFAR10,), {"base_folder": folder.name})
    try:
        dataset = dataset_class(folder.parent, train=split == "train", download=False)
    except Exception as error:  # on damaged files, it raises anything
        files = listed(folder) if folder.is_dir() else []
        damaged = next((path for path in files if not _as_published(path, dataset_class)), None)
        if damaged:
            raise BenchError(f"s-cifar: {damaged} is damaged, or not CIFAR-10's file of this name") from None
        raise _absent("s-cifar", f"CIFAR-10 in {root} ({one_line(str(error))[:120]})") from None
    classes, labels = tuple(dataset.classes), np.asarray(dataset.targets)
    order = _checked("s-cifar", classes, labels, range(len(labels)))
    # One by one: as luma, all of them take a gigabyte on the way.
    return Images(classes, tuple(int(labels[i]) for i in order), lambda index: luma(dataset.data[order[index]]))


def _as_published(path: Path, dataset_class: Any) -> bool:
    """Whether a file has the MD5 that CIFAR-10's has, or is none of its files."""
    from torchvision.datasets.utils import check_integrity

    sums = dict([*dataset_class.train_list, *dataset_class.test_list])
    return path.name not in sums or check_integrity(str(path), sums[path.name])


@functools.cache
def caltech(root: Path, split: str) -> Images:
    """Caltech-101 as luma, without its background class; each class is split at random, but always alike."""
    places = [root / "caltech101" / _CALTECH, root / _CALTECH]
    folder = next((place for place in places if place.is_dir()), None)
    # Not read by torchvision, whose reader takes every file in these folders for an image, also those that a file
    # manager leaves there.
    inside = [path for path in listed(folder) if path.is_dir()] if folder else []
    categories = [path for path in inside if path.name != "BACKGROUND_Google"]
    if not categories:
        raise _absent("s-caltech", f"folder {_CALTECH} in {root}")
    images = [listed(category, (".jpg",)) for category in categories]
    labels = np.repeat(np.arange(len(categories)), [len(part) for part in images])
    # With a picture fewer, the random split would be another one.
    if (len(categories), len(labels)) != _CALTECH_SIZE:
        raise BenchError(
            f"s-caltech: {folder} holds {len(labels)} pictures of {len(categories)} classes, not Caltech-101's "
            "{1} of {0}".format(*_CALTECH_SIZE)
        )
    every = list(itertools.chain.from_iterable(images))
    random = np.random.default_rng(0)
    indices: list[int] = []
    for label in range(len(categories)):
        order = random.permutation(np.flatnonzero(labels == label))
        part = order[:_TRAINED] if split == "train" else order[_TRAINED : _TRAINED + _TESTED]
        indices += list(part)
    classes = tuple(category.name for category in categories)
    ordered_indices = _checked("s-caltech", classes, labels, indices)
    return Images(
        classes, tuple(int(labels[i]) for i in ordered_indices), lambda index: read_grey(every[ordered_indices[index]])
    )


def fetch(kind: str, root: Path, source: Path | None) -> str:
    """Download a set with torchvision, or copy the user's own files.

    Parameters
    ----------
    kind
        Name of the set's class in torchvision.
    root
        Folder that receives the files.
    source
        Folder to copy them from; by default they are downloaded.

    Returns
    -------
    A line that says what was done.

    Raises
    ------
    BenchError
        If the download or the copy fails.
    """
    if source is not None:
        if not source.is_dir():
            raise BenchError(f"{source} is not a folder")
        try:
            shutil.copytree(source, root, dirs_exist_ok=True)
        except OSError as error:
            raise BenchError(f"{source} cannot be copied to {root}: {error}") from None
        return f"{source} copied to {root}"
    import torchvision

    try:
        root.mkdir(parents=True, exist_ok=True)
        getattr(torchvision.datasets, kind)(root, download=True)  # one download has both splits
    except Exception as error:  # no network, an error of the server, a damaged archive
        reason = one_line(str(error))[:120]
        raise BenchError(
            f"{kind} cannot be downloaded ({reason}); with the files at hand: bench data get NAME --from FOLDER"
        ) from None
    return f"{kind} in {root}"


def _absent(name: str, what: str) -> BenchError:
    """The error for files that are not in a set's folder, or are damaged."""
    return BenchError(f"{name}: no {what}; `bench data get {name}` downloads it, {name}:root=FOLDER names it")


def _idx(name: str, root: Path, file: str) -> np.ndarray:
    """Read an idx file: plain or gzipped in the folder, or below MNIST/raw, where torchvision keeps it."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    places = [root / file, root / f"{file}.gz", root / "MNIST" / "raw" / file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise _absent(name, f"{file} in {root}")
    try:
        with tempfile.NamedTemporaryFile() as plain:
            if path.suffix == ".gz":
                with gzip.open(path) as packed:
                    # MNIST's training images have 47 million bytes: a file that is cut off here is refused below.
                    plain.write(packed.read(_MOST_BYTES))
                plain.flush()
                path = Path(plain.name)
            array: np.ndarray = read_sn3_pascalvincent_tensor(str(path), strict=True).numpy()
    except Exception as error:  # the file is cut off, or no idx file at all
        reason = one_line(str(error))[:120] or type(error).__name__
        raise BenchError(f"{name}: {root / file} is damaged or no idx file ({reason})") from None
    return array


def _images(
    name: str, classes: tuple[str, ...], every: np.ndarray, labels: np.ndarray, indices: Sequence[int] | None = None
) -> Images:
    """A split of a set that is in memory: the images at `indices`, or all."""
    if every.ndim != 3 or every.dtype != np.uint8 or labels.ndim != 1:
        raise BenchError(
            f"{name}: images must be N x H x W bytes and labels N numbers, not {every.dtype} {every.shape} and "
            f"{labels.dtype} {labels.shape}"
        )
    if len(every) != len(labels):
        raise BenchError(f"{name}: {len(every)} images, but {len(labels)} labels")
    order = _checked(name, classes, labels, range(len(labels)) if indices is None else indices)
    return Images(classes, tuple(int(labels[i]) for i in order), lambda index: every[order[index]])


def _checked(name: str, classes: tuple[str, ...], labels: np.ndarray, indices: Sequence[int]) -> list[int]:
    """Order `indices` so that every stretch of them holds all classes in equal shares.

    Raises
    ------
    BenchError
        If a label is no index of a class, or a class has no image in this split.
    """
    wrong = labels[(labels < 0) | (labels >= len(classes))]
    if len(wrong):
        raise BenchError(f"{name}: label {wrong[0]} is out of range; there are {len(classes)} classes")
    members = [[i for i in indices if labels[i] == label] for label in range(len(classes))]
    for label, part in enumerate(members):
        if not part:
            raise BenchError(
                f"{name}: class '{classes[label]}' has {np.count_nonzero(labels == label)} images in all, and none in "
                "this split"
            )
    # The members of each class get evenly spaced places between 0 and 1; sorting by place interleaves the classes.
    places = [((k + 0.5) / len(part), label, i) for label, part in enumerate(members) for k, i in enumerate(part)]
    return [int(i) for _, _, i in sorted(places)]
