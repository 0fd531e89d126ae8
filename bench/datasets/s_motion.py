"""s-motion, built in: photographs in motion before a simulated spike camera, with exact truth at every instant.

A scene is a photograph that pans, turns and zooms. In front of it an object, cut out of another photograph, runs along
an ellipse several times faster. Cubic splines sample both at exact positions, so motion is sub-pixel accurate. Pixel
values are taken as luminance, as in S-REDS. The photographs come with scikit-image; the suite trains on none of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from bench.datasets._simulated import SimulatedRecording
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest
from bench.interfaces import ComponentOptions, Dataset, SequenceInfo
from bench.pictures import luma


@dataclass(frozen=True)
class Scene:
    """One sequence. Speeds are in pixels per spike frame, angles in degrees.

    Attributes
    ----------
    background, cutout
        File names of the two photographs.
    pan, direction
        Speed and direction of the background.
    turn, zoom
        Rotation of the background and relative change of its magnification, both per spike frame.
    run
        Mean speed of the object.
    orbit, radius
        Half-axes of the object's ellipse (rows, columns), and its size; all are shares of the frame's side.
    seed
        Seed of the camera; the object's place and shape depend on it, too.
    """

    name: str
    background: str
    cutout: str
    speed_class: Literal["low", "high"]
    pan: float
    direction: float
    turn: float
    zoom: float
    run: float
    orbit: tuple[float, float]
    radius: float
    seed: int


SCENES = (
    Scene("low-1", "astronaut.png", "chelsea.png", "low", 0.06, 15, 0.010, 2e-4, 0.30, (0.22, 0.27), 0.16, 1),
    Scene("low-2", "coffee.png", "camera.png", "low", 0.09, 160, -0.008, -1e-4, 0.40, (0.18, 0.30), 0.14, 2),
    Scene("low-3", "rocket.jpg", "coins.png", "low", 0.04, 265, 0.012, 1e-4, 0.25, (0.25, 0.20), 0.17, 3),
    Scene("low-4", "motorcycle_left.png", "moon.png", "low", 0.12, 350, 0.005, -2e-4, 0.50, (0.2, 0.2), 0.13, 4),
    Scene("high-1", "camera.png", "coffee.png", "high", 0.30, 200, 0.030, 5e-4, 1.20, (0.26, 0.28), 0.16, 5),
    Scene("high-2", "chelsea.png", "astronaut.png", "high", 0.40, 5, -0.040, -4e-4, 1.60, (0.24, 0.3), 0.15, 6),
    Scene("high-3", "gravel.png", "rocket.jpg", "high", 0.35, 120, 0.020, 3e-4, 1.40, (0.28, 0.22), 0.18, 7),
    Scene(
        "high-4",
        "coins.png",
        "motorcycle_left.png",
        "high",
        0.50,
        30,
        0.025,
        -3e-4,
        2.0,
        (0.25, 0.25),
        0.14,
        8,
    ),
)


class SMotion(Dataset):
    """Eight simulated test sequences, four slow and four fast ones."""

    name = "s-motion"
    keep = True

    class Options(ComponentOptions):
        """Options: side of the frame in pixels, T, spikes per frame of unit luminance, and the camera's noise."""

        size: int = Field(default=256, ge=16, le=1024, multiple_of=8)
        """Side of the frame in pixels."""
        num_spikes: int = Field(default=321, ge=1)
        """T, number of spike frames."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""
        noise: float = Field(default=0.0, ge=0)
        """Noise of the simulated camera."""

    def sequences(self) -> list[SequenceInfo]:
        """The eight scenes, the slow ones first."""
        return [self._info(scene) for scene in SCENES]

    def fingerprint(self, name: str) -> str:
        """Hash of the scene, the options, and the code that renders it."""
        return digest([code_fingerprint(__name__), asdict(self._scene(name)), self.options.model_dump()])

    def open(self, name: str) -> MotionRecording:
        """The scene's recording; it is simulated when spikes are first read."""
        return MotionRecording(self._scene(name), self.options)

    def _scene(self, name: str) -> Scene:
        for scene in SCENES:
            if scene.name == name:
                return scene
        raise BenchError(f"s-motion has no sequence '{name}' (it has: {', '.join(s.name for s in SCENES)})")

    def _info(self, scene: Scene) -> SequenceInfo:
        options = self.options
        return SequenceInfo(
            scene.name,
            options.size,
            options.size,
            options.num_spikes,
            options.rate,
            scene.speed_class,
            (("background", scene.pan), ("object", scene.run)),
            None,
        )


