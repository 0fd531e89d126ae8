"""The training loop of all learned codecs: resumable, repeatable, logged.

The data, noise and rate points of a step depend only on the seed and on the number of the step, and an item's on its
number in the batch as well. So a training that was killed and resumed ends with the same weights as one without
interruption, and one on several devices, or with another number of turns, with the same within rounding. Its length is
planned as a number of steps: minutes are converted by the recipe's own pace on one core, so that a command plans the
same training on every machine. A time limit may stop a training before its last step; it can be resumed later.

Around the recipes this is torch: data, optimizer, schedule, averages and processes are its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from bench.errors import BenchError
from bench.interfaces.recipe import Recipe, Share, shares
from bench.progress import Progress
from bench.train.checkpoint import Progressed, Settings, load_checkpoint, planned_steps, save_checkpoint
from bench.train.devices import Group
from bench.train.log import LOG, Log, draw_curve, event_writer

if TYPE_CHECKING:
    from bench.train.shards import Shards

__all__ = ["Settings", "planned_steps", "recordings_checked", "train", "train_codec"]

_CARD = "card.json"
_CHECKPOINT_SECONDS = 120.0  # least time between two checkpoints
_WARMUP_STEPS = 50  # steps over which the learning rate rises from 0
# Most of the averaged weights that a step keeps; early steps keep less, or a short run would end near its start.
_AVERAGING = 0.998
_GPU_WORKERS = 2  # processes that make the batches of a GPU; on a CPU, drawing takes a hundredth of a step


def train(
    recipe: Recipe,
    settings: Settings,
    shards: Shards,
    folder: Path,
    group: Group,
    resume: bool,
    progress: Progress,
    limit_seconds: float = math.inf,
    accumulate: int = 1,
    workers: int | None = None,
    tensorboard: bool = False,
) -> tuple[int, float]:
    """Train the recipe's network, with checkpoints and a log; at the end it has the averaged weights.

    Parameters
    ----------
    recipe
        Network, loss and data of the codec.
    settings
        What defines the training.
    shards
        Training data.
    folder
        Folder of checkpoint and log, the same for all processes.
    group
        The processes that train; each has a share of every batch.
    resume
        Whether to continue the training that the folder holds.
    progress
        Called after every step with its number, the planned number and the latest figures of the log.
    limit_seconds
        Time limit of this process: after it, no further step begins. At least one step is made.
    accumulate
        Number of turns in which a process computes its share.
    workers
        Number of processes that make this one's batches ahead of their steps; None for the device's default.
    tensorboard
        Whether to write the log for TensorBoard as well.

    Returns
    -------
    tuple
        Number of steps and seconds of the whole training, with those of earlier processes up to their last checkpoint.

    Raises
    ------
    BenchError
        If the folder holds a training with other settings, or any without `resume`; if a checkpoint cannot be read or
        written; if the loss is not finite; or if a batch has too few items for so many devices and turns.
    """
    own = _own_shares(recipe, group, accumulate)
    began = saved = time.monotonic()
    state = _begun(recipe, settings, shards, folder, group, resume)
    begin, spent = state.done.step, state.done.seconds
    losses = group.shared(_Losses(recipe))
    batches = _batches(recipe, shards, settings, begin, own, group.device, workers)
    with ExitStack() as stack:
        file = stack.enter_context((folder / LOG).open("a", newline="")) if group.first else None
        events = event_writer(folder, begin) if tensorboard and group.first else None
        if events is not None:
            stack.callback(events.close)
        log = Log(file, recipe.logged, state.done.sums, begin == 0, events)
        for step, parts in zip(range(begin, settings.steps), batches, strict=True):
            state.optimizer.zero_grad(set_to_none=True)
            facts = _backward(losses, recipe, settings, step, list(zip(own, parts, strict=True)), group)
            # The first process's clock counts for all.
            facts["over"] = float(group.first and time.monotonic() - began > limit_seconds)
            facts = group.sums(facts)
            if not math.isfinite(facts["loss"]):
                raise BenchError(f"step {step}: the loss is not finite; a lower learning rate may help")
            state.follow_gradients()
            is_last = facts.pop("over") > 0
            log.add(step, facts)
            state.done = Progressed(step + 1, spent + time.monotonic() - began, log.sums)
            progress(step + 1, settings.steps, log.label)
            if is_last:
                break
            if group.first and (step + 1) % log.every == 0 and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                state.save(folder, settings)
                saved = time.monotonic()
    if group.first:
        state.save(folder, settings)
    recipe.network.load_state_dict(state.averaged.module.state_dict())
    return state.done.step, state.done.seconds


@dataclass
class _State:
    """What a step of a training changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    averaged: AveragedModel
    done: Progressed

    def follow_gradients(self) -> None:
        """Change the weights, their averages and the learning rate."""
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)

    def save(self, folder: Path, settings: Settings) -> None:
        """Write a checkpoint."""
        save_checkpoint(folder, settings, self.done, self.network, self.averaged.module, self.optimizer)


