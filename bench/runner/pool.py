"""Runs jobs, in this process or in a pool of worker processes, one thread each."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.files import DISK_ERRORS, FatalError, disk_message
from bench.runner.execute import Outcome, failed, run_job
from bench.runner.plan import Job
from bench.runner.store import Store
from bench.tools import claim_process, kill_tools


@dataclass(frozen=True)
class Finished:
    """A job's outcome, with the traceback where a bug, not the user, made it fail."""

    job: Job
    outcome: Outcome
    bug: str = ""


Work = Callable[[Job, Store], Outcome]


class Lane(Protocol):
    """Where a run's jobs are worked on.

    Attributes
    ----------
    workers
        How many jobs are under way at once.
    notes
        What a user should know of the workers when the run has ended.
    """

    workers: int
    notes: list[str]

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs and give each as it finishes.

        Parameters
        ----------
        store
            The run's, for workers that have none of their own.
        """
        ...


def suspects_alone(
    together: Callable[[deque[Job], list[Job]], Iterator[Finished]], jobs: Sequence[Job], reason: str
) -> Iterator[Finished]:
    """Run jobs together; those that were under way when a worker died once more, each alone.

    Parameters
    ----------
    together
        Works on what waits, takes it away from there, and puts into its second argument what may have killed a worker.
    reason
        Of the failed row of a job that kills its worker again.
    """
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from together(waiting, suspects)
        for job in suspects:
            guilty: list[Job] = []
            yield from together(deque([job]), guilty)
            if guilty:
                yield Finished(job, failed(job, reason))


class LocalLane:
    """Worker processes of this machine, of one thread each.

    OMP_NUM_THREADS may give them more, but all of them together no more than there are cores: above that, threads wait
    for one another most of the time.
    """

    def __init__(self, workers: int, work: Work = run_job, limit_seconds: float = 0) -> None:
        self.workers, self.work, self.limit_seconds = workers, work, limit_seconds
        self.notes: list[str] = []

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs and give each as it finishes.

        A job that fails or takes longer than the limit (0: none) becomes a row; a full disk or an interrupt ends the
        run. When a worker dies (out of memory, killed), all jobs that were under way are tried once more, each alone,
        and the one that kills its worker again becomes a failed row. One worker is a process of its own too: when this
        process is killed, the worker notices and stops its encoder.
        """
        together = functools.partial(self._pool, store)
        return suspects_alone(together, jobs, "the worker process died (killed, or out of memory)")

    def _pool(self, store: Store, waiting: deque[Job], suspects: list[Job]) -> Iterator[Finished]:
        """Work on what waits until all is done or a worker dies; what was under way then goes to `suspects`."""
        workers = min(self.workers, len(waiting))
        pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=({**os.environ, "OMP_NUM_THREADS": str(_threads(workers))}, store.root),
        )
        running: dict[Future[Finished], Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    given = (waiting[0], store.root, self.work, self.limit_seconds)
                    running[pool.submit(_attempt_within, *given)] = waiting[0]
                    waiting.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    del running[future]
        except BrokenProcessPool:
            suspects += running.values()
        finally:
            _stop(pool)
            store.sweep()


def _threads(workers: int) -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]
    share = max(1, (os.cpu_count() or 1) // workers)
    return min(max(1, int(stated)), share) if stated.isdecimal() else 1


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool at once: its workers kill their tools when they are told to go."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)


def _attempt_within(job: Job, store_root: Path, work: Work, limit_seconds: float) -> Finished:
    """Work on a job for so long; the signal reaches Python code, and `bench.tools` ends a program that it waits for."""

    def late(*_: object) -> None:
        raise BenchError(f"the job ran past its limit of {limit_seconds:g} s and was stopped")

    signal.signal(signal.SIGALRM, late)
    try:
        # Again after a second, should something have swallowed it.
        signal.setitimer(signal.ITIMER_REAL, limit_seconds, 1)
        try:
            return attempt(job, store_root, work)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except FatalError:
        raise
    except BenchError as error:  # the limit, met outside of what `attempt` guards
        return Finished(job, failed(job, str(error)))


def attempt(job: Job, store_root: Path, work: Work = run_job) -> Finished:
    """Work on a job with the store at a place; a fault of its own becomes its row, a full disk is raised."""
    try:
        return Finished(job, work(job, Store(store_root)))
    except FatalError:
        raise
    except BenchError as error:
        return Finished(job, failed(job, str(error)))
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise FatalError(disk_message(error.filename or store_root, error)) from error
        return Finished(job, failed(job, f"{type(error).__name__}: {error}"), traceback.format_exc())
    except MemoryError:
        return Finished(
            job, failed(job, "out of memory; shorter segments (--frames) or fewer workers (--jobs) need less")
        )
    except SystemExit as end:  # of code that was written to be a program
        text = f"a component called sys.exit({end.code!r}), which ends programs; it is to raise an exception instead"
        return Finished(job, failed(job, text), traceback.format_exc())
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error} (a bug; see errors.log)"
        return Finished(job, failed(job, text), traceback.format_exc())


def start_worker(environment: dict[str, str], store_root: Path) -> None:
    """Prepare a worker: no Ctrl-C of its own, tools end with it, and it ends with its parent."""
    os.environ.update(environment)
    claim_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    parent = multiprocessing.parent_process()
    if parent is not None:
        watch = functools.partial(_leave_after, parent.sentinel)
        threading.Thread(target=watch, daemon=True).start()
    # Working folders of codecs lie in the store too, where the next run sweeps what a killed worker left.
    with contextlib.suppress(FatalError):  # a disk that has filled up is told of by the job that needs it
        tempfile.tempdir = str(Store(store_root).make_scratch())


def _leave_after(sentinel: int) -> None:
    connection.wait([sentinel])
    _leave()


def _leave(*_: object) -> None:
    kill_tools()
    os._exit(1)
