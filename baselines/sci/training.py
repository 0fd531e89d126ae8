"""Training of SCI (paper section V-B, Fig. 7).

Stage I trains extraction, with a small head in place of analysis. Stage II trains analysis on the features of this
extraction. The codec is then trained on the same features. Stage III trains decoder, motion refinement and analysis
through the codec.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.growth import GrowingRecipe
from baselines.neural.latents import Estimator
from baselines.neural.layers import warp
from baselines.neural.small import STEPS, slope_of, step_of, stream_bits
from baselines.neural.training import PLAIN, SmallRecipe, TrainingCoder, finish_small, rate_distortion, spread_rates
from baselines.sci.analysis import RADIUS, Analysis, Residual
from baselines.sci.extraction import REACH, Extraction
from baselines.sci.inter import SciModel, VideoNetwork
from baselines.sci.intra import ImageNetwork
from baselines.sci.part import Variant
from baselines.sci.presets import ANALYSIS, extraction_size
from baselines.sci.sizes import CodecSize
from bench.fingerprint import file_sha256
from bench.interfaces.recipe import Recipe, device_of
from bench.progress import Progress, silent
from bench.weights import load_into, read_weights

if TYPE_CHECKING:
    import numpy as np

    from bench.interfaces.recipe import Batch
    from bench.train.shards import Shards

# Spikes per frame of unit luminance in the training data.
_RATE = 0.6
# Number of successive instants that analysis is trained on, and instants of an intra period that validation analyzes.
_INSTANTS, _CHECKED = 6, (2, 7, 12)
_LAPLACIAN = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]


# Steps of each stage at the paper's size: a guess at what such networks need, on GPUs, which no run has tried.
_PAPER_STEPS = {"1": 200_000, "2": 200_000, "intra": 200_000, "codec": 400_000, "3": 100_000}


class _SciRecipe(Recipe):
    """Base of the stages' recipes, whose class attributes are those of the preset ``small``.

    Attributes
    ----------
    stage
        Name of the stage.
    """

    stage: ClassVar[str]

    def set_size(self, preset: str) -> None:
        """Take batch, crop, learning rates and length for a preset's networks."""
        if preset == "paper":
            self.pace, self.steps = None, _PAPER_STEPS[self.stage]
            self.batch, self.crop, self.rate, self.warm_rate = 8, 128, 2e-4, 1e-4


def laplacian(feature: Tensor) -> Tensor:
    """Laplacian of N x 1 x H x W features without the border, N x 1 x H-2 x W-2 (paper Fig. 9a)."""
    return F.conv2d(feature, _LAPLACIAN.to(feature))


