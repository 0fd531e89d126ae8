"""The codec `sci`: the feature codec of the SCI paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from baselines.neural.codec import NeuralCodec, Preset, SmallPreset
from baselines.sci.part import WEIGHTS, CodecOptions, SciOptions, Variant, unpublished
from bench.errors import BenchError
from bench.interfaces import Component, Content, RatePoint
from bench.interfaces.recipe import Recipe, TrainableInStages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from baselines.neural.codec import FrameModel
    from baselines.sci.sizes import CodecSize
    from bench.interfaces.workload import Work


class Small(SmallPreset):
    """The preset that this project trains; networks with other parts (`CodecOptions`) need other weights."""

    def default_points(self, content: Content) -> tuple[RatePoint, ...]:
        """Four of the seven rate points: enough for BD figures, in half the time; `--rates` takes any of the seven."""
        return self.rate_points[::2]

    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """The file of all rate points; raises `BenchError` if it is missing, or no weights have these parts."""
        codec = self.codec
        assert isinstance(codec, Sci)  # noqa: S101 -- whose preset this is
        shipped = replace(type(codec)().size, global_motion=codec.size.global_motion)  # it has no weights
        if codec.size != shipped and not codec.options.weights:
            raise BenchError(f"{codec.spec}: no weights with these parts are shipped; the option weights names some")
        return super().weight_files(rate_point)


class Paper(Small):
    """The preset of the published size, which has only weights that a user trains."""

    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """The file that the option `weights` names; raises `BenchError` without one."""
        if not self.codec.options.weights:
            raise unpublished(self.codec.name)
        return super().weight_files(rate_point)


class Sci(NeuralCodec, TrainableInStages):
    """SCI's feature codec (paper section IV-B): a variable-rate pair of networks that also decodes motion for analysis.

    The preset ``small`` comes with weights. ``paper`` has the published size; no weights of it were published, so it
    runs with those that `bench train sci:preset=paper` leaves.
    """

    name = "sci"
    presets: ClassVar[Mapping[str, type[Preset]]] = {"small": Small, "paper": Paper}
    in_batches = True
    stages: ClassVar[tuple[str, ...]] = ("1", "2", "intra", "codec", "3")
    variants: ClassVar[type[Component]] = Variant

    Options = CodecOptions

    def small_model(self, network: nn.Module, rate: Tensor) -> FrameModel:
        """The networks as a `FrameModel`, at the rate point of each item of a batch."""
        from baselines.sci.inter import SciModel

        return SciModel(network, rate)

    def untrained(self) -> nn.Module:
        """Intra and inter network of the preset before training."""
        from torch import nn

        from baselines.sci.inter import VideoNetwork
        from baselines.sci.intra import ImageNetwork

        size = self.size
        return nn.ModuleDict({"image": ImageNetwork(size), "video": VideoNetwork(size)})

    @property
    def size(self) -> CodecSize:
        """Size and parts of the networks: those of the preset, with what the options change."""
        from baselines.sci.presets import CODEC

        parts = self.options.model_dump(exclude=set(SciOptions.model_fields), exclude_none=True)
        return replace(CODEC[self.options.preset], **parts)

    def workload(self, size: tuple[int, int]) -> Iterator[Work]:
        """Every variant of every module, as in the paper's Table IX, and the codec's parts, for H x W features."""
        from baselines.sci.workload import workload

        yield from workload(self.options.preset, size)

    def stage_recipe(self, stage: str, earlier: Path = WEIGHTS, variant: Component | None = None) -> Recipe:
        """How a stage is trained (paper section V-B), starting from the weights of earlier stages.

        They are those in the folder `earlier`, or else, for the preset ``small``, the shipped ones.

        Raises
        ------
        BenchError
            If such weights are missing.
        """
        from baselines.sci.training import (
            AnalysisRecipe,
            CodecRecipe,
            ExtractionRecipe,
            IntraRecipe,
            ThroughCodecRecipe,
        )

        preset, changed = self.options.preset, (variant or Variant()).options

        def before(stage: str, file: str) -> Path:
            places = (earlier / stage / file, *([WEIGHTS / file] if preset == "small" else []))
            weights = next((path for path in places if path.is_file()), None)
            if weights is None:
                raise BenchError(f"{self.name}: no weights {places[0]} to start from; train stage {stage} first")
            return weights

        if stage == "1":
            return ExtractionRecipe(preset, changed)
        extraction = before("1", "extraction.safetensors")
        if stage == "3":
            codec, analysis = before("codec", f"{preset}.safetensors"), before("2", "analysis.safetensors")
            return ThroughCodecRecipe(preset, changed, self.size, extraction, codec, analysis)
        if stage == "intra":
            return IntraRecipe(preset, changed, self.size, extraction)
        if stage == "codec":
            intra = earlier / "intra" / IntraRecipe.file
            return CodecRecipe(preset, changed, self.size, extraction, intra if intra.is_file() else None)
        return AnalysisRecipe(preset, changed, extraction)
