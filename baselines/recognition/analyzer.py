"""The analyzer `classifier`: K feature frames of one moving object to the probabilities of its classes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.interfaces import Analyzer, Availability, Component, ComponentOptions
from bench.interfaces.recipe import HasSamples, Recipe, TrainableInStages
from bench.interfaces.workload import HasWorkload
from bench.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.recognition.network import Backbone
    from baselines.recognition.pretrained import Pretrained
    from bench.interfaces.workload import Work
    from bench.progress import Progress

WEIGHTS = Path(__file__).parent / "weights"


class Classifier(Analyzer, TrainableInStages, HasSamples, HasWorkload):
    """A small network that classifies all K features of a sequence, trained for one extractor and one dataset."""

    name = "classifier"
    task = "classification"
    stages: ClassVar[tuple[str, ...]] = ("2", "3")

    class Options(ComponentOptions):
        """Options: the extractor (`on`) and dataset (`data`) that the weights are for, and their stage of training.

        Stage 2 is trained on features, stage 3 also on decoded ones. `backbone` is the network: ``small``, trained from
        random weights, or ``lite0``, which begins from ImageNet's (`baselines.recognition.pretrained`). `weights` and
        `device` describe this machine, and stay out of rows.
        """

        on: str = Field(default="sci", pattern=r"^[\w-]+$")
        """Extractor whose features the weights are for."""
        data: str = Field(default="s-digits", pattern=r"^[\w-]+$")
        """Dataset that the weights are for."""
        stage: Literal["2", "3"] = "2"
        """Stage of training: 2 on features, 3 also on decoded ones."""
        backbone: Literal["small", "lite0"] = "small"
        """Network: small begins from random weights, lite0 from ImageNet's."""
        weights: str = Field(default="", exclude=True)
        """Weight file; by default the shipped one."""
        device: str = Field(default="cpu", exclude=True)
        """Device of PyTorch: cpu or cuda."""

    def weight_file(self) -> Path:
        """The weights: those in the package, or the file that the option `weights` names.

        Raises
        ------
        BenchError
            If there are none.
        """
        options = self.options
        path = user_path(options.weights) if options.weights else self._shipped(options.stage)
        if not path.is_file():
            spec = f"{self.name}:on={options.on},data={options.data}"
            spec += "" if options.backbone == "small" else f",backbone={options.backbone}"
            raise BenchError(
                f"{self.name}: no weights {path} (`bench train {spec} --stage {options.stage}` makes such a file)"
            )
        return path

    def has_weights(self) -> bool:
        """Whether there is such a file."""
        try:
            return self.weight_file().is_file()
        except BenchError:
            return False

    def _shipped(self, stage: str) -> Path:
        """The package's file for a stage: ``sci-2`` of the small network, ``sci-lite0-2`` of another."""
        backbone = "" if self.options.backbone == "small" else f"{self.options.backbone}-"
        return WEIGHTS / self.options.data / f"{self.options.on}-{backbone}{stage}.safetensors"

    def available(self) -> Availability:
        """Whether the weights are here, also those that the backbone begins from."""
        try:
            if self.options.backbone != "small":
                from baselines.recognition.pretrained import require_imagenet

                require_imagenet()
            return Availability(True, f"stage {self.options.stage} weights", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight file."""
        return file_sha256(self.weight_file())

    @property
    def classes(self) -> int:
        """Number of classes of the weights."""
        return int(self.network.head.out_features)

    @property
    def network(self) -> Backbone | Pretrained:
        """The network with its weights, whose shapes determine its size.

        Raises
        ------
        BenchError
            If there is no weight file, or it holds another network.
        """
        from bench.weights import check_device

        check_device(self.options.device)
        return _restored(self.weight_file(), self.options.backbone, self.options.device, self.weights_sha256)

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """Classify K x H x W features: 1 x 1 x C float32 probabilities.

        SCI's features are aligned first, along motion estimated here; the argument `motion` is not used.

        Raises
        ------
        BenchError
            If K is not the number of frames that the network was trained on.
        """
        import torch

        network = self.network
        if len(features) != network.frames:
            raise BenchError(f"{self.name} was trained on {network.frames} frames, got {len(features)}; use --frames")
        with torch.inference_mode():
            rows = torch.softmax(network(self._prepared(torch.from_numpy(features)[None])).double(), 1)
        probabilities = rows[0].float().cpu().numpy()
        return np.ascontiguousarray(probabilities[None, None])

    def _prepared(self, features: Tensor) -> Tensor:
        """The network's input, N x K x H x W on its device."""
        from baselines.recognition.alignment import ALIGNED, aligned

        frames = features.to(self.options.device)
        return aligned(frames) if self.options.on in ALIGNED else frames

    def workload(self, size: tuple[int, int]) -> Iterator[Work]:
        """The classifier on the K frames of one sequence, H x W each."""
        import torch

        from bench.interfaces.workload import Work

        network = self.network
        frames = torch.zeros(1, network.frames, *size)
        yield Work("classifier, a sequence", "cloud", "", lambda: network(self._prepared(frames)), (network,), "")

    def stage_recipe(self, stage: str, earlier: Path, variant: Component | None = None) -> Recipe:
        """How a stage is trained: stage 2 on features, stage 3 also on decoded ones, from the weights of stage 2.

        Raises
        ------
        BenchError
            If there are no weights of stage 2 for stage 3 to start from.
        """
        from baselines.recognition.training import ClassifierRecipe

        begin = None
        if stage == "3":
            places = (earlier / "2" / ClassifierRecipe.file, self._shipped("2"))
            begin = next((path for path in places if path.is_file()), None)
            if begin is None:
                raise BenchError(f"{self.name}: no weights {places[0]} to start from; train stage 2 first")
        return ClassifierRecipe(self.options.on, self.options.data, begin, self.options.backbone)

    def samples(self, stage: str, seed: int, progress: Progress) -> tuple[Any, Any]:
        """Samples that a stage is trained on, and those held out of the training split for the card's figures."""
        from baselines.recognition.samples import make_samples

        return make_samples(self.options.on, self.options.data, stage == "3", seed, progress)


@functools.lru_cache(maxsize=8)
def _restored(path: Path, backbone: str, device: str, _sha256: str) -> Backbone | Pretrained:
    """The network of a file, read once per process while the file stays the same."""
    import torch

    from baselines.recognition.network import PHOTOGRAPHS_WIDTHS, network_of
    from bench.weights import read_weights

    weights = read_weights(path)
    first, head = weights.get("stem.0.weight" if backbone == "small" else "adapt.weight"), weights.get("head.weight")
    if first is None or head is None or first.ndim != 4 or head.ndim != 2:
        raise BenchError(f"{path} is not a checkpoint of a classifier with the backbone {backbone}")
    enhanced = "front.denoise.1.weight" in weights
    frames = (first.shape[1] + 1) // 2 if enhanced else first.shape[1]
    create_network = network_of(backbone, photographs=first.shape[0] == PHOTOGRAPHS_WIDTHS[0])
    network = create_network(frames, head.shape[0], enhanced)
    network.restore(weights, path)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
