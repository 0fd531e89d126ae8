"""s-scenes: photographs of a folder in random motion, for training and validation on one's own pictures.

Motion is more varied than in s-motion: still and hand-held cameras, parallax, several objects, limbs, cloth and flicker
(`bench.datasets._scenes`). The number of a sequence, the options and the folder's pictures determine it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from bench.datasets._scenes import Scene
from bench.datasets._simulated import SimulatedRecording
from bench.datasets.video import PICTURES
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, SequenceInfo
from bench.paths import listed, user_path
from bench.pictures import luminance, read_grey

# Largest number of photographs in a scene besides its background.
_THINGS = 3


class SScenes(Dataset):
    """Random scenes, named by their numbers; the option `count` says how many."""

    name = "s-scenes"
    keep = True

    class Options(ComponentOptions):
        """Options: folder of pictures, number of scenes, side in pixels, T, spikes per frame, noise, seed."""

        root: str = Field(exclude=True)
        """Folder of pictures."""
        count: int = Field(default=12, ge=1, le=1000)
        """Number of scenes."""
        size: int = Field(default=256, ge=16, le=1024, multiple_of=8)
        """Side of the frame in pixels."""
        num_spikes: int = Field(default=321, ge=1)
        """T, number of spike frames."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""
        noise: float = Field(default=0.0, ge=0)
        """Noise of the simulated camera."""
        seed: int = Field(default=0, ge=0)
        """Seed of the scenes."""

    def available(self) -> Availability:
        """Whether the folder has pictures."""
        if not self._root.is_dir():
            return Availability(False, reason=f"no folder {self._root}")
        if not listed(self._root, PICTURES):
            return Availability(False, reason=f"{self._root} holds no pictures")
        return Availability(True)

    def sequences(self) -> list[SequenceInfo]:
        """The scenes in the order of their numbers."""
        options = self.options
        side, length = options.size, options.num_spikes
        return [
            SequenceInfo(f"{number:03d}", side, side, length, options.rate, truth_at=None)
            for number in range(options.count)
        ]

    def fingerprint(self, name: str) -> str:
        """Hash of the scene's pictures, the options, and the code that renders them."""
        pictures, _ = self._drawn(name)
        options = self.options.model_dump(exclude={"root", "count"})
        return digest([[file_sha256(path) for path in pictures], name, options, code_fingerprint(__name__)])

    def open(self, name: str) -> SceneRecording:
        """Draw the scene and return its recording; that is simulated when spikes are first read."""
        pictures, random = self._drawn(name)
        return SceneRecording([luminance(read_grey(path)) for path in pictures], random, self.options)

    @property
    def _root(self) -> Path:
        return user_path(self.options.root)

    def _drawn(self, name: str) -> tuple[list[Path], np.random.Generator]:
        """The pictures of a scene, and the generator from which the rest of the scene is drawn."""
        if name not in {info.name for info in self.sequences()}:
            raise BenchError(f"{self.name} has no sequence '{name}' (it has: 000 to {self.options.count - 1:03d})")
        random = np.random.default_rng([self.options.seed, int(name)])
        return draw_pictures(listed(self._root, PICTURES), random), random


class SceneRecording(SimulatedRecording):
    """The recording of one scene."""

    def __init__(self, pictures: Sequence[np.ndarray], random: np.random.Generator, options: SScenes.Options) -> None:
        seed, size = int(random.integers(1 << 31)), options.size
        super().__init__(size, size, options.num_spikes, options.rate, options.noise, seed)
        self._scene = Scene(pictures, random, size, options.num_spikes)

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """The scene at each instant."""
        return self._scene.render(instants)


def draw_pictures(pictures: Sequence[Path], random: np.random.Generator) -> list[Path]:
    """Draw the photographs of a scene: first its background, then those of the things in front of it."""
    count = 1 + int(random.integers(_THINGS + 1))
    return [pictures[index] for index in random.integers(len(pictures), size=count)]
