"""Runs jobs on a Dask cluster: the same pure functions as the local pool's, on workers of other machines.

A worker uses the store in its own cache (BENCH_CACHE; a shared folder does for several), and rows and streams come back
to the client. Before it runs a job it checks that it has what the client has: the same code, weights, binary and data.
A worker that lacks something is left out for what it lacks, which is no fault of the codec.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, component_fingerprint, digest
from bench.interfaces import Analyzer, Codec, Component, Dataset, Extractor, Paradigm, Task
from bench.runner import execute
from bench.runner.execute import failed, sequence_fingerprint
from bench.runner.plan import Job, component_for
from bench.runner.pool import Finished, attempt
from bench.runner.store import FatalError, open_store

_CONNECT_SECONDS = 10
_WORKER_SECONDS = 60
_EVERYTHING = "all jobs"


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

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Run jobs on whatever workers there are, also those that come later, and give each as it finishes.

        Raises
        ------
        BenchError
            If the scheduler or its workers cannot be reached, or the scheduler is lost.
        """
        for name in ("distributed", "distributed.client"):  # what matters of their log is said in one line
            logging.getLogger(name).handlers[:] = [logging.NullHandler()]
        with self._client() as client:
            submission = _Submission(client, self.scheduler)
            try:
                yield from submission.work(deque(jobs))
            finally:
                self.workers, self.notes = submission.threads, submission.notes

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        import distributed

        kind, _, count = self.scheduler.partition(":")
        with contextlib.ExitStack() as stack:
            address: object = self.scheduler
            if kind == "local":
                address = stack.enter_context(
                    distributed.LocalCluster(n_workers=int(count), threads_per_worker=1, dashboard_address=None)
                )
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
        from distributed import as_completed

        self.client, self.scheduler = client, scheduler
        self.threads = 0
        self.notes: list[str] = []
        self.unfit: defaultdict[str, dict[str, str]] = defaultdict(dict)  # part -> worker -> why it lacks the part
        self.running: dict[Any, Job] = {}
        self.finished: Any = as_completed([])

    def work(self, waiting: deque[Job]) -> Iterator[Finished]:
        """Run all jobs; those whose workers died are run once more, each alone, since another may have killed them."""
        suspects: list[Job] = []
        yield from self._together(waiting, suspects)
        for job in suspects:
            guilty: list[Job] = []
            yield from self._together(deque([job]), guilty)
            if guilty:
                yield Finished(job, failed(job, "its worker process died each time (killed, or out of memory)"))

    def _together(self, waiting: deque[Job], suspects: list[Job]) -> Iterator[Finished]:
        """Submit what waits until all has come back; jobs whose workers died too often go to `suspects`."""
        while waiting or self.running:
            workers = self.client.nthreads()
            self.threads = max(self.threads, sum(workers.values()))
            while waiting and len(self.running) < 2 * max(1, sum(workers.values())):
                refusal = self._submit(waiting[0], set(workers))
                job = waiting.popleft()
                if refusal:
                    yield Finished(job, failed(job, refusal))
            if self.running:
                future = next(self.finished)
                job = self.running.pop(future)
                answer = self._answer(future, job)
                if answer is None:
                    suspects.append(job)
                elif isinstance(answer, Unfit):
                    self._leave_out(answer)
                    waiting.appendleft(job)
                else:
                    yield answer

    def _submit(self, job: Job, workers: set[str]) -> str:
        """Send a job to the workers that fit; why it cannot be run where none does."""
        parts = _parts(job)
        lacking = {worker: why for part in (*parts, _EVERYTHING) for worker, why in self.unfit[part].items()}
        fitting = workers - lacking.keys()
        if workers and not fitting:
            return f"no worker can run it: {'; '.join(sorted({lacking[worker] for worker in workers}))}"
        # A fitting worker may be lost before the job starts, so others may try it: they check again.
        restricted = {"workers": sorted(fitting), "allow_other_workers": True} if lacking else {}
        future = self.client.submit(_on_worker, job, parts, pure=False, **restricted)
        self.running[future] = job
        self.finished.add(future)
        return ""

    def _answer(self, future: Any, job: Job) -> Finished | Unfit | None:
        """What came of a job; nothing where its worker died each time that it was tried."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker:
            return None
        except (ImportError, AttributeError, TypeError) as error:  # the worker could not even load the job
            text = f"a worker cannot load the job ({type(error).__name__}: {error}); is the same suite installed there?"
            return Finished(job, failed(job, text))
        except BaseException as error:
            if future.status == "error" or isinstance(error, KeyboardInterrupt):
                raise
            raise BenchError(
                f"the scheduler {self.scheduler} is lost; what was measured is kept, go on with --resume"
            ) from None

    def _leave_out(self, answer: Unfit) -> None:
        known = self.unfit[answer.part]
        if answer.worker not in known:
            self.notes.append(f"worker {answer.worker} was left out for {answer.part}: {answer.reason}")
        known[answer.worker] = f"{answer.part}: {answer.reason}"


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
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
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
    state = component.available()
    if not state.ok:
        raise BenchError(state.reason)
    if isinstance(component, Dataset):
        return sequence_fingerprint(component, sequence)
    return digest([component_fingerprint(component), state.sha256, code_fingerprint(execute.__name__)])