class _Head(nn.Module):
    """Stands in for analysis while extraction is trained: maps one feature to luminance."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(4, 32, 3, padding=1), nn.LeakyReLU(0.1), Residual(32),
            nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, feature: Tensor) -> Tensor:
        return feature + self.layers(feature - 0.5)


class ExtractionRecipe(_SciRecipe):
    """Stage I: extraction, with a small head in place of analysis."""

    stage = "1"
    file = "extraction.safetensors"
    logged = ("laplacian", "psnr")
    pace = 340.0
    rate = 1e-3
    batch = 8

    def __init__(self, preset: str, variant: Variant.Options) -> None:
        self.set_size(preset)
        self.variant = variant
        self.extraction, self.head = Extraction(extraction_size(preset, variant.fusions)), _Head()
        self.network = nn.ModuleDict({"extraction": self.extraction, "head": self.head})

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Spikes around coding instants, N x 40 x S x S, and the luminance there, N x 1 x S x S."""
        return tuple(torch.from_numpy(part) for part in shards.scenes(self.batch, self.crop, seed, step))

    def start(self, batch: Batch) -> None:
        """Do nothing: extraction starts as the firing rate."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the head's luminance, and with small weights the feature's error and roughness."""
        spikes, truth = batch
        feature = self.extraction(spikes, _RATE)
        # Features are clipped to [0, 1] when they are used, so the head gets clipped ones.
        clipped = feature.clamp(0, 1)
        error = (self.head(clipped) - truth).square().mean()
        rough = laplacian(clipped)
        loss = error + self.variant.anchor * (feature - truth).square().mean()
        loss = loss + self.variant.smooth * rough.abs().mean()
        facts = {
            "laplacian": float(rough.detach().abs().mean()),
            "psnr": -10 * math.log10(float(error.detach()) + 1e-10),
        }
        return 100 * loss, facts

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights of extraction, without the head."""
        return {self.file: _weights(network.get_submodule("extraction"))}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """PSNR of the feature and of the head's luminance, and L1 and L2 norm of the feature's Laplacian."""
        samples, device = shards.scenes(self.checked, self.side, 0, 0), device_of(network)
        spikes, truth = (torch.from_numpy(part).to(device) for part in samples)
        with torch.inference_mode():
            feature = network.get_submodule("extraction")(spikes, _RATE).clamp(0, 1)
            pictures = {"psnr": network.get_submodule("head")(feature).clamp(0, 1), "feature_psnr": feature}
            facts = {name: -10 * math.log10(float((out - truth).square().mean())) for name, out in pictures.items()}
            rough = laplacian(feature)
        return [{**facts, "laplacian_l1": float(rough.abs().mean()), "laplacian_l2": float(rough.square().mean())}]


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def extract_features(extraction: Extraction, spikes: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """Features at K instants of T x H x W spikes, K x H x W float32 in [0, 1]."""
    import numpy as np

    with torch.inference_mode():
        windows = (torch.from_numpy(spikes[t - REACH : t + REACH].astype(np.float32)) for t in instants)
        return torch.cat([extraction(window[None], _RATE).clamp(0, 1)[:, 0] for window in windows]).numpy()


@functools.lru_cache(maxsize=1)
def _extraction(preset: str, fusions: int | None, path: Path, _sha256: str) -> Extraction:
    """Extraction with the weights of a file, read once in a process while the file stays the same."""
    extraction = Extraction(extraction_size(preset, fusions)).eval()
    load_into(extraction, read_weights(path), path)
    return extraction


def _extract(
    preset: str, fusions: int | None, path: Path, sha256: str, spikes: np.ndarray, instants: np.ndarray
) -> np.ndarray:
    """`extract_features` by the weights of a file: other processes are sent its name, not its tensors."""
    return extract_features(_extraction(preset, fusions, path, sha256), spikes, instants)


class _OnFeatures(_SciRecipe):
    """Base of the recipes that train on the features of a trained extraction module."""

    def __init__(self, preset: str, variant: Variant.Options, extraction: Path) -> None:
        self.set_size(preset)
        self.basis = (extraction,)
        self._key = file_sha256(extraction)
        self._extract = functools.partial(_extract, preset, variant.fusions, extraction, self._key)

    def prepare(self, shards: Shards, progress: Progress = silent) -> Shards:
        """Shards with the features of this extraction module instead of TFP's."""
        return shards.derive(self._key, self._extract, progress)


