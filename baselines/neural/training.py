"""Training of the small codecs: a coder with gradients, one loss over all rate points, and a recipe."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from baselines.neural.codec import INTRA_FINER, SmallModel
from baselines.neural.entropy import Family, Prior
from baselines.neural.fixed import freeze
from baselines.neural.growth import GrowingRecipe
from baselines.neural.latents import Estimator, symbols_of
from baselines.neural.small import STEPS, slope_of, step_of, store_tables, stream_bits
from bench.interfaces.recipe import device_of
from bench.progress import Progress, silent

if TYPE_CHECKING:
    from bench.interfaces.recipe import Batch, Share
    from bench.train.shards import Shards


# Networks that only encoders run.
_ENCODERS = re.compile(r"\.(mv_|hyper_)?encoder\d?\.")
# Share of the samples that are luminance, as ATC sends it, instead of features.
PLAIN = 0.3


class SmallRecipe(GrowingRecipe):
    """Trains intra and inter network together, on longer sequences as training goes on.

    Distortion is measured against the luminance, so that no bits are spent on the noise of features.

    Attributes
    ----------
    quality
        Weight of the distortion of inter frame i, at index i modulo the length.
    inter, warm_inter
        Pairs of a share of the training and the number of inter frames in a sequence up to there; `warm_inter` is for
        training that begins from trained weights.
    """

    quality: Sequence[float] = (1.0,)
    # Only whole intra periods show what a good intra frame is worth, and how errors add up.
    inter: Sequence[tuple[float, int]] = ((0.2, 1), (0.35, 3), (0.5, 7), (1.0, 15))
    warm_inter: Sequence[tuple[float, int]] = ((0.05, 3), (0.1, 7), (1.0, 15))
    # Large crops: what moves in across a border is not in the previous frame.
    batch, crop = 3, 128

    def __init__(self, image: Any, video: Any, model_type: type[SmallModel]) -> None:
        self.image, self.video, self.model_type = image, video, model_type
        self.network = nn.ModuleDict({"image": image, "video": video})

    def start(self, batch: Batch) -> None:
        """Set the priors' starting scales from the statistics of the linear transforms."""
        frames, _ = batch
        self.image.calibrate(frames[:, :1])
        self.video.calibrate(frames[:, 1:2], frames[:, :1])

    def model(self, network: nn.Module, rate: Tensor) -> SmallModel:
        """The networks with a rate point for each item."""
        # Unless it starts from trained weights, the inter network learns from intra frames 0 to 3 rate points finer.
        anew = network.training and not self.warm
        return self.model_type(network, rate, int(torch.randint(4, ())) if anew else INTRA_FINER)

    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Sequences of features (some of luminance instead), and their luminance; N x K x S x S each."""
        samples = shards.pairs(self.batch, self.crop, seed, step, plain=PLAIN)
        return tuple(torch.from_numpy(part) for part in samples)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Mean loss of an intra frame and up to fifteen inter frames, each predicted from frames decoded before it."""
        features, truth = batch
        rate = spread_rates(self.items(batch)).to(features.device)
        model = self.model(self.network, rate)
        schedule = self.warm_inter if self.warm else self.inter
        length = 1 + next(inter for until, inter in schedule if progress < until)
        total, state, bpp, psnr = torch.zeros(()), None, 0.0, 0.0
        for index in range(length):
            weight = self.quality[index % len(self.quality)] if index else 1.0
            part = slice(index, index + 1)
            loss, frame_bpp, frame_psnr, _, state = self.again(
                self.frame, model, self.items(batch), features[:, part], truth[:, part], index, state, weight
            )
            total = total.to(loss) + loss / length
            bpp, psnr = bpp + frame_bpp / length, psnr + frame_psnr / length
        return total, {"bpp": bpp, "psnr": psnr}

    @staticmethod
    def frame(
        model: SmallModel, items: Share, frame: Tensor, truth: Tensor, index: int, state: Any, weight: float | Tensor
    ) -> tuple[Tensor, float, float, Tensor, Any]:
        """Code frame `index` of a batch, N x 1 x H x W: `rate_distortion` of it, the decoded frame, and the state."""
        coder = TrainingCoder(items)
        decoded, state = model.code(coder, frame, index, (frame.shape[2], frame.shape[3]), state)
        return *rate_distortion(coder, decoded, truth, step_of(model.rate), weight), decoded, state

    def use_checkpointing(self) -> bool:
        """Keep the frames' states alone, and compute what is inside a frame again in the backward pass."""
        self.checkpointing = True
        return True

    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Store tables and steps, round the weights, and return them."""
        return {self.file: finish_small(network)}

    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Bits per frame pixel and PSNR of the first held-out sequences at every rate point."""
        device, figures = device_of(network), []
        pairs = self.held_out(shards, device)
        total = len(STEPS) * len(pairs[0])
        for rate in range(len(STEPS)):
            model = self.model(network, torch.tensor([rate], device=device))

            def count(done: int, before: int = rate * len(pairs[0])) -> None:
                progress(before + done, total, "validation")

            figures.append({"rate_point": rate, **_evaluate(model, *pairs, count)})
        return figures


