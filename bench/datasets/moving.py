"""s-digits, s-mnist, s-mnist-10k, s-cifar, s-caltech: labelled images that move before a simulated spike camera.

They follow SpiReco (the paper's reference 11), which filmed images of MNIST, CIFAR-10 and Caltech-101. Here one
generator makes all sets: an image, scaled to a common size, moves fast along a straight line through the middle of a
dark frame. Speed, direction, light and place are drawn with a seed. The arithmetic of sub-pixel positions is exact, so
all machines get the same spikes.
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

# Range of speeds, pixels per spike frame. At the coding instants of the task's condition, an image is at most 10 pixels
# away from its place at the middle of the recording.
SPEEDS = (0.1, 0.5)
_FAST = 0.3  # speed above which a sequence belongs to the class "high"
_DARK = 0.05  # luminance of the frame around the image, and of the image's black
_LIGHT = (0.6, 1.0)  # range of the luminance of the image's white
_JITTER = 3.0  # largest distance of an image's place from the frame's middle along each axis, pixels
# Interpolation weights are multiples of 1 / 128: their products with 8-bit values sum to less than 2**24, which float32
# represents exactly.
_UNIT = 128


@dataclass(frozen=True)
class Motion:
    """How an image moves and is lit.

    Attributes
    ----------
    speed, direction
        Pixels per spike frame, and radians (0: to the right, pi / 2: down).
    light
        Luminance of the image's white.
    place
        Where the image is at the middle of the recording: rows and columns from the frame's middle.
    """

    speed: float
    direction: float
    light: float
    place: tuple[float, float]

    @property
    def velocity(self) -> tuple[float, float]:
        """Pixels per spike frame, x then y."""
        return self.speed * float(np.cos(self.direction)), self.speed * float(np.sin(self.direction))


def draw_motion(key: Sequence[int]) -> Motion:
    """The motion of a sample. `key` seeds it: index of the split, index of the sample, number of the draw."""
    random = np.random.default_rng(list(key))
    speed, light = random.uniform(*SPEEDS), random.uniform(*_LIGHT)
    row, column = random.uniform(-_JITTER, _JITTER, 2)
    return Motion(float(speed), float(random.uniform(0, 2 * np.pi)), float(light), (float(row), float(column)))


class MovingImage(SimulatedRecording):
    """The recording of one image in motion.

    Parameters
    ----------
    image
        h x w uint8, already scaled to the size at which it is shown.
    motion
        How it moves and is lit.
    size, num_spikes
        Side of the square frame in pixels, and number T of spike frames.
    rate, noise, seed
        See `SimulatedRecording`.
    """

    def __init__(
        self, image: np.ndarray, motion: Motion, size: int, num_spikes: int, rate: float, noise: float, seed: int
    ) -> None:
        super().__init__(size, size, num_spikes, rate, noise, seed)
        self._motion = motion
        # The padding covers all positions from which some of the image is visible; beyond them, all is dark.
        self._canvas = np.pad(image.astype(np.float32), size + 4)
        self._start = (np.array(self._canvas.shape) - size) / 2

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """The image at its position at each instant, by cubic interpolation, on the dark frame."""
        motion = self._motion
        way = np.array(motion.velocity[::-1])
        frames = np.empty((len(instants), self.height, self.width), np.float32)
        for frame, instant in zip(frames, instants, strict=True):
            self._paint(frame, self._start - motion.place - way * (instant - (self.num_spikes - 1) / 2))
        np.clip(frames, 0, 255 * _UNIT**2, out=frames)
        frames *= np.float32((motion.light - _DARK) / (255 * _UNIT**2))
        frames += np.float32(_DARK)
        return frames

    def _paint(self, frame: np.ndarray, corner: np.ndarray) -> None:
        """Interpolate the window of the canvas that begins at a real position; values are times `_UNIT` squared."""
        corner = np.clip(corner, 1, np.array(self._canvas.shape) - self.height - 3)
        whole = np.floor(corner).astype(int)
        taps = [_cubic(part) for part in corner - whole]
        (row, column), size = whole - 1, self.height
        block = self._canvas[row : row + size + 3, column : column + size + 3]
        rows = sum(tap * block[i : i + size] for i, tap in enumerate(taps[0]))
        frame[:] = sum(tap * rows[:, i : i + size] for i, tap in enumerate(taps[1]))


def _cubic(t: float) -> np.ndarray:
    """Catmull-Rom weights of the four neighbours, as whole numbers in units of 1 / `_UNIT`; their sum is `_UNIT`."""
    weights = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    rounded = np.round(weights * _UNIT)
    rounded[1] += _UNIT - rounded.sum()
    return rounded.astype(np.float32)


def shown(image: np.ndarray, extent: int) -> np.ndarray:
    """An image, h x w uint8, scaled so that its longer side has `extent` pixels."""
    from PIL import Image

    height, width = (max(1, round(side * extent / max(image.shape))) for side in image.shape)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


class MovingImages(Dataset):
    """Base of the labelled sets; a subclass says where the images come from.

    The samples of a split are ordered so that every stretch of them holds all classes in equal shares. So ``--limit N``
    takes a balanced part.

    Attributes
    ----------
    extent
        Longer side of the image in pixels, on a frame of 64 pixels; it grows with the frame.
    photographs
        Whether the images are photographs: a mirrored one still shows its class, and to tell them apart takes a wider
        network.
    """

    extent: ClassVar[int] = 40
    photographs: ClassVar[bool] = False
    _SPLITS = ("test", "train")

    class Options(ComponentOptions):
        """Options: split; side of the frame, T, spikes per frame of unit luminance, noise; number of the draw."""

        split: Literal["test", "train"] = "test"
        """Part of the set."""
        size: int = Field(default=64, ge=48, le=1024, multiple_of=8)
        """Side of the frame in pixels."""
        num_spikes: int = Field(default=81, ge=1)
        """T, number of spike frames."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""
        noise: float = Field(default=0.1, ge=0)
        """Noise of the simulated camera."""
        draw: int = Field(default=0, ge=0)
        """Number of the draw of motions."""

    @abstractmethod
    def images(self) -> Images:
        """All images of the split, after a check of their labels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images().classes

    def available(self) -> Availability:
        """Whether the images are on this machine and can be read."""
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
        """Hash of the image, its label, the options, and the code that moves it."""
        index = self._index(name)
        images = self.images()
        image = images.image(index)
        code = [code_fingerprint(module) for module in (__name__, SimulatedRecording.__module__)]
        facts = {"extent": self.extent, **self.options.model_dump()}
        return digest([code, list(image.shape), image.tobytes().hex(), images.labels[index], name, facts])

    def open(self, name: str) -> MovingImage:
        """The recording of one image in motion."""
        index = self._index(name)
        return self.moving(self.images().image(index), index)

    def moving(self, image: np.ndarray, index: int, draw: int | None = None) -> MovingImage:
        """The recording of an image that moves as a sample does; training gives it distorted images and other draws.

        Parameters
        ----------
        image
            H x W uint8.
        index
            Index of the sample whose motion is used.
        draw
            Number of the draw of motions; by default that of the options.
        """
        options, key = self.options, self._key(index, draw)
        seed = int(np.random.default_rng([*key, 1]).integers(2**31))
        picture = shown(image, round(self.extent * options.size / 64))
        return MovingImage(
            picture, draw_motion(key), options.size, options.num_spikes, options.rate, options.noise, seed
        )

    def _key(self, index: int, draw: int | None = None) -> tuple[int, int, int]:
        """The key that seeds a sample's motion (`draw_motion`)."""
        return self._SPLITS.index(self.options.split), index, self.options.draw if draw is None else draw

    def _index(self, name: str) -> int:
        split, _, number = name.rpartition("-")
        count = len(self.images().labels)
        if split != self.options.split or not number.isdecimal() or int(number) >= count:
            raise BenchError(f"{self.name} has no sequence '{name}' (it has {self.options.split}-0 to {count - 1})")
        return int(number)

    def _info(self, index: int, label: int) -> SequenceInfo:
        options = self.options
        motion = draw_motion(self._key(index))
        return SequenceInfo(
            f"{options.split}-{index}",
            options.size,
            options.size,
            options.num_spikes,
            options.rate,
            "high" if motion.speed > _FAST else "low",
            (("object", motion.speed),),
            None,
            label,
            velocity=motion.velocity,
        )


