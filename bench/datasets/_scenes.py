"""Random scenes that are composed of photographs in varied motion, for validation and training.

A scene is a background with things in front of it. Each is a photograph with a path of its own: it stands still, pans,
swings, or wanders as a hand-held camera does; it turns and zooms, and may bend like cloth. Things are of three kinds:
near layers, which follow the camera's motion but faster (parallax); objects, which move by themselves; and limbs, which
swing on objects. In some scenes the light flickers. Everything is drawn from one random generator, so the pictures and
the seed determine a scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

# Number of spike frames that are rendered together.
_TOGETHER = 32
# Ranges of speeds in pixels per spike frame, and the share of scenes in which the camera stands still.
_CAMERA, _OBJECT = (0.02, 0.7), (0.1, 2.0)
_STILL_CAMERA = 0.2
# Share of layers that bend, of objects that have a limb, and of scenes in which the light flickers.
_BENDS, _LIMB, _FLICKERS = 0.3, 0.4, 0.1

Course = Callable[[np.ndarray], np.ndarray]
"""A path: function from T instants to T x 2 positions, x then y, in pixels from the frame's centre."""


@dataclass(frozen=True)
class _Layer:
    """A photograph in motion.

    Attributes
    ----------
    picture
        H x W luminance in [0, 1]; beyond its border it continues as its own mirror image.
    start, scale
        Point of the picture (x, y in its pixels) that lies at the layer's origin, and the number of its pixels for one
        pixel of the frame.
    path, angle, zoom
        Functions from T instants to T x 2 positions, T rotations in radians, and T logarithms of the magnification.
    bend
        Five numbers of a travelling wave that displaces the picture: amplitude in pixels, wave vector in radians per
        pixel (x, y), angular speed in radians per spike frame, and phase in radians.
    outline
        Function from bearings in radians to the radius of the layer's outline in pixels; None for a layer that covers
        the whole frame.
    """

    picture: np.ndarray
    start: np.ndarray
    scale: float
    path: Course
    angle: Callable[[np.ndarray], np.ndarray]
    zoom: Callable[[np.ndarray], np.ndarray]
    bend: np.ndarray
    outline: Callable[[torch.Tensor], torch.Tensor] | None = None


class Flicker(NamedTuple):
    """Flickering light: at instant t its gain is 1 + depth sin(turn t + phase)."""

    depth: float
    turn: float
    phase: float


class Scene:
    """The luminance of one random scene.

    Parameters
    ----------
    pictures
        Photographs, H x W in [0, 1]: first the background, then one for each thing in front of it.
    random
        Generator from which the scene is drawn.
    size, num_spikes
        Side of the square frame in pixels, and number T of spike frames.
    """

    def __init__(self, pictures: Sequence[np.ndarray], random: np.random.Generator, size: int, num_spikes: int) -> None:
        self.size = size
        self._middle = (num_spikes - 1) / 2
        self._layers = _layers(pictures, random, size, num_spikes)
        depth = random.uniform(0.03, 0.15) if random.random() < _FLICKERS else 0.0
        self._flicker = Flicker(depth, random.uniform(0.02, 0.4), random.uniform(0, 2 * np.pi))

    def render(self, instants: Sequence[int] | np.ndarray) -> np.ndarray:
        """Luminance at the given spike frames, len(instants) x size x size float32 in [0, 1]."""
        instants = np.asarray(instants, np.float64)
        frames = np.empty((len(instants), self.size, self.size), np.float32)
        for first in range(0, len(instants), _TOGETHER):
            part = instants[first : first + _TOGETHER] - self._middle
            frames[first : first + _TOGETHER] = self._render(part)
        return frames

    def _render(self, time: np.ndarray) -> np.ndarray:
        import torch

        offset = torch.arange(self.size, dtype=torch.float32) - (self.size - 1) / 2
        frames = torch.zeros(len(time), self.size, self.size)
        for layer in self._layers:
            x, y = _own_places(layer, time, offset)
            seen = _looked_up(layer, x, y)
            if layer.outline is None:
                frames = seen
            else:
                # At the outline, coverage falls from 1 to 0 across one pixel.
                cover = (layer.outline(torch.atan2(y, x)) - torch.hypot(x, y) + 0.5).clamp(0, 1)
                frames = frames + cover * (seen - frames)
        depth, turn, phase = self._flicker
        gain = torch.from_numpy((1 + depth * np.sin(turn * time + phase)).astype(np.float32))
        return (frames * gain[:, None, None]).clamp(0, 1).numpy()


