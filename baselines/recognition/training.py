"""Training of the classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.recognition.network import network_of
from baselines.recognition.representations import FRAMES, shown_by
from baselines.recognition.samples import training_split
from bench.interfaces import Extractor
from bench.interfaces.recipe import Recipe, device_of
from bench.progress import Progress, silent

if TYPE_CHECKING:
    from baselines.recognition.samples import Samples
    from bench.interfaces.recipe import Batch

# Representations with SpiReco's front before the network: SpiReco's own, and SCI's, so that these two differ only in
# the network's input.
_ENHANCED = ("tfi", "sci")


class ClassifierRecipe(Recipe):
    """Trains a classifier by cross entropy, in bfloat16.

    Half of the samples of spike cameras are played backward, as further motions. Half of the photographs are mirrored,
    and all are shifted a little.
    """

    file = "classifier.safetensors"
    logged = ("accuracy", "entropy")
    pace = 700.0
    rate, warm_rate = 2e-3, 1e-3
    batch = 64
    separable = False

    def __init__(self, on: str, data: str, begin: Path | None, backbone: str = "small") -> None:
        dataset = training_split(data)
        self.backward = isinstance(shown_by(on), Extractor)
        self.photographs = dataset.photographs
        network = network_of(backbone, dataset.photographs)(FRAMES, len(dataset.classes), on in _ENHANCED)
        self.network = network.to(memory_format=torch.channels_last)  # a step takes an eighth less time
        if begin:
            self.begin_from(begin)

    def draw(self, shards: Any, seed: int, step: int) -> Batch:
        """Frames N x K x H x W uint8, and labels N."""
        random = np.random.default_rng([seed, step])
        indices = np.sort(random.integers(len(shards.labels), size=self.batch))
        frames = np.array(shards.frames[indices])
        if self.backward:
            turned = random.random(self.batch) < 0.5
            frames[turned] = frames[turned, ::-1]
        if self.photographs:
            mirrored = random.random(self.batch) < 0.5
            frames[mirrored] = frames[mirrored, :, :, ::-1]
            frames = _shifted(frames, random)
        return torch.from_numpy(frames), torch.from_numpy(shards.labels[indices])

    def start(self, batch: Batch) -> None:
        """Do nothing."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Cross entropy with label smoothing of 0.05; the log has accuracy and plain cross entropy."""
        frames, labels = batch
        with torch.autocast(frames.device.type, torch.bfloat16):
            logits = self.network(frames.float() / 255)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        with torch.no_grad():
            facts = {
                "accuracy": float((logits.argmax(1) == labels).float().mean()),
                "entropy": float(F.cross_entropy(logits, labels)),
            }
        return loss, facts

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Round the weights to half precision, which is enough to classify by, and return them."""
        shipped = network.shipped()  # type: ignore[operator]  # the trainer's copy of it
        for value in shipped.values():
            if value.is_floating_point():
                value.copy_(value.half())
        return {self.file: {name: _half(value) for name, value in shipped.items()}}

    def evaluate(self, network: nn.Module, shards: Any, progress: Progress = silent) -> list[dict[str, float]]:
        """Accuracy on the held-out samples, by rate point (-1: not coded)."""
        correct = np.concatenate(list(_correct(network, shards)))
        return [
            {"rate_point": int(rate), "accuracy": float(correct[shards.rates == rate].mean())}
            for rate in np.unique(shards.rates)
        ]


def _shifted(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Shift each of N x K x H x W samples by up to a sixteenth of its side; what comes into view repeats the border."""
    size = frames.shape[2]
    most = size // 16
    wider = np.pad(frames, ((0, 0), (0, 0), (most, most), (most, most)), "edge")
    corners = random.integers(2 * most + 1, size=(len(frames), 2))
    pairs = zip(wider, corners, strict=True)
    return np.stack([sample[:, row : row + size, column : column + size] for sample, (row, column) in pairs])


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def _correct(network: nn.Module, samples: Samples) -> Iterator[np.ndarray]:
    for start in range(0, len(samples.labels), 256):
        frames = torch.from_numpy(np.array(samples.frames[start : start + 256])).to(device_of(network)).float() / 255
        with torch.inference_mode():
            predicted = network(frames).argmax(1).cpu().numpy()
        yield predicted == samples.labels[start : start + 256]
