"""Measures results of submissions in another process, with limits of memory and time."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.interfaces import Decoded
from bench.runner.execute import judge
from bench.runner.plan import Job
from bench.runner.pool import start_worker
from bench.runner.store import Store
from bench.tools import limit_process


class Judge:
    """Runs what follows the decoding of streams, one after another, in a process that threads share.

    The process starts with the first result. One that dies or is late is replaced for the next result.

    Parameters
    ----------
    store
        Store of the results of simulation.
    limit_seconds
        Time after which the process is stopped.
    """

    def __init__(self, store: Store, limit_seconds: float) -> None:
        self._store, self._limit_seconds = store, limit_seconds
        self._pool: ProcessPoolExecutor | None = None
        self._is_closed = False
        self._turn, self._state = threading.Lock(), threading.RLock()

    def measures(self, job: Job, decoded: Decoded) -> dict[str, Any]:
        """Measures of a job's result, as `bench.runner.execute.judge` gives them.

        Raises
        ------
        BenchError
            If a stage fails, or the process dies or exceeds its time.
        """
        with self._turn:
            with self._state:
                if self._is_closed:
                    raise BenchError("the verification was stopped")
                if self._pool is None:
                    start = dict(os.environ), self._store.root
                    self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start, start)
                result = self._pool.submit(_judge, job, decoded, self._store.root)
            try:
                return result.result(self._limit_seconds)
            except TimeoutError:
                self._end()
                raise BenchError(f"it took more than {self._limit_seconds:g} s and was stopped") from None
            except BrokenProcessPool:
                self._end()
                raise BenchError("the process that measures it has died (killed, or out of memory)") from None

    def close(self) -> None:
        """End the process for good, also while another thread waits for it."""
        with self._state:
            self._is_closed = True
            self._end()

    def _end(self) -> None:
        with self._state:
            pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
                process.join()
            self._store.sweep()


def _start(environment: dict[str, str], root: Path) -> None:
    start_worker(environment, root)
    limit_process()


def _judge(job: Job, decoded: Decoded, root: Path) -> dict[str, Any]:
    return judge(job, decoded, Store(root))
