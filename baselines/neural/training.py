"""How the small codecs are trained: a coder with gradients, one loss over all rate points, and a recipe."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from baselines.neural.codec import INTRA_FINER, SmallModel
from baselines.neural.entropy import Family, Prior
from baselines.neural.fixed import freeze
from baselines.neural.latents import Estimator
from baselines.neural.recipe import Recipe
from baselines.neural.small import STEPS, slope_of, store_tables, stream_bits
from bench.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np

    from baselines.neural.recipe import Batch
    from bench.train.shards import Shards


# Inter frames in a row up to a share of the training: errors that add up over frames are met once frames are good.
_INTER_FRAMES = ((0.3, 1), (0.6, 2), (0.85, 3), (1.0, 5))


class SmallRecipe(Recipe):
    """Intra and inter network together, with more inter frames in a row as training goes on.

    Attributes
    ----------
    quality
        Weight of the distortion of inter frame i, at i modulo the length.
    """

    quality: Sequence[float] = (1.0,)
    # Motion needs room: near a border, what came in from beyond it is nowhere in the frame before.
    batch, crop = 3, 112

    def __init__(self, image: Any, video: Any, made: type[SmallModel]) -> None:
        self.image, self.video, self.made = image, video, made
        self.network = nn.ModuleDict({"image": image, "video": video})

    def start(self, batch: Batch) -> None:
        """Scales of the priors from the statistics of the linear transforms."""
        (frames,) = batch
        self.image.calibrate(frames[:, :1])
        self.video.calibrate(frames[:, 1:2], frames[:, :1])

    def model(self, network: nn.Module, rate: Tensor) -> SmallModel:
        """The networks at the rate point of each item."""
        # Inter frames learn to be predicted from intra frames of any quality above their own.
        return self.made(network, rate, int(torch.randint(4, ())) if network.training else INTRA_FINER)

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Sequences of features and of true luminance."""
        return (torch.from_numpy(shards.frames(self.batch, self.crop, seed, step)),)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """An intra frame and one to five inter frames, each from what was decoded of the one before."""
        (frames,) = batch
        count, _, height, width = frames.shape
        # Rate points spread over the batch, from a random first.
        rate = spread_rates(count).to(frames.device)
        model = self.model(self.network, rate)
        inter = next(count for until, count in _INTER_FRAMES if progress < until)
        total, state, bpp, psnr = torch.zeros(()), None, 0.0, 0.0
        for index in range(inter + 1):
            coder, frame = TrainingCoder(), frames[:, index : index + 1]
            decoded, state = model.code(coder, frame, index, (height, width), state)
            weight = self.quality[index % len(self.quality)] if index else 1.0
            loss, frame_bpp, frame_psnr = rate_distortion(coder, decoded, frame, rate, weight)
            total = total.to(loss) + loss / (inter if index else 1)
            bpp, psnr = bpp + frame_bpp / (inter + 1), psnr + frame_psnr / (inter + 1)
        return total, {"bpp": bpp, "psnr": psnr}

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Tables written, weights rounded."""
        return {self.file: finish_small(network)}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Rate and quality of the first held-out sequences at every rate point."""
        frames, figures = shards.held_out(self.checked), []
        total = len(STEPS) * len(frames)
        for rate in range(len(STEPS)):
            model = self.model(network, torch.tensor([rate]))

            def count(done: int, before: int = rate * len(frames)) -> None:
                progress(before + done, total, "validation")

            figures.append({"rate_point": rate, **_evaluate(model, frames, count)})
        return figures


def finish_small(network: nn.Module) -> dict[str, Tensor]:
    """Bring a small network into its exact form, in place, and give its weights."""
    store_tables(network)
    freeze(network)
    return {name: _compact(value.detach().cpu()) for name, value in network.state_dict().items()}


def _compact(value: Tensor) -> Tensor:
    """Half the bytes where that loses nothing, as for most rounded weights."""
    half = value.half()
    return (half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value).contiguous()


def spread_rates(count: int) -> Tensor:
    """A rate point for each item of a batch, spread over all of them from a random first."""
    return (torch.randint(len(STEPS), ()) + 2 * torch.arange(count)).remainder(len(STEPS))


class TrainingCoder:
    """Latents as training sees them: rounded with gradients passed through, bits of the same with uniform noise.

    Attributes
    ----------
    bits
        N-vector of estimated bits per item, by component.
    """

    def __init__(self) -> None:
        self.bits: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Hyper-latents, rounded."""
        assert z is not None  # noqa: S101 -- training always has the frame
        self._count(name, prior.probability(_noisy(z)))
        return z + (torch.round(z) - z).detach()

    def conditional(self, name: str, family: Family, residual: Tensor | None, sigma: Tensor) -> Tensor:
        """Symbols of a latent, rounded."""
        assert residual is not None  # noqa: S101 -- training always has the frame
        self._count(name, family.probability(_noisy(residual), sigma))
        return residual + (torch.round(residual) - residual).detach()

    def _count(self, name: str, probability: Tensor) -> None:
        # Below 2^-16 a symbol is escaped: a bound keeps the gradient of the tail finite.
        bits = -torch.log2(probability.clamp_min(2.0**-20))
        self.bits[name] = self.bits[name].to(bits) + bits.flatten(1).sum(1)


def _noisy(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) - 0.5


def rate_distortion(
    coder: TrainingCoder, decoded: Tensor, frame: Tensor, rate: Tensor, weight: float = 1.0
) -> tuple[Tensor, float, float]:
    """Loss, bits per pixel and PSNR of a batch whose items have rate points of their own.

    The slope of high rates weighs rate against distortion at every rate point. Low rates have few bits: their losses
    are scaled up to count as much.
    """
    step = torch.tensor(STEPS, device=frame.device)[rate]
    pixels = frame.shape[2] * frame.shape[3]
    bits = sum((value for value in coder.bits.values()), start=torch.zeros_like(step))
    error = (decoded - frame).square().mean((1, 2, 3))
    loss = ((bits / pixels + weight * error / slope_of(rate)) * step).mean()
    psnr = -10 * error.detach().clamp_min(1e-10).log10().mean()
    return loss, float(bits.detach().mean() / pixels), float(psnr)


def _evaluate(model: SmallModel, frames: np.ndarray, done: Callable[[int], None]) -> dict[str, float]:
    """Bits per coded pixel and PSNR over sequences N x K x S x S, coded in the closed loop."""
    bits = error = 0.0
    with torch.inference_mode():
        for number, sequence in enumerate(frames, 1):
            coder, state = Estimator(stream_bits()), None
            for index, frame in enumerate(torch.from_numpy(sequence)[:, None, None]):
                decoded, state = model.code(coder, frame, index, (frame.shape[2], frame.shape[3]), state)
                error += float((decoded - frame).square().mean())
            bits += sum(float(value) for value in coder.bits.values())
            done(number)
    count = frames.shape[0] * frames.shape[1]
    return {"bpf": bits / frames.size, "psnr": -10 * math.log10(error / count)}
