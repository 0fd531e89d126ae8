"""The processes of a training: one for each device, on one machine or several, by torch's distributed package.

`torchrun` starts the processes, `launch` does the same for ``--devices``; one process without either is a group of one.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bench.errors import BenchError
from bench.tools import GRACE_SECONDS, leave
from bench.weights import check_device

# Others wait while the first process simulates data, or validates.
_PATIENCE = timedelta(days=2)
_PORT = "29400"


@dataclass(frozen=True)
class Group:
    """The processes of a training, from the view of one of them.

    Attributes
    ----------
    device
        This process's device, as torch names it.
    rank, local_rank, count
        Number of this process among all and among those of its machine, and number of all.
    """

    device: str = "cpu"
    rank: int = 0
    local_rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and says what all do."""
        return self.rank == 0

    def shared(self, network: nn.Module) -> nn.Module:
        """A module that averages its gradients over all processes; alone, the module itself."""
        if self.count == 1:
            return network
        # A tensor of one row or channel has several strides that mean the same.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # A step need not use all parameters: a first inter frame has no long-term reference.
        return DistributedDataParallel(network, find_unused_parameters=True)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """A context in which gradients of `shared` are summed in this process alone, until one is outside of it."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sum of each value over all processes."""
        if self.count == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    @contextmanager
    def first_here(self) -> Iterator[None]:
        """Let one process of each machine do the block before the others: what it makes, they find."""
        if self.count > 1 and self.local_rank:
            dist.barrier()
        yield
        if self.count > 1 and not self.local_rank:
            dist.barrier()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


def is_launched() -> bool:
    """Whether torchrun, or `launch`, started this process."""
    return "WORLD_SIZE" in os.environ and "LOCAL_RANK" in os.environ


def follow_launcher() -> None:
    """End with the process that started this one: if it is killed, a resumed training must not meet this one."""
    threading.Thread(target=_leave_without, args=(os.getppid(),), daemon=True).start()


def _leave_without(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    leave(grace_seconds=GRACE_SECONDS)


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that were started with this one, for the time of the block.

    Parameters
    ----------
    device
        ``cpu``, or ``cuda`` for the machine's device of the process's number.
    """
    check_device(device)
    if is_launched():
        follow_launcher()
    if not is_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield Group(device)
        return
    local = int(os.environ["LOCAL_RANK"])
    if device != "cpu":
        device = f"cuda:{local}"
        check_device(device)
        if local >= torch.cuda.device_count():
            raise BenchError(f"this machine has {torch.cuda.device_count()} GPUs; --devices asks for more")
        torch.cuda.set_device(local)
    dist.init_process_group("gloo" if device == "cpu" else "nccl", timeout=_PATIENCE)
    try:
        yield Group(device, dist.get_rank(), local, dist.get_world_size())
    except KeyboardInterrupt:
        leave()  # at once, since the others no longer answer; the launcher says that it was interrupted
    finally:
        dist.destroy_process_group()


def launch(arguments: Sequence[str], devices: int, nodes: int) -> None:
    """Run `bench` with these arguments in a process for each device of this machine, as torchrun does.

    With several machines the same command runs on each. They meet at ``MASTER_ADDR``, else at the machine that SLURM
    names (``SLURM_LAUNCH_NODE_IPADDR``), at the port ``MASTER_PORT``.

    Raises
    ------
    BenchError
        If no meeting place is known, or a process fails.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    where: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
    if nodes > 1:
        host = os.environ.get("MASTER_ADDR") or os.environ.get("SLURM_LAUNCH_NODE_IPADDR")
        if not host:
            raise BenchError("--nodes: no machine to meet at; set MASTER_ADDR to the first one's name")
        where["rdzv_endpoint"] = f"{host}:{os.environ.get('MASTER_PORT', _PORT)}"
    # Torch warns at every start where the first step uses all parameters.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as folder:
        # What the others have to say is said where it ends the training.
        silenced = dict.fromkeys(range(1, devices), Std.ALL)
        config = LaunchConfig(
            min_nodes=nodes, max_nodes=nodes, nproc_per_node=devices, max_restarts=0,
            run_id=os.environ.get("SLURM_JOB_ID", "bench"),
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=silenced), **where,
        )  # fmt: skip
        logging.disable(logging.WARNING)  # of several lines about a signal
        try:
            elastic_launch(config, sys.executable)("-m", "bench", *arguments)
        except SignalException:  # its processes have ended
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if not failure.local_rank:
                raise SystemExit(2) from None  # it has said why
            said = [line for path in Path(folder).rglob(f"{failure.local_rank}/stderr.log") for line in _lines(path)]
            reason = said[-1].removeprefix("bench: ") if said else f"code {failure.exitcode}"
            raise BenchError(f"the process of device {rank} ended: {reason}") from None
        finally:
            logging.disable(logging.NOTSET)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").split("\n")[:-1]
