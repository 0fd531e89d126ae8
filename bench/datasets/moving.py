"""s-digits, s-mnist, s-mnist-10k, s-cifar, s-caltech: labelled images that move fast before a simulated spike camera.

In the manner of SpiReco (the paper's reference 11), which filmed images of MNIST, CIFAR-10 and Caltech-101. Here one
generator makes all sets: an image, brought to the same size, runs through the middle of a dark frame along a straight
line; speed, direction, light and place are drawn by seed. Sub-pixel positions are exact: the same spikes on every
machine.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.datasets import _labelled
from bench.datasets._labelled import Images
from bench.datasets._simulated import SimulatedRecording
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest
from bench.interfaces import Availability, ComponentOptions, Dataset, SequenceInfo
from bench.paths import user_path

# Pixels a spike frame. At coding instants an image is at most 10 pixels from the middle under the task's condition.
SPEEDS = (0.1, 0.5)
_FAST = 0.3
_DARK = 0.05
_LIGHT = (0.6, 1.0)
_JITTER = 3.0
# Filter taps are whole numbers of 1 / 128: sums of products with 8 bits stay below 2**24, exact in float32.
_UNIT = 128


@dataclass(frozen=True)
class Motion:
    """How an image moves and is lit.

    Attributes
    ----------
    speed, direction
        Pixels a spike frame, radians.
    light
        Luminance of the image's white.
    place
        Rows and columns from the frame's middle at the middle of the recording.
    """

    speed: float
    direction: float
    light: float
    place: tuple[float, float]


def draw_motion(key: Sequence[int]) -> Motion:
    """The motion that belongs to a key (split, sample, draw)."""
    random = np.random.default_rng(list(key))
    speed, light = random.uniform(*SPEEDS), random.uniform(*_LIGHT)
    row, column = random.uniform(-_JITTER, _JITTER, 2)
    return Motion(float(speed), float(random.uniform(0, 2 * np.pi)), float(light), (float(row), float(column)))


class MovingImage(SimulatedRecording):
    """One image in motion.

    Parameters
    ----------
    image
        h x w uint8, already of the size at which it is shown.
    size, num_spikes, rate, noise, seed
        Side of the frame, T, spikes a frame of unit luminance, the camera's noise and its seed.
    """

    def __init__(
        self, image: np.ndarray, motion: Motion, size: int, num_spikes: int, rate: float, noise: float, seed: int
    ) -> None:
        super().__init__(size, size, num_spikes, rate, noise, seed)
        self._motion = motion
        # Room for every position that shows some of the image; further out there is only the dark.
        self._canvas = np.pad(image.astype(np.float32), size + 4)
        self._start = (np.array(self._canvas.shape) - size) / 2

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """The image at its place, by cubic interpolation, over the dark."""
        motion = self._motion
        way = motion.speed * np.array([np.sin(motion.direction), np.cos(motion.direction)])
        frames = np.empty((len(instants), self.height, self.width), np.float32)
        for frame, instant in zip(frames, instants, strict=True):
            self._paint(frame, self._start - motion.place - way * (instant - (self.num_spikes - 1) / 2))
        np.clip(frames, 0, 255 * _UNIT**2, out=frames)
        frames *= np.float32((motion.light - _DARK) / (255 * _UNIT**2))
        frames += np.float32(_DARK)
        return frames

    def _paint(self, frame: np.ndarray, corner: np.ndarray) -> None:
        """The window of the canvas whose first pixel lies at a real position, times `_UNIT` squared."""
        corner = np.clip(corner, 1, np.array(self._canvas.shape) - self.height - 3)
        whole = np.floor(corner).astype(int)
        taps = [_cubic(part) for part in corner - whole]
        (row, column), size = whole - 1, self.height
        block = self._canvas[row : row + size + 3, column : column + size + 3]
        rows = sum(tap * block[i : i + size] for i, tap in enumerate(taps[0]))
        frame[:] = sum(tap * rows[:, i : i + size] for i, tap in enumerate(taps[1]))


def _cubic(t: float) -> np.ndarray:
    """Catmull-Rom weights of the four neighbours, times `_UNIT` and whole; their sum is `_UNIT`."""
    weights = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    rounded = np.round(weights * _UNIT)
    rounded[1] += _UNIT - rounded.sum()
    return rounded.astype(np.float32)


def shown(image: np.ndarray, extent: int) -> np.ndarray:
    """An image with its longer side brought to `extent` pixels."""
    from PIL import Image

    height, width = (max(1, round(side * extent / max(image.shape))) for side in image.shape)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


class MovingImages(Dataset):
    """Base of the labelled sets: subclasses say where the images come from.

    Samples of a split come in an order in which every stretch holds all classes alike, so ``--limit N`` takes a
    balanced part.
    """

    extent: ClassVar[int] = 40
    _SPLITS = ("test", "train")

    class Options(ComponentOptions):
        """Options: split; side, T, spikes per frame at unit luminance and noise; which draw of the motions."""

        split: Literal["test", "train"] = "test"
        size: int = Field(default=64, ge=48, le=1024, multiple_of=8)
        num_spikes: int = Field(default=81, ge=1)
        rate: float = Field(default=0.6, gt=0, le=1)
        noise: float = Field(default=0.1, ge=0)
        draw: int = Field(default=0, ge=0)

    @abstractmethod
    def images(self) -> Images:
        """All images of the split, checked."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images().classes

    def available(self) -> Availability:
        """Whether the images are here."""
        try:
            self.images()
        except BenchError as error:
            return Availability(False, reason=str(error))
        return Availability(True)

    def sequences(self) -> list[SequenceInfo]:
        """One sequence for each image."""
        labels = self.images().labels
        return [self._info(index, label) for index, label in enumerate(labels)]

    def fingerprint(self, name: str) -> str:
        """The image itself, its label, code and options."""
        index = self._index(name)
        images = self.images()
        image = images.image(index)
        code = [code_fingerprint(module) for module in (__name__, SimulatedRecording.__module__)]
        facts = {"extent": self.extent, **self.options.model_dump()}
        return digest([code, list(image.shape), image.tobytes().hex(), images.labels[index], name, facts])

    def open(self, name: str) -> MovingImage:
        """One image in motion."""
        index = self._index(name)
        return self.moving(self.images().image(index), index)

    def moving(self, image: np.ndarray, index: int, draw: int | None = None) -> MovingImage:
        """An image in the motion of a sample; training gives it images that are bent a little, and other draws."""
        options, key = self.options, self._key(index, draw)
        seed = int(np.random.default_rng([*key, 1]).integers(2**31))
        picture = shown(image, round(self.extent * options.size / 64))
        return MovingImage(
            picture, draw_motion(key), options.size, options.num_spikes, options.rate, options.noise, seed
        )

    def _key(self, index: int, draw: int | None = None) -> tuple[int, int, int]:
        """What a sample's motion is drawn by."""
        return self._SPLITS.index(self.options.split), index, self.options.draw if draw is None else draw

    def _index(self, name: str) -> int:
        split, _, number = name.rpartition("-")
        count = len(self.images().labels)
        if split != self.options.split or not number.isdecimal() or int(number) >= count:
            raise BenchError(f"{self.name} has no sequence '{name}' (it has {self.options.split}-0 to {count - 1})")
        return int(number)

    def _info(self, index: int, label: int) -> SequenceInfo:
        options = self.options
        speed = draw_motion(self._key(index)).speed
        return SequenceInfo(
            f"{options.split}-{index}",
            options.size,
            options.size,
            options.num_spikes,
            options.rate,
            "high" if speed > _FAST else "low",
            (("object", speed),),
            None,
            label,
        )