def _own_places(layer: _Layer, time: np.ndarray, offset: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Position of each pixel of the frame in the layer's own coordinates: x and y, each T x S x S."""
    import torch

    def by_time(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32))[:, None, None]

    position, angle, zoom = layer.path(time), layer.angle(time), np.exp(-layer.zoom(time))
    x, y = offset[None, None, :] - by_time(position[:, 0]), offset[None, :, None] - by_time(position[:, 1])
    cosine, sine = by_time(np.cos(angle) * zoom), by_time(np.sin(angle) * zoom)
    x, y = cosine * x + sine * y, cosine * y - sine * x
    amplitude, across, down, turn, phase = layer.bend.tolist()
    if amplitude:
        wave = amplitude * torch.sin(across * x + down * y + by_time(turn * time) + phase)
        length = float(np.hypot(across, down))
        # Points are displaced along the wave's crests, and by half as much along x.
        x, y = x + wave * down / length + 0.5 * wave, y - wave * across / length
    return x, y


def _looked_up(layer: _Layer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The layer's luminance at positions x and y in its own coordinates, by bicubic interpolation; T x S x S."""
    import torch
    import torch.nn.functional as F

    height, width = layer.picture.shape
    columns, rows = layer.start[0] + layer.scale * x, layer.start[1] + layer.scale * y
    grid = torch.stack((2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1), -1)
    source = torch.from_numpy(layer.picture)[None, None].expand(len(grid), -1, -1, -1)
    return F.grid_sample(source, grid, "bicubic", "reflection", align_corners=True)[:, 0].clamp(0, 1)


def _layers(pictures: Sequence[np.ndarray], random: np.random.Generator, size: int, num_spikes: int) -> list[_Layer]:
    """Draw the layers of a scene, from the back to the front."""
    camera = _path(random, 0.0 if random.random() < _STILL_CAMERA else _log_uniform(random, _CAMERA), num_spikes)
    turn, zoom = _drift(random, 3e-4), _drift(random, 2e-4)
    background = _Layer(*_view(pictures[0], random), camera, turn, zoom, _bend(random))
    layers = [background]
    for picture in pictures[1:]:
        if random.random() < 0.25:
            layers.append(_near(picture, random, background, size))
            continue
        thing = _object(picture, random, size, num_spikes)
        layers.append(thing)
        if random.random() < _LIMB:
            layers.append(_limb(thing, random, size))
    return layers


def _near(picture: np.ndarray, random: np.random.Generator, behind: _Layer, size: int) -> _Layer:
    """A near layer: larger than objects, and moved by the camera's motion, but faster than the background."""
    nearer = random.uniform(1.3, 3.0)
    place = random.uniform(-0.5, 0.5, 2) * size
    start, scale = _view(picture, random)[1:]
    return replace(
        behind,
        picture=picture,
        start=start,
        scale=scale,
        path=lambda time: place + nearer * behind.path(time),
        bend=_bend(random),
        outline=_outline(random, random.uniform(0.2, 0.5) * size),
    )


def _object(picture: np.ndarray, random: np.random.Generator, size: int, num_spikes: int) -> _Layer:
    """An object, which moves on a path of its own."""
    place = random.uniform(-0.35, 0.35, 2) * size
    own = _path(random, _log_uniform(random, _OBJECT), num_spikes)
    return _Layer(
        *_view(picture, random),
        path=lambda time: place + own(time),
        angle=_drift(random, 2e-3),
        zoom=_drift(random, 5e-4),
        bend=_bend(random),
        outline=_outline(random, random.uniform(0.07, 0.3) * size),
    )


def _limb(body: _Layer, random: np.random.Generator, size: int) -> _Layer:
    """A limb, which swings on a body."""
    reach, rest, swing = random.uniform(0.05, 0.2) * size, random.uniform(0, 2 * np.pi), random.uniform(0.2, 1.0)
    turn, phase = _log_uniform(random, (0.01, 0.15)), random.uniform(0, 2 * np.pi)

    def angle(time: np.ndarray) -> np.ndarray:
        return body.angle(time) + rest + swing * np.sin(turn * time + phase)

    def path(time: np.ndarray) -> np.ndarray:
        bearing = angle(time)
        return body.path(time) + reach * np.stack((np.cos(bearing), np.sin(bearing)), 1)

    start = body.start + random.uniform(-30, 30, 2)
    outline = _outline(random, random.uniform(0.04, 0.12) * size)
    return replace(body, start=start, path=path, angle=angle, bend=np.zeros(5), outline=outline)


def _view(picture: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """A picture, the point of it that lies at the layer's origin, and its scale (`_Layer`)."""
    middle = random.uniform(0.25, 0.75, 2) * np.array(picture.shape[::-1])
    return picture, middle, _log_uniform(random, (0.5, 1.3))


def _path(random: np.random.Generator, speed: float, num_spikes: int) -> Course:
    """A random path: straight, along an ellipse, or wandering. `speed` is in pixels per spike frame."""
    heading, kind = random.uniform(0, 2 * np.pi), random.random()
    along = np.array([np.cos(heading), np.sin(heading)])
    if kind < 0.5:
        faster = random.normal(0, 0.5) / num_spikes
        return lambda time: speed * (time + faster * time**2)[:, None] * along
    turn, phase = _log_uniform(random, (0.01, 0.1)), random.uniform(0, 2 * np.pi)
    if kind < 0.75:
        flat = random.uniform(0, 1)
        across = flat * along[::-1] * np.array([-1, 1])
        radius = speed / turn  # the longer half-axis; the fastest point of the ellipse has the speed
        return lambda time: (
            radius * (np.sin(turn * time + phase)[:, None] * along + np.cos(turn * time + phase)[:, None] * across)
        )
    turns, phases = turn * np.array([1, 2.3, 4.1]), random.uniform(0, 2 * np.pi, (3, 2))
    shares = random.normal(0, 1, (3, 2)) / np.array([1, 2.3, 4.1])[:, None]
    radius = speed / turn / max(float(np.abs(shares).sum()), 0.1)
    return lambda time: radius * (shares * np.sin(time[:, None, None] * turns[:, None] + phases)).sum(1)


def _drift(random: np.random.Generator, deviation: float) -> Callable[[np.ndarray], np.ndarray]:
    """A random value that changes linearly over time."""
    start, rate = random.uniform(-0.2, 0.2), random.normal(0, deviation)
    return lambda time: start + rate * time


def _bend(random: np.random.Generator) -> np.ndarray:
    """The numbers of a random travelling wave (`_Layer.bend`); mostly zeros, for no wave."""
    if random.random() >= _BENDS:
        return np.zeros(5)
    wave, heading = 2 * np.pi / _log_uniform(random, (24, 120)), random.uniform(0, 2 * np.pi)
    turn = random.choice([-1, 1]) * _log_uniform(random, (0.005, 0.08))
    amplitude = _log_uniform(random, (0.5, 4))
    return np.array([amplitude, wave * np.cos(heading), wave * np.sin(heading), turn, random.uniform(0, 2 * np.pi)])


def _outline(random: np.random.Generator, radius: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The outline of a rounded shape with two to five lobes, stretched along a random direction (`_Layer.outline`)."""
    lobes, depth, phase = int(random.integers(2, 6)), random.uniform(0, 0.35), random.uniform(0, 2 * np.pi)
    stretch, along = random.uniform(0, 0.4), random.uniform(0, np.pi)

    def at(bearing: torch.Tensor) -> torch.Tensor:
        return radius * (1 + depth * (lobes * bearing + phase).cos()) * (1 + stretch * (2 * (bearing - along)).cos())

    return at


def _log_uniform(random: np.random.Generator, limits: tuple[float, float]) -> float:
    """A random number whose logarithm is uniform between the limits' logarithms."""
    low, high = np.log(limits)
    return float(np.exp(random.uniform(low, high)))
