"""The training loop of all learned codecs: resumable, repeatable, logged.

The data, noise and rate points of a step depend only on the seed and on the number of the step. So a training that was
killed and resumed ends with the same weights as one without interruption. Its length is planned as a number of steps:
minutes are converted by the recipe's own pace on one core, so that a command plans the same training on every machine.
A time limit may stop a training before its last step; it can be resumed later.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError, one_line
from bench.interfaces.recipe import Recipe
from bench.progress import Progress
from bench.train.shards import Shards

_CHECKPOINT, _LOG, _CARD, _CURVE = "checkpoint.pt", "log.csv", "card.json", "curve.png"
_CHECKPOINT_SECONDS = 120.0  # least time between two checkpoints
_WARMUP_STEPS = 50  # steps over which the learning rate rises from 0
# Most of the averaged weights that a step keeps; early steps keep less, or a short run would end near its start.
_AVERAGING = 0.998
_STEPS = "steps"  # key of the number of steps among the sums of the log


@dataclass(frozen=True)
class Settings:
    """What defines a training; a resumed one must have the same settings.

    Attributes
    ----------
    codec
        Spec of the codec.
    data
        Digest of the training data.
    steps
        Planned number of steps.
    seed
        Seed of data, noise and rate points.
    basis
        SHA-256 of the weights that the training starts from, or that its networks run through.
    bfloat16
        Whether the recipe computes in bfloat16 what bears it.
    """

    codec: str
    data: str
    steps: int
    seed: int
    basis: tuple[str, ...] = ()
    bfloat16: bool = False


def train(
    recipe: Recipe,
    settings: Settings,
    shards: Shards,
    folder: Path,
    device: str,
    resume: bool,
    progress: Progress,
    limit_seconds: float = math.inf,
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
        Folder of checkpoint and log.
    device
        Device that the network is trained on, as torch names it.
    resume
        Whether to continue the training that the folder holds.
    progress
        Called after every step with its number, the planned number and the latest figures of the log.
    limit_seconds
        Time limit of this process: after it, no further step begins. At least one step is made.

    Returns
    -------
    tuple
        Number of steps and seconds of the whole training, with those of earlier processes up to their last checkpoint.

    Raises
    ------
    BenchError
        If the folder holds a training with other settings, or any without `resume`; if a checkpoint cannot be read or
        written; or if the loss is not finite.
    """
    torch.manual_seed(settings.seed)
    # Channels-last memory is a tenth to a third faster on CPUs, and does not change results.
    network = recipe.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-4)
    began = saved = time.monotonic()
    begin, spent, sums = _load(folder, settings, network, averaged, optimizer, resume)
    done = begin
    if begin == 0:
        torch.manual_seed(settings.seed)
        if not recipe.warm:
            recipe.start(_batch(recipe, shards, settings.seed, 0, device))
        averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    with (folder / _LOG).open("a", newline="") as file:
        log = _Log(file, recipe.logged, sums, fresh=begin == 0)
        for step in range(begin, settings.steps):
            share = step / settings.steps
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * min(1.0, (step + 1) / _WARMUP_STEPS) * (0.01 + 0.99 * _cosine(share))
            # The seed of a step depends on its number: a resumed training draws the same noise.
            torch.manual_seed(hash((settings.seed, step)))
            loss, facts = recipe.loss(_batch(recipe, shards, settings.seed, step, device), share)
            value = loss.item()
            if not math.isfinite(value):
                raise BenchError(f"step {step}: the loss is not finite; a lower learning rate may help")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            _average(averaged, network, step)
            log.add(step, {"loss": value, **facts})
            done = step + 1
            progress(done, settings.steps, log.label)
            now = time.monotonic()
            if now - began > limit_seconds:
                break
            if done % log.every == 0 and now - saved > _CHECKPOINT_SECONDS:
                _save(folder, settings, done, spent + now - began, network, averaged, optimizer, log.sums)
                saved = time.monotonic()
    seconds = spent + time.monotonic() - began
    _save(folder, settings, done, seconds, network, averaged, optimizer, log.sums)
    network.load_state_dict(averaged)
    return done, seconds


def _batch(recipe: Recipe, shards: Shards, seed: int, step: int, device: str) -> tuple[Tensor, ...]:
    """The data of a step, on the device."""
    return tuple(tensor.to(device) for tensor in recipe.draw(shards, seed, step))


