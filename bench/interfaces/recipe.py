"""The training interface: recipes that components give, and that `bench.train` follows."""

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
    """Refuse to train a preset that has no recipe: the weights of another preset must not carry its name.

    Raises
    ------
    BenchError
        If the codec's preset is not `trained`.
    """
    if codec.preset != trained:
        raise BenchError(
            f"{codec.name}: there is no training for the preset {codec.preset}; "
            f"`bench train {codec.name}` trains the preset {trained}"
        )


class Trainable(ABC):
    """A component that is trained in one stage."""

    @abstractmethod
    def recipe(self) -> Recipe:
        """The recipe that trains the preset ``small``."""


class TrainableInStages(ABC):
    """A component that is trained in several stages, each from the weights of the stages before.

    Attributes
    ----------
    stages
        Names of the stages, in order.
    variants
        A component whose options are what ``bench train --variant`` can change for an ablation; None for no options.
    """

    stages: ClassVar[tuple[str, ...]]
    variants: ClassVar[type[Component] | None] = None

    @abstractmethod
    def stage_recipe(self, stage: str, earlier: Path, variant: Component | None = None) -> Recipe:
        """The recipe of a stage.

        Parameters
        ----------
        stage
            One of `stages`.
        earlier
            Folder with one folder for each stage that was trained before. The shipped weights replace missing ones.
        variant
            An instance of `variants`; None for the standard training.

        Raises
        ------
        BenchError
            If there are no weights that the stage could start from.
        """


class HasSamples(ABC):
    """A component that is trained on its own samples instead of the shards that all codecs share."""

    @abstractmethod
    def samples(self, stage: str, seed: int, progress: Progress) -> tuple[Any, Any]:
        """The training samples of a stage, and the held-out samples that validate it for card.json."""


class Recipe(ABC):
    """How a component is trained: network, data, loss and settings.

    Attributes
    ----------
    network
        The network with all parameters that are trained.
    basis
        Files of weights that training starts from or uses; the card states their hashes.
    file
        Name of the file of trained weights; the first one if there are several.
    logged
        Names of two values of every step, for log.csv and the plotted curves.
    pace
        Steps per minute on one core, to convert minutes into a number of steps.
    rate, warm_rate
        Largest learning rate of a training from random weights, and of one from trained weights.
    batch, crop
        Number of sequences in a batch, and side of their frames in pixels.
    checked
        Number of held-out samples that validation uses.
    warm
        Whether training starts from trained weights.
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
        """Start training from the tensors of a file whose names and shapes fit the network.

        Returns
        -------
        tuple
            Number of tensors that fit, and number of tensors of the network.

        Raises
        ------
        BenchError
            If no tensor fits, or the file cannot be read as weights.
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

    def use_bfloat16(self) -> bool:
        """Compute in bfloat16 what bears it; called before training. Returns whether this training has a choice."""
        return False

    def fitted(self, name: str, given: Tensor, own: Tensor) -> Tensor | None:
        """Adapt a tensor `given` by a file to the network's tensor `own` of the same name; None if it does not fit."""
        return given if given.shape == own.shape else None

    def prepare(self, shards: Shards, progress: Progress = silent) -> Shards:
        """Derive the training samples from the shards that all codecs share; by default, use them unchanged."""
        return shards

    @abstractmethod
    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Draw the batch of a step. It must depend on the arguments alone, so that a training can be repeated."""

    @abstractmethod
    def start(self, batch: Batch) -> None:
        """Fit initial values, such as quantisation steps, to the first batch."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Compute the loss of a batch, and the values that `logged` names.

        Parameters
        ----------
        progress
            Share of the training that is done, in [0, 1).
        """

    @abstractmethod
    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Convert a trained network, in place, to the form that decoders use; return its tensors by name of file."""

    @abstractmethod
    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Validate a trained network on held-out samples: for codecs, ``bpf`` and ``psnr`` at every ``rate_point``."""