class AnalysisRecipe(_OnFeatures):
    """Stage II: analysis on the features of a fixed extraction."""

    stage = "2"
    file = "analysis.safetensors"
    logged = ("warp", "psnr")
    pace = 90.0
    rate = 6e-4
    batch = 6
    crop = 96

    def __init__(self, preset: str, variant: Variant.Options, extraction: Path) -> None:
        super().__init__(preset, variant, extraction)
        self.analysis = Analysis(ANALYSIS[preset], variant.align, variant.refine)
        self.network = self.analysis

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Features of successive instants, N x K x S x S, the luminance at one of them, and its index, N times."""
        samples = shards.pairs(self.batch, self.crop, seed, step, _INSTANTS)
        features, truth = (torch.from_numpy(part) for part in samples)
        # Mostly one in the middle, since neighbours are missing at the ends.
        instant = (2, 3, 2, 3, 0, 1, 2, 3, 4, 5)[step % 10]
        return features, truth[:, instant : instant + 1], torch.full((len(features),), instant)

    def start(self, batch: Batch) -> None:
        """Do nothing: analysis starts by returning the feature."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the luminance, and with a small weight that of features predicted by motion."""
        features, truth, instants = batch
        estimated = self.analysis.estimate(features)
        motion = self.analysis.refined(features, estimated)
        error = (self.analysis(features, motion, int(instants[0])) - truth).square().mean()
        explained = (unexplained(features, estimated) + unexplained(features, motion)).mean()
        facts = {
            "warp": -10 * math.log10(float(explained.detach()) / 2 + 1e-10),
            "psnr": -10 * math.log10(float(error.detach()) + 1e-10),
        }
        return 100 * (error + 0.1 * explained), facts

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights of analysis."""
        return {self.file: _weights(network)}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """PSNR of the luminance at the middle instants, and of the features there."""
        assert isinstance(network, Analysis)  # noqa: S101 -- the trainer's copy of it
        samples, device = shards.pairs(self.checked, self.side, 0, 0, _INSTANTS), device_of(network)
        features, truth = (torch.from_numpy(part).to(device) for part in samples)
        errors, own = [], []
        with torch.inference_mode():
            motion = network.refined(features, network.estimate(features))
            for k in (2, 3):
                result = network(features, motion, k).clamp(0, 1)
                errors.append(float((result - truth[:, k : k + 1]).square().mean()))
                own.append(float((features[:, k] - truth[:, k]).square().mean()))
        return [
            {
                "psnr": -10 * math.log10(sum(errors) / len(errors)),
                "feature_psnr": -10 * math.log10(sum(own) / len(own)),
            }
        ]


def unexplained(features: Tensor, motion: Tensor) -> Tensor:
    """Mean squared error of features N x K x H x W predicted from their predecessors by motion; one value per item."""
    now, past = (part.reshape(-1, 1, *part.shape[2:]) for part in (features[:, 1:], features[:, :-1]))
    error = warp(past, motion[:, 1:].flatten(0, 1)) - now
    return error.square().view(len(features), -1).mean(1)


class IntraRecipe(GrowingRecipe, _OnFeatures):
    """Pre-training of the intra network alone, which sees many more pictures per minute than in sequences."""

    stage = "intra"
    file = "intra.safetensors"
    pace = 60.0
    crop = 128

    def __init__(self, preset: str, variant: Variant.Options, size: CodecSize, extraction: Path) -> None:
        _OnFeatures.__init__(self, preset, variant, extraction)
        self.image = ImageNetwork(size)
        self.network = nn.ModuleDict({"image": self.image})

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Features of single instants (some of luminance instead), and their luminance; N x 1 x S x S each."""
        samples = shards.pairs(self.batch, self.crop, seed, step, 1, PLAIN)
        return tuple(torch.from_numpy(part) for part in samples)

    def start(self, batch: Batch) -> None:
        """Set the prior's starting scales from the statistics of the linear transform."""
        self.image.calibrate(batch[0])

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Rate and distortion, at another rate point for each item (`spread_rates`)."""
        features, truth = batch
        steps, items = torch.tensor(self.image.steps, device=features.device), self.items(batch)
        rate = spread_rates(items, len(steps)).to(features.device)
        coder, (height, width) = TrainingCoder(items), features.shape[2:]
        decoded = self.image.code(coder, features, rate, (len(features), height, width))
        loss, bpp, psnr = rate_distortion(coder, decoded, truth, steps[rate])
        return loss, {"bpp": bpp, "psnr": psnr}

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights without rounding: training continues from them."""
        return {self.file: _weights(network)}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Bits per frame pixel and PSNR of the first held-out samples' first instants, at every rate point."""
        device = device_of(network)
        features, truth = (part[:, :1] for part in self.held_out(shards, device))
        image, figures = network.get_submodule("image"), []
        assert isinstance(image, ImageNetwork)  # noqa: S101 -- the trainer's copy of it
        with torch.inference_mode():
            for point in range(len(image.steps)):
                coder, rate = Estimator(stream_bits()), torch.full((len(features),), point, device=device)
                decoded = image.code(coder, features, rate, (len(features), *features.shape[2:]))
                error = float((decoded - truth).square().mean())
                bpf = coder.total_bits / truth.numel()
                figures.append({"rate_point": point, "bpf": bpf, "psnr": -10 * math.log10(error)})
                progress(point + 1, len(image.steps), "validation")
        return figures