def _begun(recipe: Recipe, settings: Settings, shards: Shards, folder: Path, group: Group, resume: bool) -> _State:
    """The state at the start, or where the folder's checkpoint left it."""
    torch.manual_seed(settings.seed)
    # Channels-last memory is a tenth to a third faster on CPUs, and does not change results.
    network = recipe.network.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-4)
    done, averages = load_checkpoint(folder, settings, network, optimizer, resume, group.first)
    group.wait()  # until all have seen the folder as it was
    if done.step == 0:
        torch.manual_seed(settings.seed)
        if not recipe.warm:
            recipe.start(_on(group.device, recipe.draw(shards, settings.seed, 0)))
    averaged = averaged_model(network, done.step)
    if averages:
        averaged.module.load_state_dict(averages)
    for parameters in optimizer.param_groups:
        parameters["initial_lr"] = recipe.rate
    schedule = LambdaLR(optimizer, lambda step: _share_of_rate(step, settings.steps), last_epoch=done.step - 1)
    return _State(network, optimizer, schedule, averaged, done)


def _own_shares(recipe: Recipe, group: Group, accumulate: int) -> list[Share]:
    """The shares of a batch that this process computes, one in each turn."""
    parts = group.count * accumulate
    if parts > recipe.batch:
        raise BenchError(
            f"a batch of {recipe.batch} cannot be shared by {group.count} devices in {accumulate} turns; --batch makes "
            "it larger"
        )
    if parts > 1 and not recipe.separable:
        raise BenchError("this training normalises over its batches: it has one device, and no --accumulate")
    return shares(recipe.batch, parts)[group.rank * accumulate :][:accumulate]


class _Losses(nn.Module):
    """The loss of a recipe as a module, as torch's parallel module needs it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.network, self._recipe = recipe.network, recipe

    def forward(self, batch: tuple[Tensor, ...], progress: float) -> tuple[Tensor, Mapping[str, float]]:
        return self._recipe.loss(batch, progress)


def _backward(
    losses: nn.Module, recipe: Recipe, settings: Settings, step: int, parts: list[tuple[Share, Any]], group: Group
) -> dict[str, float]:
    """Add the gradients of a step's parts, and give this process's share of loss and figures."""
    facts: dict[str, float] = {}
    for turn, (share, batch) in enumerate(parts, 1):
        # The seed of a step depends on its number: a resumed training draws the same noise, and so do other devices.
        torch.manual_seed(hash((settings.seed, step)))
        recipe.share = share
        with ExitStack() as stack:
            if turn < len(parts):
                stack.enter_context(group.apart(losses))
            loss, figures = losses(_on(group.device, batch), step / settings.steps)
            # Processes' gradients are averaged, and what is wanted is the sum of their shares.
            (loss * (share.weight * group.count)).backward()
        for name, value in {"loss": loss.item(), **figures}.items():
            facts[name] = facts.get(name, 0.0) + share.weight * value
    recipe.share = None
    return facts


def _on(device: str, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)


class _Steps(Dataset[list[tuple[Tensor, ...]]]):
    """A process's shares of the batch of each step."""

    def __init__(self, recipe: Recipe, shards: Shards, seed: int, own: list[Share]) -> None:
        self._recipe, self._shards, self._seed, self._own = recipe, shards, seed, own

    def __getitem__(self, step: int) -> list[tuple[Tensor, ...]]:
        batch = self._recipe.draw(self._shards, self._seed, step)
        return [tuple(share.of(tensor) for tensor in batch) for share in self._own]


