"""The codec `dcvc-dc`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from baselines.neural.codec import Colour, FrameModel, NeuralCodec, NeuralOptions, Preset, SmallPreset, find_file
from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.interfaces import RatePoint
from bench.interfaces.recipe import Recipe, Trainable, refuse_untrained

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from baselines.dcvc_dc.image import ImageNetwork
    from baselines.dcvc_dc.video import VideoNetwork
    from baselines.neural.latents import LatentCoder
    from baselines.neural.parity import Case, Difference

_LEVELS = 64


class Official(Preset):
    """The authors' checkpoints: one pair of networks for four rate points and for 64 levels between the outer two."""

    rate_points = (0, 1, 2, 3)

    def check_rate_point(self, rate_point: RatePoint, further: Sequence[RatePoint] = ()) -> None:
        """Raise `BenchError` unless the point is a rate point, level0..level63, or one of `further`."""
        super().check_rate_point(rate_point, [*further, *(f"level{i}" for i in range(_LEVELS))])

    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """The intra and the inter checkpoint; raises `BenchError` if one is missing."""
        folder, metric = self.codec.folder(), self.codec.options.metric
        return tuple(
            find_file(folder, f"cvpr2023_{kind}_{metric}.pth*", f"dcvc_dc_{kind}.*") for kind in ("image", "video")
        )

    def load(self, rate_point: RatePoint, device: str) -> FrameModel:
        """The pair at a rate point."""
        files = self.weight_files(rate_point)
        image, video = _networks_on(device, files, tuple(map(file_sha256, files)))
        colour: Colour = "yuv" if self.codec.options.metric.startswith("yuv") else "rgb"
        return _Official(image, video, rate_point, colour)

    def blank(self) -> FrameModel:
        """The untrained pair at the lowest rate point."""
        from baselines.dcvc_dc.image import ImageNetwork
        from baselines.dcvc_dc.video import VideoNetwork

        return _Official(ImageNetwork().eval(), VideoNetwork().eval(), 0, "rgb")


class DcvcDc(NeuralCodec, Trainable):
    """DCVC-DC (Li, Li and Lu, CVPR 2023): one variable-rate pair of networks.

    The preset `official` has the authors' four rate points 0..3, and 64 levels between the outer two, level0..level63.
    `metric` selects among the authors' checkpoints.
    """

    name = "dcvc-dc"
    presets: ClassVar[Mapping[str, type[Preset]]] = {"small": SmallPreset, "official": Official}
    in_batches = True

    class Options(NeuralOptions):
        """Options of every learned codec, and the metric that the official checkpoints were trained for."""

        metric: Literal["psnr", "ssim", "yuv420_psnr"] = "psnr"
        """Metric that the official checkpoints were trained for."""

    def small_model(self, network: nn.Module, rate: Tensor) -> FrameModel:
        """The small networks."""
        from baselines.dcvc_dc.small import SmallDcvcDcModel

        return SmallDcvcDcModel(network, rate)

    def untrained(self) -> nn.Module:
        """The small networks before training."""
        return self.recipe().network

    def recipe(self) -> Recipe:
        """How the small preset is trained."""
        from baselines.dcvc_dc.training import DcvcDcRecipe

        refuse_untrained(self)
        return DcvcDcRecipe()

    def parity(self, case: Case) -> Iterator[Difference]:
        """Compare the networks with the authors' results: estimated bits and frames.

        Raises
        ------
        BenchError
            If the case states no rate point or a wrong one, or its arrays do not fit.
        """
        import torch

        from baselines.neural.latents import Estimator
        from baselines.neural.layers import pad_to
        from baselines.neural.parity import compare_frame

        if case.rate_point is None:
            raise BenchError("the case's rate point is not in its name; give --rate-point 0..3 or level0..level63")
        self.check_rate_point(case.rate_point)
        image, video = _networks(*self.network_preset.weight_files(case.rate_point))
        model = _Official(image.to(case.dtype), video.to(case.dtype), case.rate_point, "rgb")
        state = None
        with torch.inference_mode():
            for index, frame in enumerate(case.frames()):
                padded, coder = pad_to(frame, model.multiple), Estimator(model.inter_bits)
                decoded, state = model.code(coder, padded, index, (padded.shape[2], padded.shape[3]), state)
                yield from compare_frame(case, index, {"x_hat": decoded}, coder.bits)


class _Official:
    """The authors' networks at one rate point."""

    multiple = 16

    def __init__(self, image: ImageNetwork, video: VideoNetwork, rate_point: RatePoint, colour: Colour) -> None:
        from baselines.neural.entropy import BitCount

        self.image, self.video, self.colour = image, video, colour
        self.intra_bits = self.inter_bits = BitCount()
        self._image_scales, self._video_scales = _scales(image, rate_point), _scales(video, rate_point)

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        from baselines.dcvc_dc.video import State

        if state is None:
            decoded = self.image.code(coder, frame, self._image_scales, size)
            return decoded, State(decoded)
        after = self.video.code(coder, frame, state, self._video_scales, index)
        return after.frame, after


def _networks(image_file: Path, video_file: Path) -> tuple[ImageNetwork, VideoNetwork]:
    from baselines.dcvc_dc.image import ImageNetwork
    from baselines.dcvc_dc.video import VideoNetwork
    from baselines.neural.published import load_published

    return load_published(ImageNetwork(), image_file), load_published(VideoNetwork(), video_file)


@functools.lru_cache(maxsize=1)
def _networks_on(device: str, files: tuple[Path, ...], _hashes: tuple[str, ...]) -> tuple[ImageNetwork, VideoNetwork]:
    """The networks on a device, read once for all rate points."""
    image, video = _networks(*files)
    return image.to(device), video.to(device)


def _scales(network: nn.Module, rate_point: RatePoint) -> dict[str, torch.Tensor]:
    """A rate point's factor for each ``*q_scale*`` parameter: one of four anchors, or log-linear between the outer."""
    import torch

    scales = {}
    for name, parameter in network.named_parameters():
        if "q_scale" not in name:
            continue
        # The authors computed their figures in float64, whatever the network's precision.
        anchors = parameter.detach().double().flatten()
        if isinstance(rate_point, str):
            first, last = math.log(float(anchors[0])), math.log(float(anchors[3]))
            grid = torch.linspace(first, last, _LEVELS, dtype=torch.float64)
            scale = torch.exp(grid[int(rate_point.removeprefix("level"))])
        else:
            scale = anchors[int(rate_point)]
        scales[name] = scale.to(parameter)
    return scales
