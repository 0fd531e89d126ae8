"""Runs jobs on a Dask cluster: the same pure functions as the local pool's, on workers of other machines.

A worker uses the store in its own cache (BENCH_CACHE; a shared folder does for several), and rows and streams come back
to the client. Before it runs a job it checks that it has what the client has: the same code, weights, binary and data.
A worker that lacks something is left out for what it lacks, which is no fault of the codec.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
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
_LOOK_SECONDS = 5
_EVERYTHING = "all jobs"


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keep loggers from printing: what matters of their log is said in one line."""
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
    """A worker's answer that it cannot run a job: which part it lacks, and why."""

    part: str
    reason: str
    worker: str


class ClusterLane:
    """Where a run's jobs go: a Dask scheduler that runs already, or one of this machine's own.

    Parameters
    ----------
    scheduler
        ``tcp://HOST:PORT`` or ``tls://HOST:PORT``, or ``local:N`` for N workers here.

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
            raise BenchError("--scheduler needs Dask: pip install 'spikebench[dask]'") from None
        self.scheduler = scheduler
        self.workers = 0
        self.notes: list[str] = []

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[Finished]:
        """Run jobs on whatever workers there are, also those that come later, and give each as it finishes.

        Workers use stores of their own.

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
                # No limit of memory: Dask would pause or kill workers for what the local pool lets them have.
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
    """Jobs on their way through one client: never more at once than keeps all workers busy."""

    def __init__(self, client: Any, scheduler: str) -> None:
        self.client, self.scheduler = client, scheduler
        self.threads = 0
        self.notes: list[str] = []
        self.known: set[str] = set()
        self.unfit: defaultdict[str, dict[str, str]] = defaultdict(dict)  # part -> worker -> why it lacks the part
        self.running: dict[Any, tuple[Job, set[str]]] = {}  # with the workers that may run it; none stated: all

    def together(self, waiting: deque[Job], suspects: list[Job]) -> Iterator[Finished]:
        """Submit what waits until all has come back; jobs whose workers died too often go to `suspects`."""
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
        """Submit jobs while there is room; gives those that no worker can run."""
        workers = self.client.nthreads()
        self.threads = max(self.threads, sum(workers.values()))
        self._look_at(set(workers) - self.known)
        for future, (job, fitting) in [*self.running.items()]:
            if fitting and not fitting & workers.keys():  # all that could run it are gone
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

    def _look_at(self, workers: set[str]) -> None:
        """Leave out new workers on which the suite cannot be loaded."""
        if workers:
            for worker, said in self.client.run(_suite, workers=sorted(workers), on_error="return").items():
                if isinstance(said, BaseException):
                    self._leave_out(Unfit(_EVERYTHING, f"{type(said).__name__}: {said}", worker))
            self.known |= workers

    def _submit(self, job: Job, workers: set[str]) -> str:
        """Send a job to the workers that fit; why it cannot be run where none does."""
        parts = _parts(job)
        lacking = {worker: why for part in (*parts, _EVERYTHING) for worker, why in self.unfit[part].items()}
        fitting = workers - lacking.keys()
        if workers and not fitting:
            why = "; ".join(sorted({lacking[worker].removesuffix(GO_ON) for worker in workers}))
            if workers <= self.unfit[_EVERYTHING].keys():
                raise FatalError(f"no worker is left: {why}{GO_ON}")
            return f"no worker can run it: {why}"
        restricted = {"workers": sorted(fitting)} if lacking else {}
        future = self.client.submit(_on_worker, job, parts, pure=False, **restricted)
        self.running[future] = job, fitting if lacking else set()
        return ""

    def _done(self) -> list[tuple[Any, Job]]:
        """Wait for jobs, but not so long that a change of workers goes unnoticed."""
        from distributed import wait

        if not self.running:
            return []
        try:
            done = wait([*self.running], timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [(future, self.running.pop(future)[0]) for future in done]

    def _answer(self, future: Any, job: Job) -> Finished | Unfit | None:
        """What came of a job; nothing where its worker died each time that it was tried."""
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
        """Say in one line that the scheduler is gone, whatever a call to it ended with."""
        try:
            yield
        except (OSError, CancelledError, asyncio.CancelledError, AttributeError) as error:
            if isinstance(error, AttributeError) and self.client.status == "running":
                raise
            raise BenchError(f"the scheduler {self.scheduler} is lost{GO_ON}") from None

    def _leave_out(self, answer: Unfit) -> None:
        known = self.unfit[answer.part]
        if answer.worker not in known:
            self.notes.append(f"worker {answer.worker} was left out for {answer.part}: {answer.reason}")
        known[answer.worker] = f"{answer.part}: {answer.reason}"


def _suite() -> str:
    """Loads with this module all that jobs need of the suite."""
    return __name__


def _on_worker(job: Job, wanted: dict[str, str]) -> Finished | Unfit:
    """Run a job where everything is as the client has it."""
    from distributed import get_worker

    worker = get_worker().address
    for part, fingerprint in wanted.items():
        reason = _difference(job, part, fingerprint)
        if reason:
            return Unfit(part, reason, worker)
    try:
        return attempt(job, open_store().root)
    except FatalError as error:  # this worker's disk, not the codec
        return Unfit(_EVERYTHING, str(error), worker)


def _difference(job: Job, part: str, fingerprint: str) -> str:
    """Why a part on this machine is not what the client has; empty where it is."""
    try:
        found = _fingerprint(*_named_parts(job)[part])
    except BenchError as error:
        return str(error)
    except Exception as error:  # whatever a component of this machine does is no reason to end the run
        return f"{type(error).__name__}: {error}"
    return "" if found == fingerprint else "other code, weights, binary or data than the client's"


def _parts(job: Job) -> dict[str, str]:
    """Fingerprints of all that a job's row depends on, by what a user calls it."""
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
    """The fingerprint of a component with its binary, or of a dataset's sequence, on the machine that asks."""
    component = component_for(base, spec)
    state = checked.availability(component)
    if not state.ok:
        raise BenchError(state.reason)
    if isinstance(component, Dataset):
        return sequence_fingerprint(component, sequence)
    return digest([component_fingerprint(component), state.sha256, code_fingerprint(execute.__name__)])