class CodecRecipe(SmallRecipe, _OnFeatures):
    """Pre-training of the codec on features, like the other small codecs; it can start from a trained intra network."""

    stage = "codec"
    pace: float | None = 26.0

    def __init__(
        self, preset: str, variant: Variant.Options, size: CodecSize, extraction: Path, intra: Path | None = None
    ) -> None:
        _OnFeatures.__init__(self, preset, variant, extraction)
        self.file = f"{preset}.safetensors"
        SmallRecipe.__init__(self, ImageNetwork(size), VideoNetwork(size), SciModel)
        self._intra = intra
        if intra is not None:
            self.basis = (*self.basis, intra)
            self._restore_intra(intra)

    def _restore_intra(self, path: Path) -> None:
        load_into(nn.ModuleDict({"image": self.image}), read_weights(path), path)

    def begin_from(self, path: Path) -> tuple[int, int]:
        """See `Recipe`; the intra network keeps the weights of its own stage if they were given."""
        counts = super().begin_from(path)
        if self._intra is not None:
            self._restore_intra(self._intra)
        return counts


# Parameters that determine the encoder's symbols, quantisation steps included: stage III does not train them.
_ENCODER = re.compile(r"\.(encoder|mv_encoder|hyper_encoder|rates|motion_rates)\.|transform\.analysis$")


