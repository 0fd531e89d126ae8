"""Training of `spikecodec:preset=small`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from baselines.neural.latents import Estimator
from baselines.neural.small import STEPS, step_of, stream_bits
from baselines.neural.training import TrainingCoder, finish_small, rate_distortion, spread_rates
from baselines.spikecodec.network import WINDOWS, SceneNetwork
from bench.interfaces.recipe import Recipe, device_of
from bench.progress import Progress, silent

if TYPE_CHECKING:
    from bench.interfaces.recipe import Batch
    from bench.train.shards import Shards

# Spikes per frame of unit luminance in the training data.
_RATE = 0.6


class SpikeCodecRecipe(Recipe):
    """Trains scene recovery and auto-encoder together, against the true luminance."""

    pace = 420.0
    checked = 64

    def __init__(self) -> None:
        self.scenes = SceneNetwork()
        self.network = self.scenes

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Firing rates in windows around coding instants, N x 4 x S x S, and the luminance there, N x 1 x S x S."""
        spikes, truth = shards.scenes(self.batch, self.crop, seed, step)
        return _rates(torch.from_numpy(spikes)), torch.from_numpy(truth)

    def start(self, batch: Batch) -> None:
        """Set the prior's starting scales from the statistics of the linear transform."""
        self.scenes.calibrate(batch[1])

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Rate, distortion against the luminance that the spikes came from, and the error of recovery alone."""
        rates, truth = batch
        items = self.items(batch)
        rate, coder = spread_rates(items).to(truth.device), TrainingCoder(items)
        recovered = self.scenes.recovery(rates)
        decoded = self.scenes.code(coder, recovered, rate, (len(truth), truth.shape[2], truth.shape[3]))
        loss, bpp, psnr = rate_distortion(coder, decoded, truth, step_of(rate))
        # Recovery also has a loss of its own, whose weight falls during training.
        return loss + (10 - 8 * progress) * (recovered - truth).square().mean(), {"bpp": bpp, "psnr": psnr}

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Store tables and steps, round the weights, and return them."""
        return {self.file: finish_small(network)}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Bits per pixel and PSNR against the luminance, at every rate point."""
        assert isinstance(network, SceneNetwork)  # noqa: S101 -- the trainer's copy of it
        samples, device = shards.scenes(self.checked, self.side, 0, 0), device_of(network)
        spikes, truth = (torch.from_numpy(part).to(device) for part in samples)
        figures = []
        with torch.inference_mode():
            recovered = network.recovery(_rates(spikes))
            for rate in range(len(STEPS)):
                bits = error = 0.0
                for scene, target in zip(recovered[:, None], truth[:, None], strict=True):
                    coder = Estimator(stream_bits())
                    decoded = network.code(coder, scene, torch.tensor([rate], device=device), (1, *scene.shape[2:]))
                    bits += coder.total_bits
                    error += float((decoded - target).square().mean())
                psnr = -10 * math.log10(error / len(truth))
                figures.append({"rate_point": rate, "bpf": bits / truth.numel(), "psnr": psnr})
                progress(rate + 1, len(STEPS), "validation")
        return figures


def _rates(spikes: Tensor) -> Tensor:
    """Relative firing rates in each window, N x 4 x S x S, of spikes N x T x S x S."""
    middle = spikes.shape[1] // 2
    windows = [spikes[:, middle - window // 2 : middle + window // 2].mean(1) for window in WINDOWS]
    return (torch.stack(windows, 1) / _RATE).clamp(max=1)