def _batches(
    recipe: Recipe, shards: Shards, settings: Settings, begin: int, own: list[Share], device: str, workers: int | None
) -> DataLoader[list[tuple[Tensor, ...]]]:
    """The shares of each step from `begin` on, made by other processes where there are workers."""
    count = (0 if device == "cpu" else _GPU_WORKERS) if workers is None else workers
    # Forked processes share the samples, and no recipe needs to be sent; they use no device.
    context = "fork" if count and "fork" in multiprocessing.get_all_start_methods() else None
    return DataLoader(
        _Steps(recipe, shards, settings.seed, own), batch_size=None, sampler=range(begin, settings.steps),
        num_workers=count, multiprocessing_context=context, pin_memory=device != "cpu",
    )  # fmt: skip


def _share_of_rate(step: int, steps: int) -> float:
    """Share of the largest learning rate: it rises over the first steps, and falls from 1 to 0.01 as a cosine does."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (0.01 + 0.99 * cosine)


def averaged_model(network: nn.Module, step: int) -> AveragedModel:
    """A copy of the network whose weights follow it: averages over the last tenth of a run at most.

    The share that is kept rises with the steps, of which `step` are done. Tensors without fractions are copied.
    """

    def moved(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        decay = min(_AVERAGING, float(count) / (9 + float(count)))
        return average.lerp(value, 1 - decay) if value.is_floating_point() else value

    averaged = AveragedModel(network, avg_fn=moved, use_buffers=True)
    averaged.n_averaged.fill_(step + 1)  # at 0, the first step would replace the starting weights
    return averaged


def recordings_checked(recipe: Recipe, steps: int) -> int:
    """Number of held-out recordings that validate a training of so many steps.

    Validating a recording takes as long as a few steps: the validation of a short training must not exceed it.
    """
    return min(recipe.checked, max(2, steps // 16))


def train_codec(
    recipe: Recipe,
    settings: Settings,
    shards: Shards,
    held_out: Shards,
    folder: Path,
    group: Group,
    resume: bool,
    progress: Progress,
    limit_seconds: float = math.inf,
    **further: Any,
) -> dict[str, Any]:
    """Train, and write the weights, a card that describes them, and a plot of the log.

    Parameters
    ----------
    recipe, settings, shards, folder, group, resume, progress, limit_seconds, further
        See `train`. The card's ``steps`` are those that were trained, which a time limit may make fewer than planned.
    held_out
        Validation data for the figures of the card; no choice depends on them.

    Returns
    -------
    dict
        The content of the card; empty in all processes but the first, which alone validates and writes.

    Raises
    ------
    BenchError
        See `train`.
    """
    import copy

    from safetensors.torch import save

    from bench.files import write_atomic
    from bench.results.provenance import provenance

    parameters = sum(parameter.numel() for parameter in recipe.network.parameters())
    steps, seconds = train(recipe, settings, shards, folder, group, resume, progress, limit_seconds, **further)
    if not group.first:
        return {}
    network = copy.deepcopy(recipe.network).cpu().eval()
    blobs = {name: save(dict(weights)) for name, weights in recipe.finish(network).items()}
    for name, blob in blobs.items():
        write_atomic(folder / name, blob)
    recipe.checked = recordings_checked(recipe, steps)
    # At the paper's size a CPU would validate for hours. TF32 would round what is exact.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        figures = recipe.evaluate(network.to(group.device), held_out, progress)
    facts = provenance()
    card = {
        **vars(settings),
        "steps": steps,
        "planned_steps": settings.steps,
        "minutes": round(seconds / 60, 1),
        "devices": group.count,
        "parameters": parameters,
        "sha256": {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()},
        "held_out": held_out.digest,
        "checked": recipe.checked,
        "validation": figures,
        **{key: facts[key] for key in ("git_commit", "python", "processor", "cores")},
        "torch": torch.__version__,
    }
    write_atomic(folder / _CARD, (json.dumps(card, indent=1) + "\n").encode())
    draw_curve(folder, f"{settings.codec}: {steps} steps")
    return card
