"""Runs jobs on a Dask cluster: workers on other machines call the same pure functions as those of the local pool.

A worker uses the store in its own cache (several workers may share one: BENCH_CACHE names its folder), and sends rows
and streams back to the client. Before it runs a job, it checks that its code, weights, binaries and data are those of
the client. A worker that differs gets no jobs that need the part in which it differs; their rows do not fail for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.files import GO_ON, FatalError
from bench.fingerprint import code_fingerprint, component_fingerprint, digest
from bench.interfaces import Analyzer, Codec, Component, Dataset, Extractor, Paradigm, Task, checked
from bench.runner import execute
from bench.runner.execute import failed, sequence_fingerprint
from bench.runner.plan import Job, component_for
from bench.runner.pool import Finished, attempt, suspects_alone
from bench.runner.store import Store, open_store

_CONNECT_SECONDS = 10
_WORKER_SECONDS = 60
_LOOK_SECONDS = 5  # longest time until a change of workers is noticed
_EVERYTHING = "all jobs"  # stands for the part that a worker lacks which can run no job


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Silence loggers: what matters of their many lines is printed as one line of the suite's own."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.handlers for logger in loggers]
    for logger in loggers:
        logger.handlers = [logging.NullHandler()]
    try:
        yield
    finally:
        for logger, handlers in zip(loggers, before, strict=True):
            logger.handlers = handlers


@dataclass(frozen=True)
class Unfit:
    """A worker's answer that it cannot run a job.

    Attributes
    ----------
    part
        The part that the worker lacks, such as ``codec vvenc``.
    reason
        Why it lacks the part.
    worker
        The worker's address.
    """

    part: str
    reason: str
    worker: str


class ClusterLane:
    """The lane (`bench.runner.pool.Lane`) of a Dask cluster.

    Parameters
    ----------
    scheduler
        ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` of a running scheduler, or ``local:N`` to start one with N workers on
        this machine.

    Raises
    ------
    BenchError
        If Dask is not installed or the address is of neither form.
    """

    def __init__(self, scheduler: str) -> None:
        if not re.fullmatch(r"(tcp|tls)://.+:\d+|local:[1-9]\d*", scheduler):
            raise BenchError(f"--scheduler {scheduler}: give tcp://HOST:PORT, tls://HOST:PORT or local:N")
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise BenchError("--scheduler needs Dask: pip install -e '.[dask]'") from None
        self.scheduler = scheduler
        self.workers = 0
        self.notes: list[str] = []

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs on all workers, including those that join later, and yield each job when it finishes.

        Workers use the stores of their own machines, not `store`.

        Raises
        ------
        BenchError
            If the scheduler or its workers cannot be reached, or the scheduler is lost.
        """
        with _silent("distributed", "distributed.client"), self._client() as client:
            submission = _Submission(client, self.scheduler)
            try:
                reason = "its worker process died each time (killed, or out of memory)"
                yield from suspects_alone(submission.together, jobs, reason)
            finally:
                self.workers, self.notes = submission.threads, submission.notes

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        import distributed

        kind, _, count = self.scheduler.partition(":")
        with contextlib.ExitStack() as stack:
            address: object = self.scheduler
            if kind == "local":
                # Without a memory limit, as in the local pool: at the limit, Dask would pause or kill workers.
                limits = {"threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
                address = stack.enter_context(distributed.LocalCluster(n_workers=int(count), **limits))
            try:
                client = stack.enter_context(distributed.Client(address, timeout=_CONNECT_SECONDS))
            except (OSError, ValueError) as error:  # a time-out is an OSError too
                raise BenchError(f"no Dask scheduler answers at {self.scheduler}: {error}") from None
            try:
                client.wait_for_workers(1, timeout=_WORKER_SECONDS)
            except TimeoutError:
                raise BenchError(f"{self.scheduler} has no worker; start one with `dask worker ADDRESS`") from None
            yield client


class _Submission:
    """Jobs that are submitted through one client, only as many at a time as keep all workers busy."""

    def __init__(self, client: Any, scheduler: str) -> None:
        self.client, self.scheduler = client, scheduler
        self.threads = 0
        self.last_worker = time.monotonic()  # when a worker was last there
        self.notes: list[str] = []
        self.known: set[str] = set()
        self.unfit: defaultdict[str, dict[str, str]] = defaultdict(dict)  # part -> worker -> why it lacks the part
        self.running: dict[Any, tuple[Job, set[str]]] = {}  # with the workers it is restricted to; empty: any worker

    def together(self, waiting: deque[Job], suspects: list[Job]) -> Iterator[Finished]:
        """Submit waiting jobs until all have ended; jobs whose workers died too often are added to `suspects`."""
        while waiting or self.running:
            with self._reaching():
                refused = self._fill(waiting)
                answers = [(job, self._answer(future, job)) for future, job in self._done()]
            yield from refused
            for job, answer in answers:
                if answer is None:
                    suspects.append(job)
                elif isinstance(answer, Unfit):
                    self._leave_out(answer)
                    waiting.appendleft(job)
                else:
                    yield answer

    def _fill(self, waiting: deque[Job]) -> list[Finished]:
        """Submit jobs while there is room; returns those that no worker can run."""
        workers = self.client.nthreads()
        self._revive(bool(workers))
        self.threads = max(self.threads, sum(workers.values()))
        self._look_at(set(workers) - self.known)
        for future, (job, fitting) in [*self.running.items()]:
            if fitting and not fitting & workers.keys():  # no worker is left that can run it
                future.cancel()
                del self.running[future]
                waiting.appendleft(job)
        refused = []
        while waiting and len(self.running) < 2 * max(1, sum(workers.values())):
            job = waiting.popleft()
            refusal = self._submit(job, set(workers))
            if refusal:
                refused.append(Finished(job, failed(job, refusal)))
        return refused

    def _revive(self, alive: bool) -> None:
        """Start the workers of `local:N` anew where all are gone: under load, Dask sometimes fails to."""
        if alive:
            self.last_worker = time.monotonic()
        elif self.client.cluster is not None and time.monotonic() - self.last_worker > _WORKER_SECONDS:
            self.client.cluster.scale(0)
            self.client.cluster.scale(int(self.scheduler.partition(":")[2]))
            self.last_worker = time.monotonic()

    def _look_at(self, workers: set[str]) -> None:
        """Exclude new workers on which the suite cannot be loaded."""
        if workers:
            for worker, said in self.client.run(_suite, workers=sorted(workers), on_error="return").items():
                if isinstance(said, BaseException):
                    self._leave_out(Unfit(_EVERYTHING, f"{type(said).__name__}: {said}", worker))
            self.known |= workers

    def _submit(self, job: Job, workers: set[str]) -> str:
        """Send a job to the workers that can run it; returns why none can, or an empty text."""
        parts = _parts(job)
        lacking = {worker: why for part in (*parts, _EVERYTHING) for worker, why in self.unfit[part].items()}
        fitting = workers - lacking.keys()
        if workers and not fitting:
            why = "; ".join(sorted({lacking[worker] for worker in workers}))
            if workers <= self.unfit[_EVERYTHING].keys():
                raise FatalError(f"no worker is left: {why}{GO_ON}")
            return f"no worker can run it: {why}"
        restricted = {"workers": sorted(fitting)} if lacking else {}
        future = self.client.submit(_on_worker, job, parts, pure=False, **restricted)
        self.running[future] = job, fitting if lacking else set()
        return ""

    def _done(self) -> list[tuple[Any, Job]]:
        """The jobs that have ended, after a wait that is short enough to notice a change of workers."""
        from distributed import wait

        if not self.running:
            return []
        try:
            done = wait([*self.running], timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [(future, self.running.pop(future)[0]) for future in done]

    def _answer(self, future: Any, job: Job) -> Finished | Unfit | None:
        """The answer of a job's worker; None where the worker died each time that the job was tried."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker:
            return None
        except (ImportError, AttributeError, TypeError) as error:
            if future.status != "error":
                raise
            text = f"a worker cannot load the job ({type(error).__name__}: {error}); is the same suite installed there?"
            return Finished(job, failed(job, text))

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn every error that a lost scheduler causes into one line."""
        try:
            yield
        except (OSError, CancelledError, asyncio.CancelledError, AttributeError) as error:
            if isinstance(error, AttributeError) and self.client.status == "running":
                raise
            raise BenchError(f"the scheduler {self.scheduler} is lost{GO_ON}") from None

    def _leave_out(self, answer: Unfit) -> None:
        known = self.unfit[answer.part]
        # The reason may end like the message of a run that stops, but this run goes on with the other workers.
        reason = answer.reason.removesuffix(GO_ON)
        if answer.worker not in known:
            self.notes.append(f"worker {answer.worker} was left out for {answer.part}: {reason}")
        known[answer.worker] = f"{answer.part}: {reason}"


def _suite() -> str:
    """Imports this module on a worker, and with it all modules of the suite that jobs need."""
    return __name__


def _on_worker(job: Job, fingerprints: dict[str, str]) -> Finished | Unfit:
    """Run a job, if this worker has the same parts as the client."""
    from distributed import get_worker

    worker = get_worker().address
    for part, fingerprint in fingerprints.items():
        reason = _difference(job, part, fingerprint)
        if reason:
            return Unfit(part, reason, worker)
    try:
        return attempt(job, open_store().root)
    except FatalError as error:  # this worker's disk, not the codec
        return Unfit(_EVERYTHING, str(error), worker)


def _difference(job: Job, part: str, fingerprint: str) -> str:
    """How a part on this machine differs from the client's; empty where it does not."""
    try:
        own_fingerprint = _fingerprint(*_named_parts(job)[part])
    except BenchError as error:
        return str(error)
    except Exception as error:  # no error of a component on this machine may end the run
        return f"{type(error).__name__}: {error}"
    return "" if own_fingerprint == fingerprint else "other code, weights, binary or data than the client's"


def _parts(job: Job) -> dict[str, str]:
    """Fingerprints of all parts that a job's row depends on, by the names that users know them by."""
    return {name: _fingerprint(*part) for name, part in _named_parts(job).items()}


def _named_parts(job: Job) -> dict[str, tuple[type[Component], str, str]]:
    kinds: tuple[tuple[type[Component], str], ...] = (
        (Codec, job.codec),
        (Extractor, job.extractor),
        (Analyzer, job.analyzer),
        (Paradigm, job.paradigm),
        (Task, job.task),
    )
    parts = {f"{base.__name__.lower()} {spec}": (base, spec, "") for base, spec in kinds}
    return {**parts, f"sequence {job.dataset}/{job.info.name}": (Dataset, job.dataset, job.info.name)}


@functools.lru_cache(maxsize=4096)
def _fingerprint(base: type[Component], spec: str, sequence: str) -> str:
    """The fingerprint of a component and its binary, or of a dataset's sequence, on this machine."""
    component = component_for(base, spec)
    state = checked.availability(component)
    if not state.ok:
        raise BenchError(state.reason)
    if isinstance(component, Dataset):
        return sequence_fingerprint(component, sequence)
    return digest([component_fingerprint(component), state.sha256, code_fingerprint(execute.__name__)])