class SDigits(MovingImages):
    """Built in: scikit-learn's 1,797 handwritten digits of 8x8 pixels, a fifth of each class for the test."""

    name = "s-digits"

    def images(self) -> Images:
        """The digits of the split."""
        return _labelled.digits(self.options.split)


class _FromFolder(MovingImages):
    """Sets whose images lie in a folder.

    Attributes
    ----------
    kind
        Torchvision's name of the set.
    """

    kind: ClassVar[str]

    class Options(MovingImages.Options):
        """Options: also the folder; by default that of `bench data get` in the user's cache."""

        root: str = Field(default="", exclude=True)

    @property
    def root(self) -> Path:
        """Where the images lie."""
        return user_path(self.options.root) if self.options.root else _labelled.cache_folder(self.name)

    def prepare(self, source: Path | None = None) -> str:
        """Let torchvision download the set, or copy the folder that has its files."""
        return _labelled.fetch(self.kind, self.root, source)


class SMnist(_FromFolder):
    """MNIST: 60,000 training and 10,000 test images."""

    name = "s-mnist"
    kind = "MNIST"

    def images(self) -> Images:
        """The images of the split, read by torchvision."""
        return _labelled.mnist(self.root, self.options.split)


class SMnist10k(_FromFolder):
    """MNIST's 10,000 test images alone, 8,000 of them for training and 2,000 for the test."""

    name = "s-mnist-10k"
    kind = "MNIST"

    def images(self) -> Images:
        """The images of the split."""
        return _labelled.mnist_10k(self.root, self.options.split)


class SCifar(_FromFolder):
    """CIFAR-10: 50,000 training and 10,000 test images, as luma."""

    name = "s-cifar"
    kind = "CIFAR10"
    extent = 48

    def images(self) -> Images:
        """The images of the split, read by torchvision, which checks their MD5 before it unpickles them."""
        return _labelled.cifar(self.root, self.options.split)


class SCaltech(_FromFolder):
    """Caltech-101 without its background class, as luma: 30 images of each class for training, at most 50 to test."""

    name = "s-caltech"
    kind = "Caltech101"
    extent = 48

    class Options(_FromFolder.Options):
        """Options: as the other sets', on a larger frame."""

        size: int = Field(default=128, ge=48, le=1024, multiple_of=8)

    def images(self) -> Images:
        """The images of the split, opened by torchvision when they are asked for."""
        return _labelled.caltech(self.root, self.options.split)
