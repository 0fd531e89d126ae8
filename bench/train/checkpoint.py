"""Checkpoints: all that a training needs to go on, on any number of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError, one_line
from bench.train.log import LOG, cut_log

CHECKPOINT = "checkpoint.pt"


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
    batch, crop
        Items of a batch and side of their frames, where they are not the recipe's; else 0.
    """

    codec: str
    data: str
    steps: int
    seed: int
    basis: tuple[str, ...] = ()
    bfloat16: bool = False
    batch: int = 0
    crop: int = 0


@dataclass(frozen=True)
class Progressed:
    """How far a training is.

    Attributes
    ----------
    step
        Number of steps that are done.
    seconds
        Seconds that they took, in all processes that ran one after another.
    sums
        Sums of the log since its last row.
    """

    step: int
    seconds: float
    sums: dict[str, float]


def save_checkpoint(
    folder: Path,
    settings: Settings,
    done: Progressed,
    network: nn.Module,
    averaged: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint; a file of another name is renamed, so the old checkpoint stays until the new one is whole."""
    state = {
        "settings": vars(settings),
        **vars(done),
        "network": network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    partial = folder / f"{CHECKPOINT}.partial"
    try:
        torch.save(state, partial)
        partial.replace(folder / CHECKPOINT)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise BenchError(f"{folder / CHECKPOINT} cannot be written: {' '.join(str(error).split())[:120]}") from None


def load_checkpoint(
    folder: Path,
    settings: Settings,
    network: nn.Module | None,
    optimizer: torch.optim.Optimizer | None,
    resume: bool,
    first: bool = True,
) -> tuple[Progressed, Mapping[str, Tensor]]:
    """Load the folder's checkpoint, if any, into network and optimizer.

    Parameters
    ----------
    first
        Whether this process prepares the folder and its log as well.

    Returns
    -------
    tuple
        How far it is, and the averaged weights by name; without a checkpoint step 0, and none.
    """
    path = folder / CHECKPOINT
    if not resume and (path.exists() or (folder / LOG).exists()):
        raise BenchError(f"{folder} holds a run already; --resume goes on with it, --out names another folder")
    if not path.exists():
        if first:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / LOG).unlink(missing_ok=True)
        return Progressed(0, 0.0, {}), {}
    state = _read_checkpoint(path)
    try:
        known = vars(Settings(**state["settings"]))  # checkpoints of before lack what was added since
        if known != vars(settings):
            differences = [key for key, value in vars(settings).items() if known[key] != value]
            raise BenchError(f"{folder} holds a run with other {', '.join(differences)}")
        assert network is not None and optimizer is not None  # noqa: S101 -- or the file would have been refused
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done = Progressed(int(state["step"]), float(state["seconds"]), dict(state.get("sums", {})))
        averages: Mapping[str, Tensor] = state["averaged"]
        if {*averages} != {*network.state_dict()}:
            raise KeyError("averaged weights of another network")
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BenchError(f"{path} is no checkpoint of this training ({one_line(str(error))[:120]})") from None
    if first:
        cut_log(folder / LOG, done.step)
    return done, averages


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
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        return int(_read_checkpoint(path)["settings"]["steps"])
    except (KeyError, TypeError, ValueError):
        return None  # loading will refuse the checkpoint, and say why