class ThroughCodecRecipe(CodecRecipe):
    """Stage III: decoder and analysis, through quantisation, over all rate points and whole intra periods.

    The loss has the codec's rate, the distortion of results, and with a small weight that of decoded features, both
    against the luminance. In every second batch one sequence is coded as luminance, as ATC sends it, and its features
    reach analysis uncoded. Every second analysis gets no decoded motion. So one analysis module serves all codecs, and
    uncoded features. The paper trains the decoder only; the variant `encoder` trains the encoder as well.
    """

    stage = "3"
    pace = 12.0
    rate = 3e-4
    warm = True
    # Weight of the decoded features' distortion relative to the results'; number of analyzed instants of a sequence.
    own, results = 0.3, 3

    def __init__(
        self, preset: str, variant: Variant.Options, size: CodecSize, extraction: Path, codec: Path, analysis: Path
    ) -> None:
        super().__init__(preset, variant, size, extraction)
        self.basis = (extraction, codec, analysis)
        load_into(self.network, read_weights(codec), codec)
        self.analysis = Analysis(ANALYSIS[preset], variant.align, variant.refine)
        load_into(self.analysis, read_weights(analysis), analysis)
        if not variant.encoder:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(not _ENCODER.search(name))
        self.network = nn.ModuleDict({"image": self.image, "video": self.video, "analysis": self.analysis})

    def start(self, batch: Batch) -> None:
        """Do nothing: all parts are trained already."""

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Features and luminance N x K x S x S, indices of the analyzed instants N x R, and each item's part, N x 2.

        The latter is the item's number, and how much it counts among the items that are coded as features: 0 for one
        that is coded as luminance, which no batch of a single item has.
        """
        features, truth = (torch.from_numpy(part) for part in shards.pairs(self.batch, self.crop, seed, step))
        count, frames = features.shape[:2]
        instants = torch.tensor([(5 * step + 7 * number) % frames for number in range(self.results)])
        coded = count - step % 2 if count > 1 else 1
        number = torch.arange(count, dtype=torch.float32)
        return features, truth, instants.repeat(count, 1), torch.stack((number, (number < coded) * (count / coded)), 1)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Rate and distortion of the features that are sent, and distortion of the analyzed results."""
        features, truth, instants, (number, counts) = *batch[:3], batch[3].unbind(1)
        count, frames, height, width = features.shape
        plain = counts == 0
        sent = torch.where(plain[:, None, None, None], truth, features)
        rate = spread_rates(self.items(batch)).to(features.device)
        model, step = self.model(self.network, rate), step_of(rate)
        # A sequence that is sent as luminance is not analyzed, so its own distortion has full weight.
        own = torch.where(plain, 1.0, self.own)
        total, state, bpp = torch.zeros(()), None, 0.0
        decoded, motion = [], []
        for index in range(frames):
            part = slice(index, index + 1)
            loss, frame_bpp, _, picture, state = self.again(
                self.frame, model, self.items(batch), sent[:, part], truth[:, part], index, state, own
            )
            total = total.to(loss) + loss / frames
            bpp += frame_bpp / frames
            decoded.append(picture)
            motion.append(state.motion if index else torch.zeros(count, 2, height, width).to(picture))
        received = torch.where(plain[:, None, None, None], features, torch.cat(decoded, 1))
        moved = torch.stack(motion, 1)
        # Other codecs decode no motion, and intra frames have none.
        psnr = 0.0
        for turn, instant in enumerate(instants[0].tolist()):
            seen = slice(max(instant - RADIUS, 0), instant + RADIUS + 1)
            without = ((number + turn) % 2 == 1) | plain
            error = self.again(
                self._result, received[:, seen], moved[:, seen], without, truth[:, instant], instant - seen.start
            )
            # Uncoded features have no rate point; their errors are weighted about as at a low one.
            price = torch.where(plain, 20.0, step / slope_of(step))
            total = total + (price * error).mean() / self.results
            psnr += -10 * float((counts * error.detach().clamp_min(1e-10).log10()).mean()) / self.results
        return total, {"bpp": bpp, "psnr": psnr}

    def _result(self, features: Tensor, moved: Tensor, without: Tensor, truth: Tensor, k: int) -> Tensor:
        """Squared error of each sequence's result at instant k, and a tenth of that of motion-predicted features."""
        moved = torch.where(without[:, None, None, None, None], self.analysis.estimate(features), moved)
        refined = self.analysis.refined(features, moved)
        error = (self.analysis(features, refined, k)[:, 0] - truth).square().mean((1, 2))
        return error + 0.1 * unexplained(features, refined) if self.analysis.fmvr is not None else error

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Bring the codec into its exact form, and return its weights and those of analysis."""
        codec = nn.ModuleDict({part: network.get_submodule(part) for part in ("image", "video")})
        return {self.file: finish_small(codec), "analysis.safetensors": _weights(network.get_submodule("analysis"))}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Bits per frame pixel, and PSNR of decoded features and of some results, at every rate point."""
        device = device_of(network)
        features, truth = self.held_out(shards, device)
        analysis = network.get_submodule("analysis")
        assert isinstance(analysis, Analysis)  # noqa: S101 -- the trainer's copy of it
        figures, total, (height, width) = [], len(STEPS) * len(features), features.shape[2:]
        with torch.inference_mode():
            for rate in range(len(STEPS)):
                model = self.model(network, torch.tensor([rate], device=device))
                bits = error = own = 0.0
                for number, (sequence, target) in enumerate(zip(features, truth, strict=True), 1):
                    coder, state = Estimator(stream_bits()), None
                    decoded, motion = [], [features.new_zeros(1, 2, height, width)]
                    for index, frame in enumerate(sequence[:, None, None]):
                        received, state = model.code(coder, frame, index, (height, width), state)
                        decoded.append(received)
                        if index:
                            motion.append(state.motion)
                    received = torch.cat(decoded, 1)
                    refined = analysis.refined(received, torch.stack(motion, 1))
                    for k in _CHECKED:
                        result = analysis(received, refined, k).clamp(0, 1)[0, 0]
                        error += float((result - target[k]).square().mean()) / len(_CHECKED)
                    own += float((received[0] - target).square().mean())
                    bits += coder.total_bits
                    progress(rate * len(features) + number, total, "validation")
                figures.append(
                    {
                        "rate_point": rate,
                        "bpf": bits / features.numel(),
                        "psnr": -10 * math.log10(error / len(truth)),
                        "feature_psnr": -10 * math.log10(own / len(truth)),
                    }
                )
        return figures
