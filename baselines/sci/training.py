"""How SCI is trained (paper section V-B): extraction, analysis on fixed extraction, and the codec on its features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.layers import warp
from baselines.neural.recipe import Recipe
from baselines.neural.training import SmallRecipe
from baselines.neural.weights import load_into, read_weights
from baselines.sci.analysis import Analysis, Residual
from baselines.sci.extraction import REACH, Extraction
from baselines.sci.network import ImageNetwork, VideoNetwork
from baselines.sci.presets import ANALYSIS, CODEC, EXTRACTION
from bench.fingerprint import file_sha256

if TYPE_CHECKING:
    import numpy as np

    from baselines.neural.codec import FrameModel
    from baselines.neural.recipe import Batch
    from bench.train.shards import Shards

# Spikes per frame of unit luminance in the training data.
_RATE = 0.6
_LAPLACIAN = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]


def laplacian(feature: Tensor) -> Tensor:
    """Second differences of N x 1 x H x W features, inside the border (paper Fig. 9a)."""
    return F.conv2d(feature, _LAPLACIAN.to(feature))


class _Head(nn.Module):
    """What stands for analysis while extraction is trained: one frame's feature to luminance."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(4, 32, 3, padding=1), nn.LeakyReLU(0.1), Residual(32),
            nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, feature: Tensor) -> Tensor:
        return feature + self.layers(feature - 0.5)


class ExtractionRecipe(Recipe):
    """Stage I: extraction, with a small head in place of analysis.

    Parameters
    ----------
    smooth
        Weights of the L1 and the squared L2 norm of the feature's Laplacian; zero leaves the feature free.
    anchor
        Weight of the feature's own distance to the luminance.
    """

    file = "extraction.safetensors"
    logged = ("laplacian", "psnr")
    pace = 240.0
    rate = 1e-3
    batch = 8

    def __init__(self, smooth: tuple[float, float] = (0.002, 0.0), anchor: float = 0.5, preset: str = "small") -> None:
        self.smooth, self.anchor = smooth, anchor
        self.extraction, self.head = Extraction(EXTRACTION[preset]), _Head()
        self.network = nn.ModuleDict({"extraction": self.extraction, "head": self.head})

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Spikes around coding instants, and the luminance there."""
        return tuple(torch.from_numpy(part) for part in shards.scenes(self.batch, self.crop, seed, step))

    def start(self, batch: Batch) -> None:
        """Nothing is fitted: extraction starts as the firing rate."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of what the head makes of the feature, and the feature's roughness."""
        spikes, truth = batch
        feature = self.extraction(spikes, _RATE)
        # Outside [0, 1] a feature is clipped once it is used: what it lacks there is an error.
        clipped = feature.clamp(0, 1)
        error = (self.head(clipped) - truth).square().mean()
        rough = laplacian(clipped)
        loss = error + self.anchor * (feature - truth).square().mean()
        loss = loss + self.smooth[0] * rough.abs().mean() + self.smooth[1] * rough.square().mean()
        facts = {
            "laplacian": float(rough.detach().abs().mean()),
            "psnr": -10 * math.log10(float(error.detach()) + 1e-10),
        }
        return 100 * loss, facts

    def finish(self, network: nn.Module) -> Mapping[str, Tensor]:
        """Extraction alone; the head has served."""
        return {name: value.contiguous() for name, value in network.get_submodule("extraction").state_dict().items()}

    def evaluate(self, network: nn.Module, shards: Shards) -> list[dict[str, float]]:
        """PSNR of feature and head, and both norms of the feature's Laplacian."""
        spikes, truth = (torch.from_numpy(part) for part in shards.scenes(self.checked, 128, 0, 0))
        with torch.inference_mode():
            feature = network.get_submodule("extraction")(spikes, _RATE).clamp(0, 1)
            found = {"psnr": network.get_submodule("head")(feature).clamp(0, 1), "feature_psnr": feature}
            facts = {name: -10 * math.log10(float((out - truth).square().mean())) for name, out in found.items()}
            rough = laplacian(feature)
        return [{**facts, "laplacian_l1": float(rough.abs().mean()), "laplacian_l2": float(rough.square().mean())}]


