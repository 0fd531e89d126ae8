"""Runs jobs in a pool of worker processes on this machine."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.files import DISK_ERRORS, FatalError, disk_message
from bench.interfaces import Codec
from bench.runner.execute import Outcome, batch_of, failed, run_job, start_batch
from bench.runner.plan import Job, component_for
from bench.runner.store import Store
from bench.tools import claim_process, follow_parent


@dataclass(frozen=True)
class Finished:
    """A job's outcome, and the traceback (`bug`) where a bug made it fail, not the user's input."""

    job: Job
    outcome: Outcome
    bug: str = ""


# The function that a worker calls for a job.
Work = Callable[[Job, Store], Outcome]


class Lane(Protocol):
    """Workers that run the jobs of a run: processes on this machine, or a cluster.

    Attributes
    ----------
    workers
        Number of jobs that run at the same time.
    notes
        Lines for the user on the workers, complete when the run has ended.
    """

    workers: int
    notes: list[str]

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs and yield each one when it finishes.

        Parameters
        ----------
        store
            The run's store, for workers without one of their own.
        """
        ...


def suspects_alone(
    together: Callable[[deque[Job], list[Job]], Iterator[Finished]], jobs: Sequence[Job], reason: str
) -> Iterator[Finished]:
    """Run jobs together; those that were running when a worker died are run once more, each alone.

    Parameters
    ----------
    together
        Function that runs jobs. It removes them from its first argument, and appends to its second one those that may
        have killed a worker.
    reason
        Reason in the failed row of a job that kills its worker again.
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
    """The lane of worker processes on this machine, with one thread each.

    OMP_NUM_THREADS may give each process more threads, but all together never have more than there are cores: with
    more, threads wait for one another most of the time.

    Parameters
    ----------
    workers
        Number of processes.
    work
        Function that they call for each job.
    limit_seconds
        Time limit of a job; 0 for none.
    """

    def __init__(self, workers: int, work: Work = run_job, limit_seconds: float = 0) -> None:
        self.workers, self.work, self.limit_seconds = workers, work, limit_seconds
        self.notes: list[str] = []

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs and yield each one when it finishes.

        A job that fails or exceeds the time limit gives a failed row; a full disk or an interrupt ends the run. When a
        worker dies (out of memory, killed), all jobs that were running are tried once more, each alone; one that kills
        its worker again gives a failed row. A single worker is a process of its own, too: it notices when this process
        is killed, and stops its encoder.
        """
        together = functools.partial(self._pool, store)
        return suspects_alone(together, jobs, "the worker process died (killed, or out of memory)")

    def _pool(self, store: Store, waiting: deque[Job], suspects: list[Job]) -> Iterator[Finished]:
        """Run waiting jobs until all are done or a worker dies; the jobs that ran then are added to `suspects`."""
        workers = min(self.workers, len(waiting))
        batches = self._batches(waiting, workers)
        waiting.clear()
        pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=({**os.environ, "OMP_NUM_THREADS": str(_threads(workers))}, store.root),
        )
        running: dict[Future[list[Finished]], list[Job]] = {}
        try:
            while batches or running:
                while batches and len(running) < workers:
                    batch = batches[0]
                    running[pool.submit(_attempt_all, batch, store.root, self.work, self.limit_seconds)] = batch
                    batches.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
                    del running[future]
        except BrokenProcessPool:
            suspects += itertools.chain.from_iterable(running.values())
            waiting.extend(itertools.chain.from_iterable(batches))
        finally:
            _stop(pool)
            store.sweep()

    def _batches(self, jobs: Sequence[Job], workers: int) -> deque[list[Job]]:
        """Jobs whose streams are coded at once (`batch_of`), in the order of their first ones.

        Every worker gets one before batches are full.
        """
        if self.work is not run_job:
            return deque([job] for job in jobs)
        keys = [batch_of(job) for job in jobs]
        counts = Counter(keys)
        batches: deque[list[Job]] = deque()
        last: dict[object, list[Job]] = {}
        for job, key in zip(jobs, keys, strict=True):
            most = 1 if key is None else min(component_for(Codec, job.codec).together, -(-counts[key] // workers))
            if key is None or key not in last or len(last[key]) >= most:
                last[key] = []
                batches.append(last[key])
            last[key].append(job)
        return batches


def _threads(workers: int) -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]
    share = max(1, (os.cpu_count() or 1) // workers)
    return min(max(1, int(stated)), share) if stated.isdecimal() else 1


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool at once; a worker that is terminated kills the external programs that it runs."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)


def _attempt_all(jobs: Sequence[Job], store_root: Path, work: Work, limit_seconds: float) -> list[Finished]:
    """Run the jobs of a batch; the time limit holds for what they do together, and for each of them after it."""
    if len(jobs) == 1:
        return [_attempt_within(jobs[0], store_root, work, limit_seconds)]
    start = functools.cache(functools.partial(start_batch, jobs, Store(store_root)))
    # An error is met again by each job, and becomes its row.
    with contextlib.suppress(Exception, SystemExit), _time_limit(limit_seconds):
        start()
    return [_attempt_within(job, store_root, lambda job, _: start()[job.id](), limit_seconds) for job in jobs]


def _attempt_within(job: Job, store_root: Path, work: Work, limit_seconds: float) -> Finished:
    """Run a job with a time limit."""
    try:
        with _time_limit(limit_seconds):
            return attempt(job, store_root, work)
    except FatalError:
        raise
    except BenchError as error:  # the time limit was reached outside of `attempt`
        return Finished(job, failed(job, str(error)))


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt Python code after a time by a signal; `bench.tools` then ends the program that it runs."""

    def late(*_: object) -> None:
        raise BenchError(f"the job ran past its limit of {seconds:g} s and was stopped")

    signal.signal(signal.SIGALRM, late)
    # The signal is repeated every second, in case the job catches the exception.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def attempt(job: Job, store_root: Path, work: Work = run_job) -> Finished:
    """Run a job with the store in a folder; an error of the job becomes its failed row.

    Raises
    ------
    FatalError
        If the disk is full or refuses a file.
    """
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
    except SystemExit as end:  # from code that was written as a program
        text = f"a component called sys.exit({end.code!r}), which ends programs; it is to raise an exception instead"
        return Finished(job, failed(job, text), traceback.format_exc())
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error} (a bug; see errors.log)"
        return Finished(job, failed(job, text), traceback.format_exc())


def start_worker(environment: dict[str, str], store_root: Path) -> None:
    """Prepare a worker process: it ignores Ctrl-C, ends with its parent, and then ends the programs that it runs."""
    os.environ.update(environment)
    claim_process()
    follow_parent()
    # Working folders of codecs are in the store: the next run removes those of a worker that was killed.
    with contextlib.suppress(FatalError):  # the job that needs the disk reports that it is full
        tempfile.tempdir = str(Store(store_root).make_scratch())
