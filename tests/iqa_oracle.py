"""NIQE and BRISQUE a second time, from their papers, to check what computes them for the suite.

Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", 2013; Mittal, Moorthy, Bovik,
"No-reference image quality assessment in the spatial domain", 2012. Nothing is shared with pyiqa but the parameters.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat
from scipy.ndimage import correlate1d
from scipy.special import gamma

SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHAPES = np.arange(0.2, 10.001, 0.001)
# Smallest and largest value of each feature when BRISQUE's machine was trained, as its authors give them.
LOW = (
    "0.338 0.017204 0.236 -0.123884 0.000155 0.001122 0.244 -0.123586 0.000152 0.000975 0.249 -0.135687 0.000174 "
    "0.000913 0.258 -0.143408 0.000179 0.000888 0.471 0.012809 0.218 -0.094876 1.5e-005 0.001272 0.222 -0.115772 "
    "1.6e-005 0.001374 0.227 -0.117188 3e-005 0.001122 0.228 -0.12243 2.8e-005 0.001118"
)
HIGH = (
    "10 0.806612 1.642 0.20293 0.712298 0.470257 1.641 0.179083 0.710456 0.470984 1.555 0.100858 0.684173 0.534174 "
    "1.561 0.100486 0.685696 0.536508 3.264 0.703171 1.046 0.187459 0.442057 0.40803 1.042 0.162604 0.444362 0.40243 "
    "0.996 0.098323 0.531903 0.369589 0.99 0.098658 0.530092 0.370399"
)


def normalised(image, mode):
    """Luminance with its local mean taken away, divided by its local deviation."""
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()

    def local(values):
        return correlate1d(correlate1d(values, window, axis=0, mode=mode), window, axis=1, mode=mode)

    mean = local(image)
    return (image - mean) / (np.sqrt(np.abs(local(image**2) - mean**2)) + 1)


def half(image):
    """Half the size by bicubic interpolation that takes the smaller grid into account."""
    image = np.pad(image, [(0, side % 2) for side in image.shape], mode="edge")
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC), np.float64)


def asymmetric(values):
    """Shape, left and right scale of an asymmetric generalised Gaussian by its moments."""
    left, right = (np.sqrt(np.mean(part**2)) for part in (values[values < 0], values[values > 0]))
    ratio = left / right
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    target = moment * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = SHAPES[np.argmin((gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES)) - target) ** 2)]
    return shape, left, right


def products(values):
    """The four features of each orientation: shape, mean and the two scales, not yet as each metric takes them."""
    for shift in SHIFTS:
        shape, left, right = asymmetric((values * np.roll(values, shift, (0, 1))).ravel())
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
        yield shape, (right - left) * gamma(2 / shape) / gamma(1 / shape) * scale, left, right, scale


def features(image):
    """NIQE's 36 features of an H x W image, 0 to 255: means over its blocks."""
    return _blocks(image).mean(0)


def _blocks(image):
    image = image[: image.shape[0] // 96 * 96, : image.shape[1] // 96 * 96].astype(np.float64)
    scales = []
    for level, side in ((image, 96), (half(image), 48)):
        values = normalised(level, "nearest")
        blocks = []
        for row in range(0, values.shape[0], side):
            for column in range(0, values.shape[1], side):
                block = values[row : row + side, column : column + side]
                shape, left, right = asymmetric(block.ravel())
                scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
                statistics = [shape, (left + right) / 2 * scale]
                for shape, mean, left, right, scale in products(block):
                    statistics += [shape, mean, left * scale, right * scale]
                blocks.append(statistics)
        scales.append(np.array(blocks))
    return np.hstack(scales)


def niqe(image, parameters: Path):
    """Of an H x W image, 0 to 255."""
    blocks, known = _blocks(image), loadmat(parameters)
    away = blocks.mean(0) - known["mu_prisparam"].ravel()
    spread = (np.cov(blocks, rowvar=False) + known["cov_prisparam"]) / 2
    return float(np.sqrt(away @ np.linalg.pinv(spread) @ away))


def brisque(image, machine: Path):
    """Of an H x W image, 0 to 255."""
    statistics = []
    level = image.astype(np.float64)
    for _ in range(2):
        values = normalised(level, "constant")
        ratio = np.mean(values**2) / np.mean(np.abs(values)) ** 2
        shapes = gamma(1 / SHAPES) * gamma(3 / SHAPES) / gamma(2 / SHAPES) ** 2
        statistics += [SHAPES[np.argmin(np.abs(shapes - ratio))], np.mean(values**2)]
        for shape, mean, left, right, _ in products(values):
            statistics += [shape, mean, left**2, right**2]
        level = half(level)
    low, high = (np.array(text.split(), float) for text in (LOW, HIGH))
    scaled = -1 + 2 * (np.array(statistics) - low) / (high - low)
    head, _, body = machine.read_text().partition("SV\n")
    facts = dict(line.split(maxsplit=1) for line in head.splitlines())
    score = -float(facts["rho"])
    for line in body.splitlines():
        weight, *cells = line.split()
        vector = np.zeros(36)
        for cell in cells:
            place, value = cell.split(":")
            vector[int(place) - 1] = float(value)
        score += float(weight) * np.exp(-float(facts["gamma"]) * np.sum((scaled - vector) ** 2))
    return score