class SDigits(MovingImages):
    """Built in: scikit-learn's 1,797 handwritten digits of 8x8 pixels; a fifth of each class is for the test."""

    name = "s-digits"

    def images(self) -> Images:
        """The digits of the split."""
        return _labelled.digits(self.options.split)


class _FromFolder(MovingImages):
    """Base of the sets whose images lie in a folder.

    Attributes
    ----------
    kind
        Name of the set's class in torchvision.
    """

    kind: ClassVar[str]

    class Options(MovingImages.Options):
        """Options: also the folder of the images; by default the one that `bench data get` fills."""

        root: str = Field(default="", exclude=True)
        """Folder of the images; by default the one that `bench data get` fills."""

    @property
    def root(self) -> Path:
        """Where the images lie."""
        return user_path(self.options.root) if self.options.root else _labelled.cache_folder(self.name)

    def prepare(self, source: Path | None = None) -> str:
        """Download the set with torchvision, or copy it from the folder `source`; returns one line on what was done.

        Raises
        ------
        BenchError
            If the download or the copy fails, or the folder does not hold the set.
        """
        if source is not None:
            for split in self._SPLITS:
                type(self)(root=str(source), split=split).images()
        return _labelled.fetch(self.kind, self.root, source)


class SMnist(_FromFolder):
    """MNIST: 60,000 training and 10,000 test images."""

    name = "s-mnist"
    kind = "MNIST"

    def images(self) -> Images:
        """The images of the split."""
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
    photographs = True

    def images(self) -> Images:
        """The images of the split; torchvision checks the MD5 of their files before it unpickles them."""
        return _labelled.cifar(self.root, self.options.split)


class SCaltech(_FromFolder):
    """Caltech-101 without its background class, as luma: 30 images of each class for training, at most 50 to test."""

    name = "s-caltech"
    kind = "Caltech101"
    extent = 48
    photographs = True

    class Options(_FromFolder.Options):
        """Options: as those of the other sets, with a larger frame by default."""

        size: int = Field(default=128, ge=48, le=1024, multiple_of=8)
        """Side of the frame in pixels."""

    def images(self) -> Images:
        """The images of the split; each file is opened when its image is asked for."""
        return _labelled.caltech(self.root, self.options.split)
