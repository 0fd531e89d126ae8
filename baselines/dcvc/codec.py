"""The codec `dcvc`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from baselines.neural.codec import Colour, FrameModel, NeuralCodec, NeuralOptions, Preset, SmallPreset, find_file
from bench.errors import BenchError
from bench.interfaces import RatePoint
from bench.interfaces.recipe import Recipe, Trainable, refuse_untrained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from baselines.dcvc.image import Cheng2020Anchor, ScaleHyperprior
    from baselines.dcvc.video import VideoNetwork
    from baselines.neural.latents import LatentCoder
    from baselines.neural.parity import Case, Difference


class Official(Preset):
    """The authors' checkpoints: separate networks for each of four rate points."""

    rate_points = (0, 1, 2, 3)

    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """The intra and the inter checkpoint; raises `BenchError` if one is missing."""
        folder, metric = self.codec.folder(), self.codec.options.metric
        quality = int(rate_point) + 3
        image = "cheng2020-anchor" if metric == "psnr" else "bmshj2018-hyperprior-ms-ssim"
        return (
            find_file(folder, f"{image}-{quality}-*.pth*", "dcvc_image.*"),
            find_file(folder, f"model_dcvc_quality_{rate_point}_{metric}.pth*", "dcvc_video.*"),
        )

    def load(self, rate_point: RatePoint, device: str) -> FrameModel:
        """The networks of a rate point."""
        image, video = _networks(*self.weight_files(rate_point))
        return _Official(image.to(device), video.to(device))

    def blank(self) -> FrameModel:
        """Untrained networks of the size that the highest rate points have."""
        from baselines.dcvc.image import Cheng2020Anchor
        from baselines.dcvc.video import VideoNetwork

        return _Official(Cheng2020Anchor(192).eval(), VideoNetwork().eval())


class Dcvc(NeuralCodec, Trainable):
    """DCVC (Li, Li and Lu, NeurIPS 2021).

    The preset `official` has the authors' four rate points 0..3, each with its own networks. `metric` selects what they
    were trained for, and with it the intra codec (cheng2020-anchor or bmshj2018-hyperprior).
    """

    name = "dcvc"
    presets: ClassVar[Mapping[str, type[Preset]]] = {"small": SmallPreset, "official": Official}

    class Options(NeuralOptions):
        """Options of every learned codec, and the metric that the official checkpoints were trained for."""

        metric: Literal["psnr", "msssim"] = "psnr"
        """Metric that the official checkpoints were trained for."""

    def small_model(self, network: nn.Module, rate: Tensor) -> FrameModel:
        """The small networks."""
        from baselines.dcvc.small import SmallDcvcModel

        return SmallDcvcModel(network, rate)

    def untrained(self) -> nn.Module:
        """The small networks before training."""
        return self.recipe().network

    def recipe(self) -> Recipe:
        """How the small preset is trained."""
        from baselines.dcvc.training import DcvcRecipe

        refuse_untrained(self)
        return DcvcRecipe()

    def parity(self, case: Case) -> Iterator[Difference]:
        """Compare the networks with the authors' results: estimated bits and frames, and the frames of their streams.

        Raises
        ------
        BenchError
            If the case's frames or arrays do not fit, or there is no such rate point.
        """
        import torch

        from baselines.neural.latents import Estimator
        from baselines.neural.parity import compare_frame

        point = 0 if case.rate_point is None else case.rate_point
        self.check_rate_point(point)
        image, video = _networks(*self.network_preset.weight_files(point))
        image, video = image.to(case.dtype), video.to(case.dtype)
        bits = _Official(image, video)
        reference: Any = None
        with torch.inference_mode():
            for index, frame in enumerate(case.frames()):
                if frame.shape[2] % 64 or frame.shape[3] % 64:
                    raise BenchError("DCVC's cases have sides that are multiples of 64: its authors' code pads nothing")
                if reference is None:
                    coder = Estimator(bits.intra_bits)
                    reference = image.estimate(coder, frame).clamp(0, 1)
                    yield from compare_frame(case, index, {"x_hat": reference}, coder.bits)
                    continue
                coder = Estimator(bits.inter_bits)
                serial = video.code(Estimator(bits.inter_bits), frame, reference)
                reference = video.estimate(coder, frame, reference).clamp(0, 1)
                frames = {"x_hat": reference, "ar_recon": serial}
                yield from compare_frame(case, index, frames, coder.bits, prefix="est_bpp_")


class _Official:
    """The authors' networks of one rate point."""

    multiple = 64
    colour: Colour = "rgb"

    def __init__(self, image: Cheng2020Anchor | ScaleHyperprior, video: VideoNetwork) -> None:
        import numpy as np

        from baselines.neural.entropy import BitCount

        self.image, self.video = image, video
        # CompressAI keeps its bound in float32.
        self.intra_bits = BitCount(bound=float(np.float32(1e-9)))
        self.inter_bits = BitCount(ceiling=50.0)

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        decoded = self.image.code(coder, frame, size) if state is None else self.video.code(coder, frame, state)
        reference = decoded.clamp(0, 1)
        return reference, reference


def _networks(image_file: Path, video_file: Path) -> tuple[Cheng2020Anchor | ScaleHyperprior, VideoNetwork]:
    from baselines.dcvc.image import Cheng2020Anchor, ScaleHyperprior
    from baselines.dcvc.video import VideoNetwork
    from baselines.neural.published import load_published
    from bench.weights import read_weights

    tensors = read_weights(image_file)
    # The number of channels depends on the quality: 128 up to 3 (cheng2020) or 5 (bmshj2018), 192 above.
    plain, residual = tensors.get("g_a.0.weight"), tensors.get("g_a.0.conv1.weight")
    image: Cheng2020Anchor | ScaleHyperprior
    if plain is not None and plain.ndim == 4:
        image = ScaleHyperprior(len(plain), 192 if len(plain) == 128 else 320)
    else:
        image = Cheng2020Anchor(192 if residual is None else len(residual))
    return load_published(image, image_file), load_published(VideoNetwork(), video_file)
