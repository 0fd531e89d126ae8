"""Independent pieces of work, in one process for each core."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from bench.errors import BenchError
from bench.tools import follow_parent

T = TypeVar("T")


def in_processes(work: Callable[[int], T], count: int, few: int = 2, together: int = 1) -> Iterator[T]:
    """The results of ``work(0)`` to ``work(count - 1)``, in this order.

    Parameters
    ----------
    work
        A function that processes can be sent (of a module, or a `functools.partial` of one), whose results depend on
        its argument alone.
    few
        Fewer pieces of work than this are done in this process: starting others takes seconds.
    together
        Number of pieces that a process is given at a time.

    Raises
    ------
    BenchError
        If a process dies.
    """
    workers = min(os.cpu_count() or 1, count)
    if count < few or workers < 2:
        yield from map(work, range(count))
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start) as pool:
        try:
            yield from pool.map(work, range(count), chunksize=together)
        except BrokenProcessPool:
            raise BenchError("a worker process died (killed, or out of memory)") from None


def _start() -> None:
    """Prepare a process: it has one thread, as every core has a process."""
    import torch

    follow_parent()
    torch.set_num_threads(1)
