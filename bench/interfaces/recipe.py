"""What a learned codec says about its training; `bench.train` does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError
from bench.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.interfaces import Codec, Component
    from bench.train.shards import Shards

    Batch = tuple[Tensor, ...]


def refuse_untrained(codec: Codec, trained: str = "small") -> None:
    """Refuse a preset that there is no recipe for, lest another one's weights go by its name.

    Raises
    ------
    BenchError
        If the codec's preset is not the trained one.
    """
    if codec.preset != trained:
        raise BenchError(
            f"{codec.name}: there is no training for the preset {codec.preset}; "
            f"`bench train {codec.name}` trains the preset {trained}"
        )


class Trainable(ABC):
    """A component that is trained in one go."""

    @abstractmethod
    def recipe(self) -> Recipe:
        """How its small preset is trained."""


class TrainableInStages(ABC):
    """A component that is trained in stages, each from the weights that the ones before left.

    Attributes
    ----------
    stages
        Their names, in order.
    variants
        What a training may change for an ablation; None where nothing.
    """

    stages: ClassVar[tuple[str, ...]]
    variants: ClassVar[type[Component] | None] = None

    @abstractmethod
    def stage_recipe(self, stage: str, earlier: Path, variant: Component | None = None) -> Recipe:
        """How a stage is trained.

        Parameters
        ----------
        earlier
            Folder that holds a folder of each stage that was trained before; where one is missing, the shipped weights
            take its place.

        Raises
        ------
        BenchError
            If there is nothing that the stage could start from.
        """


class HasSamples(ABC):
    """A component that is trained on samples of its own instead of recordings of photographs."""

    @abstractmethod
    def samples(self, stage: str, seed: int, progress: Progress) -> tuple[Any, Any]:
        """What a stage trains on, and what is held out of it for the card's figures."""


class Recipe(ABC):
    """What a codec says about its training.

    Attributes
    ----------
    network
        Everything that is trained.
    basis
        Weights that the training starts from or goes through.
    file
        Name of the weights that training ends with, the first where there are several.
    logged
        Two figures of every step, for the log and the curves.
    pace
        Steps a minute of one core, which turns a budget of minutes into steps.
    rate, warm_rate, batch, crop
        Largest learning rate, that of a training that begins from trained weights, sequences in a batch, and their side
        in pixels.
    checked
        Held-out samples that the card's figures are from.
    warm
        Whether training begins from weights that were trained before.
    """

    network: nn.Module
    basis: tuple[Path, ...] = ()
    file: str = "small.safetensors"
    logged: tuple[str, str] = ("bpp", "psnr")
    pace: float
    rate: float = 6e-4
    warm_rate: float = 3e-4
    batch: int = 8
    crop: int = 64
    checked: int = 24
    warm: bool = False

    def begin_from(self, path: Path) -> tuple[int, int]:
        """Begin from a file's weights where names and shapes fit; returns how many tensors did, and of how many.

        Raises
        ------
        BenchError
            If none does.
        """
        from bench.weights import read_weights

        own = self.network.state_dict()
        given = {name: tensor for name, tensor in read_weights(path).items() if name in own}
        fitted = {name: self.fitted(name, tensor, own[name]) for name, tensor in given.items()}
        fitting = {name: tensor for name, tensor in fitted.items() if tensor is not None}
        if not fitting:
            raise BenchError(f"{path}: no weights in it fit this network")
        self.network.load_state_dict({**own, **fitting})
        self.warm, self.rate, self.basis = True, self.warm_rate, (*self.basis, path)
        return len(fitting), len(own)

    def fitted(self, name: str, given: Tensor, own: Tensor) -> Tensor | None:
        """A tensor of other weights as this network can begin from it; None where it has no use."""
        return given if given.shape == own.shape else None

    def prepare(self, shards: Shards, progress: Progress = silent) -> Shards:
        """What is trained on, made from the common shards: by default, they themselves."""
        return shards

    @abstractmethod
    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Batch of a step; it depends on the arguments alone."""

    @abstractmethod
    def start(self, batch: Batch) -> None:
        """Fit starting values to the first batch."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Loss of a batch at a share of the training in [0, 1), and what to log: the figures of `logged`."""

    @abstractmethod
    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Bring a trained network into its shipped form, in place, and return its weights by name of file."""

    @abstractmethod
    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Figures on samples that were held out: for codecs ``bpf`` and ``psnr`` at every ``rate_point``."""