def extract_features(extraction: Extraction, spikes: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """Features at instants of T x H x W spikes, K x H x W float32 in [0, 1]."""
    import numpy as np

    with torch.inference_mode():
        windows = (torch.from_numpy(spikes[t - REACH : t + REACH].astype(np.float32)) for t in instants)
        return torch.cat([extraction(window[None], _RATE).clamp(0, 1)[:, 0] for window in windows]).numpy()


class _OnFeatures(Recipe):
    """Recipes that train on the features of a trained extraction module."""

    def __init__(self, extraction: Path, preset: str) -> None:
        self.extraction = Extraction(EXTRACTION[preset]).eval()
        load_into(self.extraction, read_weights(extraction), extraction)
        self._key = file_sha256(extraction)

    def prepare(self, shards: Shards) -> Shards:
        """Shards with the features of this extraction module in place of TFP's."""
        return shards.derive(self._key, lambda spikes, instants: extract_features(self.extraction, spikes, instants))


class AnalysisRecipe(_OnFeatures):
    """Stage II: analysis on fixed extraction, towards the luminance."""

    file = "analysis.safetensors"
    logged = ("warp", "psnr")
    pace = 90.0
    rate = 6e-4
    batch = 6
    crop = 96

    def __init__(self, extraction: Path, preset: str = "small") -> None:
        super().__init__(extraction, preset)
        self.analysis = Analysis(ANALYSIS[preset])
        self.network = self.analysis

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Features and luminance of successive instants, and which of them is wanted."""
        features, truth = (torch.from_numpy(part) for part in shards.pairs(self.batch, self.crop, seed, step))
        # Mostly in the middle; at the ends neighbours are missing.
        wanted = (2, 3, 2, 3, 0, 1, 2, 3, 4, 5)[step % 10]
        return features, truth[:, wanted : wanted + 1], torch.tensor(wanted)

    def start(self, batch: Batch) -> None:
        """Nothing is fitted: analysis starts by giving the feature back."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the luminance; motion is also led by what it has to explain."""
        features, truth, wanted = batch
        estimated = self.analysis.estimate(features)
        motion = self.analysis.refined(features, estimated)
        error = (self.analysis(features, motion, int(wanted)) - truth).square().mean()
        now, past = (part.reshape(-1, 1, *part.shape[2:]) for part in (features[:, 1:], features[:, :-1]))
        explained = sum(
            ((warp(past, flow[:, 1:].flatten(0, 1)) - now).square().mean() for flow in (estimated, motion)),
            start=torch.zeros(()).to(error),
        )
        facts = {
            "warp": -10 * math.log10(float(explained.detach()) / 2 + 1e-10),
            "psnr": -10 * math.log10(float(error.detach()) + 1e-10),
        }
        return 100 * (error + 0.1 * explained), facts

    def finish(self, network: nn.Module) -> Mapping[str, Tensor]:
        """All of it."""
        return {name: value.contiguous() for name, value in network.state_dict().items()}

    def evaluate(self, network: nn.Module, shards: Shards) -> list[dict[str, float]]:
        """PSNR of the middle instants, beside that of the features."""
        assert isinstance(network, Analysis)  # noqa: S101 -- the trainer's copy of it
        features, truth = (torch.from_numpy(part) for part in shards.pairs(self.checked, 128, 0, 0))
        errors, own = [], []
        with torch.inference_mode():
            motion = network.refined(features, network.estimate(features))
            for k in (2, 3):
                found = network(features, motion, k).clamp(0, 1)
                errors.append(float((found - truth[:, k : k + 1]).square().mean()))
                own.append(float((features[:, k] - truth[:, k]).square().mean()))
        return [
            {
                "psnr": -10 * math.log10(sum(errors) / len(errors)),
                "feature_psnr": -10 * math.log10(sum(own) / len(own)),
            }
        ]


class CodecRecipe(SmallRecipe, _OnFeatures):
    """Pre-training of the codec on features, as the other small codecs are trained."""

    quality = (0.5, 1.2, 0.5, 0.9)
    pace = 100.0

    def __init__(self, extraction: Path, preset: str = "small") -> None:
        _OnFeatures.__init__(self, extraction, preset)
        SmallRecipe.__init__(self, ImageNetwork(CODEC[preset]), VideoNetwork(CODEC[preset]))

    def model(self, network: nn.Module, rate: Tensor) -> FrameModel:
        """The networks at the rate point of each item."""
        from baselines.sci.codec import SciModel

        return SciModel(network, rate)
