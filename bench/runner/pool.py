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
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.files import DISK_ERRORS, FatalError, disk_message
from bench.runner.execute import Outcome, batch_of, failed, most_together, run_job, start_batch
from bench.runner.plan import Job
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
        self._alone: set[str] = set()  # jobs of batches whose worker died

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
        running: dict[Future[_Ended], list[Job]] = {}
        try:
            while batches or running:
                while batches and len(running) < workers:
                    arguments = (batches[0], store.root, self.work, self.limit_seconds)
                    running[pool.submit(_attempt_all, *arguments)] = batches[0]
                    batches.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    ended = future.result()
                    yield from ended.jobs
                    if ended.error:
                        raise ended.error
                    del running[future]
        except BrokenProcessPool:
            for batch in running.values():
                # Which job of a batch it was shows when each is tried again by itself.
                (waiting if len(batch) > 1 else suspects).extend(batch)
                self._alone |= {job.id for job in batch}
            waiting.extend(itertools.chain.from_iterable(batches))
        finally:
            _stop(pool)
            store.sweep()

    def _batches(self, jobs: Sequence[Job], workers: int) -> deque[list[Job]]:
        """Jobs whose streams are coded at once (`batch_of`), and by themselves all others.

        A batch has all rate points of few sequences, so that workers do not wait for each other's simulation. Every
        worker gets one before batches are full.
        """
        kinds: defaultdict[object, list[Job]] = defaultdict(list)
        for job in jobs:
            key = batch_of(job) if self.work is run_job and job.id not in self._alone else None
            kinds[key or job.id].append(job)
        batches: deque[list[Job]] = deque()
        for kind in kinds.values():
            kind.sort(key=lambda job: (job.info.name, job.start))
            size = min(most_together(kind[0]), -(-len(kind) // workers)) if len(kind) > 1 else 1
            batches.extend(kind[first : first + size] for first in range(0, len(kind), size))
        return batches


@dataclass(frozen=True)
class _Ended:
    """The jobs of a batch that have ended, and the error that ends the run before the others; None if there is none."""

    jobs: list[Finished]
    error: FatalError | None = None


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


def _attempt_all(jobs: Sequence[Job], store_root: Path, work: Work, limit_seconds: float) -> _Ended:
    """Run the jobs of a batch; the time limit holds for what they do together, and for each of them after it."""
    ended: list[Finished] = []
    try:
        started: dict[str, Callable[[], Outcome]] = {}
        if len(jobs) > 1:
            with contextlib.suppress(BenchError), _time_limit(limit_seconds):
                started = start_batch(jobs, Store(store_root))
        for job in jobs:
            run = started.pop(job.id, None)
            ended.append(_attempt_within(job, store_root, work if run is None else _calling(run), limit_seconds))
    except FatalError as error:
        return _Ended(ended, error)
    return _Ended(ended)


def _calling(run: Callable[[], Outcome]) -> Work:
    return lambda _job, _store: run()


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