def finish_small(network: nn.Module) -> dict[str, Tensor]:
    """Bring a small network into its exact form, in place, and return its weights by name.

    What only encoders run is rounded to half precision: nothing decoded depends on it, and it is half of a file.
    """
    store_tables(network)
    freeze(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if _ENCODERS.search(name):
                parameter.copy_(parameter.half())
    return {name: _compact(value.detach().cpu()) for name, value in network.state_dict().items()}


def _compact(value: Tensor) -> Tensor:
    """A tensor in half precision if that loses nothing, as for most rounded weights."""
    half = value.half()
    return (half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value).contiguous()


def spread_rates(items: Share, points: int = len(STEPS)) -> Tensor:
    """A rate point for each item of a batch: a random first one, then every second one of `points`, cyclically."""
    return items.of((torch.randint(points, ()) + 2 * torch.arange(items.whole)).remainder(points))


class TrainingCoder:
    """A coder for training: it rounds latents, passes gradients through, and counts bits.

    The bits of a latent are those of its rounded symbols, as in a stream, and the scales learn from them. Rounding has
    no gradient, so the latent and its mean learn from the bits of the residual with uniform noise in place of rounding.
    The bits of hyper-latents are those with noise.

    Parameters
    ----------
    items
        The items of the batch that are coded, which say their noise.

    Attributes
    ----------
    bits
        Estimated bits by component, a tensor with one value for each of N items.
    """

    def __init__(self, items: Share) -> None:
        self.items = items
        self.bits: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Round hyper-latents."""
        assert z is not None  # noqa: S101 -- training always has the frame
        self._add(name, _bits(prior.probability(self._noisy(z))))
        return z + (torch.round(z) - z).detach()

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Round a latent's residual by `symbols_of`."""
        assert residual is not None  # noqa: S101 -- training always has the frame
        symbols = symbols_of(residual, family, sigma, worth)
        bits = _bits(family.probability(symbols, sigma))
        led = _bits(family.probability(self._noisy(residual), sigma.detach()))
        self._add(name, bits + led - led.detach())
        return residual + (symbols - residual).detach()

    def _add(self, name: str, bits: Tensor) -> None:
        self.bits[name] = self.bits[name].to(bits) + bits

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.items.noise(x) - 0.5


def _bits(probability: Tensor) -> Tensor:
    """Bits of each item of a batch."""
    # Below 2^-16 a symbol is escaped. The bound keeps the gradient of the tail finite.
    return -torch.log2(probability.clamp_min(2.0**-20)).flatten(1).sum(1)


def rate_distortion(
    coder: TrainingCoder, decoded: Tensor, frame: Tensor, step: Tensor, weight: float | Tensor = 1.0
) -> tuple[Tensor, float, float]:
    """Loss, mean bits per pixel and mean PSNR of a batch.

    An item's loss is ``(bpp + weight * squared error / slope) * step``. The slope is that of high rates (`slope_of`).
    The factor `step` makes low rates, which have few bits, count as much as high ones.

    Parameters
    ----------
    decoded, frame
        N x 1 x H x W.
    step
        Starting quantisation step of each item's rate point, N.
    weight
        Weight of the distortion, one number or N.
    """
    pixels = frame.shape[2] * frame.shape[3]
    bits = sum((value for value in coder.bits.values()), start=torch.zeros_like(step))
    error = (decoded - frame).square().mean((1, 2, 3))
    loss = ((bits / pixels + weight * error / slope_of(step)) * step).mean()
    psnr = -10 * error.detach().clamp_min(1e-10).log10().mean()
    return loss, float(bits.detach().mean() / pixels), float(psnr)


def _evaluate(model: SmallModel, features: Tensor, truth: Tensor, done: Callable[[int], None]) -> dict[str, float]:
    """Bits per frame pixel, and PSNR against the luminance, of sequences N x K x S x S coded frame after frame."""
    bits = error = 0.0
    with torch.inference_mode():
        for number, (sequence, target) in enumerate(zip(features, truth, strict=True), 1):
            coder, state = Estimator(stream_bits()), None
            for index, frame in enumerate(sequence[:, None, None]):
                decoded, state = model.code(coder, frame, index, (frame.shape[2], frame.shape[3]), state)
                error += float((decoded[0, 0] - target[index]).square().mean())
            bits += coder.total_bits
            done(number)
    frames = features.shape[0] * features.shape[1]
    return {"bpf": bits / features.numel(), "psnr": -10 * math.log10(error / frames)}