class MotionRecording(SimulatedRecording):
    """The recording of one scene."""

    def __init__(self, scene: Scene, options: SMotion.Options) -> None:
        size = options.size
        super().__init__(size, size, options.num_spikes, options.rate, options.noise, scene.seed)
        self._scene = scene
        middle = (size - 1) / 2
        self._grid = np.mgrid[0:size, 0:size].astype(np.float64) - middle  # rows and columns from the frame's centre

    def render(self, instants: Sequence[int]) -> np.ndarray:
        """The background with the object in front of it, at each instant."""
        frames = np.empty((len(instants), self.height, self.width), np.float32)
        for frame, instant in zip(frames, instants, strict=True):
            frame[:] = self._background(instant)
            self._paint_object(frame, instant)
        return frames

    def _background(self, instant: float) -> np.ndarray:
        scene = self._scene
        photo = _spline(scene.background)
        start = (np.array(photo.shape) - 1) / 2
        heading = np.deg2rad(scene.direction)
        centre = start + instant * scene.pan * np.array([np.sin(heading), np.cos(heading)])
        points = _turned(self._grid, scene.turn * instant) * np.exp(scene.zoom * instant)
        return _sample(photo, points + centre[:, None, None])

    def _paint_object(self, frame: np.ndarray, instant: float) -> None:
        scene, size = self._scene, self.height
        half_axes = np.array(scene.orbit) * size
        # The ellipse's perimeter (Ramanujan's approximation) converts the mean speed into an angular one.
        rows, columns = half_axes
        perimeter = np.pi * (3 * (rows + columns) - np.sqrt((3 * rows + columns) * (rows + 3 * columns)))
        angle = 2 * np.pi * scene.run * instant / perimeter + scene.seed
        centre = half_axes * np.array([np.sin(angle), np.cos(angle)])
        reach = scene.radius * size * 1.2 + 2
        low = np.clip(np.floor(centre + (size - 1) / 2 - reach), 0, size).astype(int)
        high = np.clip(np.ceil(centre + (size - 1) / 2 + reach) + 1, 0, size).astype(int)
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        local = _turned(self._grid[(slice(None), *window)] - centre[:, None, None], -3 * scene.turn * instant)
        distance, bearing = np.hypot(*local), np.arctan2(*local)
        edge = scene.radius * size * (1 + 0.2 * np.cos(3 * bearing + scene.seed))
        # At the outline, coverage falls from 1 to 0 across one pixel.
        cover = np.clip(edge - distance + 0.5, 0, 1)
        photo = _spline(scene.cutout)
        texture = _sample(photo, local + ((np.array(photo.shape) - 1) / 2)[:, None, None])
        frame[window] += (cover * (texture - frame[window])).astype(np.float32)


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate 2 x H x W points (rows, columns) about the origin."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    rows, columns = points
    return np.stack([cosine * rows - sine * columns, sine * rows + cosine * columns])


def _sample(coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Evaluate a cubic spline at 2 x H x W positions; photographs continue beyond their border as mirror images."""
    from scipy import ndimage

    return ndimage.map_coordinates(coefficients, points, order=3, mode="mirror", prefilter=False)


@functools.cache
def _spline(file: str) -> np.ndarray:
    """Spline coefficients of one of scikit-image's photographs, taken as luminance in [0, 1]."""
    from pathlib import Path

    import skimage
    from PIL import Image
    from scipy import ndimage

    path = Path(skimage.__file__).parent / "data" / file
    with Image.open(path) as image:
        grey = luma(np.asarray(image.convert("RGB")))
    return ndimage.spline_filter(grey / 255.0, order=3, mode="mirror")