def _cosine(share: float) -> float:
    """Cosine decay from 1 to 0 while `share` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * share))


def _average(averaged: dict[str, Tensor], network: nn.Module, step: int) -> None:
    """Move the averaged weights towards the network's; tensors without fractions are copied.

    The share that is kept rises with the steps, so the average is over the last tenth of a run at most.
    """
    kept = min(_AVERAGING, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averaged[name].lerp_(value, 1 - kept)
            else:
                averaged[name].copy_(value)


def _save(
    folder: Path, settings: Settings, step: int, seconds: float, network: nn.Module, averaged: dict[str, Tensor],
    optimizer: torch.optim.Optimizer, sums: Mapping[str, float],
) -> None:  # fmt: skip
    """Write a checkpoint; a file of another name is renamed, so the old checkpoint stays until the new one is whole."""
    state = {
        "settings": vars(settings),
        "step": step,
        "seconds": seconds,
        "network": network.state_dict(),
        "averaged": averaged,
        "optimizer": optimizer.state_dict(),
        "sums": dict(sums),
    }
    partial = folder / f"{_CHECKPOINT}.partial"
    try:
        torch.save(state, partial)
        partial.replace(folder / _CHECKPOINT)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise BenchError(f"{folder / _CHECKPOINT} cannot be written: {' '.join(str(error).split())[:120]}") from None


def _load(
    folder: Path, settings: Settings, network: nn.Module, averaged: dict[str, Tensor],
    optimizer: torch.optim.Optimizer, resume: bool,
) -> tuple[int, float, dict[str, float]]:  # fmt: skip
    """Load the folder's checkpoint, if any; returns its number of steps, its seconds and the sums of its log."""
    path = folder / _CHECKPOINT
    started = path.exists() or (folder / _LOG).exists()
    if started and not resume:
        raise BenchError(f"{folder} holds a run already; --resume goes on with it, --out names another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        (folder / _LOG).unlink(missing_ok=True)
        return 0, 0.0, {}
    state = _read_checkpoint(path)
    try:
        known = vars(Settings(**state["settings"]))  # checkpoints of before lack what was added since
        if known != vars(settings):
            differences = [key for key, value in vars(settings).items() if known[key] != value]
            raise BenchError(f"{folder} holds a run with other {', '.join(differences)}")
        network.load_state_dict(state["network"])
        for name, value in state["averaged"].items():
            averaged[name].copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        step, seconds, sums = int(state["step"]), float(state["seconds"]), dict(state.get("sums", {}))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BenchError(f"{path} is no checkpoint of this training ({one_line(str(error))[:120]})") from None
    _cut_log(folder / _LOG, step)
    return step, seconds, sums


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it; raises BenchError if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises anything for a damaged file
        raise BenchError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None
    return state


def planned_steps(folder: Path) -> int | None:
    """Planned number of steps of the training in a folder; None without a checkpoint that states it.

    Raises
    ------
    BenchError
        If there is a checkpoint that cannot be read.
    """
    path = folder / _CHECKPOINT
    if not path.exists():
        return None
    try:
        return int(_read_checkpoint(path)["settings"]["steps"])
    except (KeyError, TypeError, ValueError):
        return None  # `train` will refuse the checkpoint, and say why


def _cut_log(path: Path, step: int) -> None:
    """Remove the rows that were logged after the checkpoint of this step."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["step"]) <= step]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)


class _Log:
    """The log of a training: a CSV row with the means of every `every` steps."""

    every = 20

    def __init__(self, file: Any, logged: Sequence[str], sums: dict[str, float], fresh: bool) -> None:
        self._logged = ("loss", *logged)
        self._file, self._writer = file, csv.DictWriter(file, ("step", *self._logged), extrasaction="ignore")
        if fresh:
            self._writer.writeheader()
        # Sums of the figures since the last row, and the number of steps; a resumed training starts from those of its
        # checkpoint.
        self.sums = sums
        self.label = ""

    def add(self, step: int, facts: Mapping[str, float]) -> None:
        """Add the figures of a step, and write a row after every `every` steps."""
        for name, value in {**facts, _STEPS: 1.0}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if (step + 1) % self.every == 0:
            means = {name: value / self.sums[_STEPS] for name, value in self.sums.items()}
            self._writer.writerow({"step": step + 1, **{name: f"{means[name]:.5g}" for name in self._logged}})
            self._file.flush()
            self.label = ", ".join(f"{name} {means[name]:.4g}" for name in self._logged)
            self.sums = {}


def train_codec(
    recipe: Recipe,
    settings: Settings,
    shards: Shards,
    held_out: Shards,
    folder: Path,
    device: str,
    resume: bool,
    progress: Progress,
    limit_seconds: float = math.inf,
) -> dict[str, Any]:
    """Train, and write the weights, a card that describes them, and a plot of the log.

    Parameters
    ----------
    recipe, settings, shards, folder, device, resume, progress, limit_seconds
        See `train`. The card's ``steps`` are those that were trained, which a time limit may make fewer than planned.
    held_out
        Validation data for the figures of the card; no choice depends on them.

    Returns
    -------
    dict
        The content of the card.

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
    steps, seconds = train(recipe, settings, shards, folder, device, resume, progress, limit_seconds)
    network = copy.deepcopy(recipe.network).cpu().eval()
    blobs = {name: save(dict(weights)) for name, weights in recipe.finish(network).items()}
    for name, blob in blobs.items():
        write_atomic(folder / name, blob)
    facts = provenance()
    card = {
        **vars(settings),
        "steps": steps,
        "planned_steps": settings.steps,
        "minutes": round(seconds / 60, 1),
        "parameters": parameters,
        "sha256": {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()},
        "held_out": held_out.digest,
        "checked": recipe.checked,
        "validation": recipe.evaluate(network, held_out, progress),
        **{key: facts[key] for key in ("git_commit", "python", "processor", "cores")},
        "torch": torch.__version__,
    }
    write_atomic(folder / _CARD, (json.dumps(card, indent=1) + "\n").encode())
    _draw_curve(folder, f"{settings.codec}: {steps} steps")
    return card


def _draw_curve(folder: Path, title: str) -> None:
    """Plot loss, rate and quality from the log over the steps."""
    from matplotlib.figure import Figure

    with (folder / _LOG).open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    labels = {"bpp": "bits per coded pixel", "psnr": "PSNR, dB", "warp": "PSNR of warped features, dB"}
    names = [name for name in rows[0] if name != "step"] if rows else []
    for axis, name in zip(figure.subplots(1, 3), names, strict=False):
        axis.plot([row["step"] for row in rows], [row[name] for row in rows], linewidth=0.8)
        axis.set_xlabel("step")
        axis.set_ylabel(labels.get(name, name))
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(folder / _CURVE, dpi=100)
