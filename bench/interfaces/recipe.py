"""The training interface: recipes that components give, and that `bench.train` follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError
from bench.progress import Progress, silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bench.interfaces import Codec, Component
    from bench.train.shards import Shards

    Batch = tuple[Tensor, ...]


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's parameters."""
    return next(network.parameters()).device


@dataclass(frozen=True)
class Share:
    """The items of a batch that a loss is computed of: `count` of `whole` items, from item `first` on."""

    first: int
    count: int
    whole: int

    @property
    def weight(self) -> float:
        """Share of the whole batch."""
        return self.count / self.whole

    def of(self, tensor: Tensor) -> Tensor:
        """These items of a tensor that has all of the batch."""
        return tensor[self.first : self.first + self.count]

    def noise(self, like: Tensor) -> Tensor:
        """Uniform noise in [0, 1) for these items, of the shape of `like`.

        It is drawn for the whole batch: an item's noise does not depend on how the batch is shared out.
        """
        import torch

        if self.count == self.whole:
            return torch.rand_like(like)
        own = torch.empty_like(like)
        whole = own.new_empty_strided((self.whole, *own.shape[1:]), (own[0].numel(), *own.stride()[1:]))
        return self.of(torch.rand_like(whole))


def shares(whole: int, parts: int) -> list[Share]:
    """Share out a batch of `whole` items in `parts` that differ by one item at most; there are no more than items."""
    bounds = [whole * part // parts for part in range(parts + 1)]
    return [Share(first, after - first, whole) for first, after in pairwise(bounds)]


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
        Steps per minute on one core, to convert minutes into a number of steps; None for a recipe whose length is
        `steps`, since one core is not what it is for.
    steps
        Number of steps of a recipe without `pace`.
    rate, warm_rate
        Largest learning rate of a training from random weights, and of one from trained weights.
    batch, crop
        Number of sequences in a batch, and side of their frames in pixels.
    checked, side
        Number of held-out samples that validation uses, and side of their frames in pixels.
    warm
        Whether training starts from trained weights.
    separable
        Whether the loss of a batch is the mean over its items. Then several devices, or several turns of one, may share
        a batch. Normalisation over a batch makes it False.
    share
        Items of the batch that the next call of `loss` is given; the trainer sets it.
    checkpointing
        Whether the backward pass computes the values inside a frame again, instead of keeping those of all frames
        (`again`).
    """

    network: nn.Module
    basis: tuple[Path, ...] = ()
    file: str = "small.safetensors"
    logged: tuple[str, str] = ("bpp", "psnr")
    pace: float | None
    steps: int = 0
    rate: float = 6e-4
    warm_rate: float = 3e-4
    batch: int = 8
    crop: int = 64
    checked: int = 24
    side: int = 128
    warm: bool = False
    separable: bool = True
    share: Share | None = None
    checkpointing: bool = False

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
        tensors = {name: tensor for name, tensor in read_weights(path).items() if name in own}
        fitted = {name: self.fitted(name, tensor, own[name]) for name, tensor in tensors.items()}
        fitting = {name: tensor for name, tensor in fitted.items() if tensor is not None}
        if not fitting:
            raise BenchError(f"{path}: no weights in it fit this network")
        self.network.load_state_dict({**own, **fitting})
        self.warm, self.rate, self.basis = True, self.warm_rate, (*self.basis, path)
        return len(fitting), len(own)

    def use_bfloat16(self) -> bool:
        """Compute in bfloat16 what bears it; called before training. Returns whether this training has a choice."""
        return False

    def use_checkpointing(self) -> bool:
        """Set `checkpointing`; called before training. Returns whether this training has a choice."""
        return False

    def again(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function; with `checkpointing`, the backward pass calls it again instead of keeping its values."""
        if not self.checkpointing:
            return function(*arguments)
        from torch.utils.checkpoint import checkpoint

        return checkpoint(function, *arguments, use_reentrant=False)

    def fitted(self, name: str, tensor: Tensor, own: Tensor) -> Tensor | None:
        """Adapt a file's tensor to the network's tensor `own` of the same name; None if it does not fit."""
        return tensor if tensor.shape == own.shape else None

    def prepare(self, shards: Shards, progress: Progress = silent) -> Shards:
        """Derive the training samples from the shards that all codecs share; by default, use them unchanged."""
        return shards

    @abstractmethod
    def draw(self, shards: Shards, seed: int, step: int) -> Batch:
        """Draw the batch of a step: tensors that have an entry for each item.

        It must depend on the arguments alone, so that a training can be repeated, and use no device: other processes
        call it ahead of the step.
        """

    def held_out(self, shards: Shards, device: torch.device) -> tuple[Tensor, Tensor]:
        """Features and luminance that validate, N x K x S x S each: the first of the held-out samples."""
        import torch

        features, truth = (
            torch.from_numpy(part)[..., : self.side, : self.side] for part in shards.held_out(self.checked)
        )
        return features.to(device), truth.to(device)

    @abstractmethod
    def start(self, batch: Batch) -> None:
        """Fit initial values, such as quantisation steps, to the first batch."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Mapping[str, float]]:
        """Compute the mean loss of some of a batch's items (`share`), and the values that `logged` names.

        Parameters
        ----------
        batch
            What `draw` gave, cut to these items.
        progress
            Share of the training that is done, in [0, 1).
        """

    def items(self, batch: Batch) -> Share:
        """The share that a batch is: `share`, or all of it where the trainer has set none."""
        return self.share or Share(0, len(batch[0]), len(batch[0]))

    @abstractmethod
    def finish(self, network: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
        """Convert a trained network, in place, to the form that decoders use; return its tensors by name of file."""

    @abstractmethod
    def evaluate(self, network: nn.Module, shards: Shards, progress: Progress = silent) -> list[dict[str, float]]:
        """Validate a trained network, on its device: for codecs, ``bpf`` and ``psnr`` at every ``rate_point``."""
