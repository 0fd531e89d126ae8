"""A Dask scheduler and its workers as separate processes on loopback, each worker with a cache of its own."""

import errno
import json
import os
import signal
import sys
from collections import deque

import pytest

from bench.errors import BenchError
from bench.files import disk_message
from bench.results.rows import RD_FILE, RUN_FILE, read_rows
from bench.runner import cluster as cluster_lane
from tests.conftest import (
    CODECS,
    TINY_FLAGS,
    endless_codec,
    one_line_error,
    start_run,
    texts,
    wait_for_rows,
    wait_until,
)
from tests.forked import Forked

distributed = pytest.importorskip("distributed")


class Cluster:
    """A scheduler, and workers without a nanny: a killed one stays dead."""

    def __init__(self, folder):
        self.folder, self.workers = folder, []
        where = folder / "scheduler.json"
        flags = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", where)
        self.scheduler = self._start("scheduler", *flags)
        wait_until(lambda: where.exists() and where.read_text().endswith("}"))
        self.address = json.loads(where.read_text())["address"]

    def add_worker(self, **environment):
        number = len(self.workers)
        places = {"BENCH_CACHE": str(self.folder / f"cache-{number}"), **environment}
        flags = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", self.folder / f"work-{number}")
        self.workers.append(self._start("worker", self.address, *flags, **places))

    def _start(self, *arguments, **environment):
        return Forked(_dask, arguments, self.folder, {**os.environ, **environment})

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def _dask(arguments):
    from dask.__main__ import main

    sys.argv = ["dask", *arguments]
    main()


@pytest.fixture
def cluster(tmp_path):
    started = Cluster(tmp_path)
    yield started
    started.stop()


def test_a_cluster_measures_the_rows_of_a_local_run_whatever_dies(cluster, reference, tmp_path):
    """Three workers, of which one is killed; then the client is killed and the run resumed."""
    for _ in range(3):
        cluster.add_worker()
    lane = ("--scheduler", cluster.address)
    process = start_run(tmp_path / "run", tmp_path / "client", *CODECS, lane=lane)
    assert wait_for_rows(tmp_path / "run", 3, process)
    cluster.workers[0].kill()
    assert wait_for_rows(tmp_path / "run", 8, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    process = start_run(tmp_path / "run", tmp_path / "client", *CODECS, lane=lane)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert errors == ""
    assert texts(tmp_path / "run") == texts(reference)
    assert json.loads((tmp_path / "run" / RUN_FILE).read_text())["workers"] == 2


def test_a_worker_that_lacks_a_part_is_no_failing_codec(bench, cluster, tmp_path):
    flags = ("run", *TINY_FLAGS, "--limit", "1", "--codec", "x265", "--scheduler", cluster.address)
    cluster.add_worker(IMAGEIO_FFMPEG_EXE="/no/such/ffmpeg")
    done = bench(*flags, "--out", tmp_path / "none", check=1, environment={"BENCH_CACHE": str(tmp_path / "client")})
    rows = read_rows(tmp_path / "none" / RD_FILE)
    assert {row.status for row in rows} == {"failed"}
    assert all("no worker can run it: codec x265: " in row.reason and "ffmpeg" in row.reason for row in rows)
    assert done.stdout.count("was left out for codec x265") == 1

    cluster.add_worker()
    done = bench(*flags, "--out", tmp_path / "one", environment={"BENCH_CACHE": str(tmp_path / "client")})
    assert {row.status for row in read_rows(tmp_path / "one" / RD_FILE)} == {"ok"}


@pytest.mark.slow
def test_a_codec_that_kills_its_workers_is_one_failed_row(tmp_path, plugin_path):
    """Not forked: from the tests' server, Dask once waited for ever for the worker that it started anew."""
    copy = tmp_path / "deadly.py"
    deadly = "if rate_point == 32: os.kill(os.getpid(), 9)\n        return zlib.compress"
    copy.write_text("import os\n" + plugin_path.read_text().replace("return zlib.compress", deadly))
    flags = ("--limit", "1", "--codec", f"{copy}:Deflate")
    process = start_run(tmp_path / "run", tmp_path / "cache", *flags, lane=("--scheduler", "local:2"), new=True)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1, errors
    states = {row.rate_point: (row.status, row.reason) for row in read_rows(tmp_path / "run" / RD_FILE)}
    status, reason = states.pop("32")
    assert status == "failed" and "worker process died" in reason
    assert {status for status, _ in states.values()} == {"ok"} and len(states) == 3


def test_workers_that_are_gone_for_good_are_started_anew(monkeypatch):
    monkeypatch.setattr(cluster_lane, "_WORKER_SECONDS", 1)
    own = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    with own, distributed.Client(own) as client:
        client.wait_for_workers(1)
        for worker in [*own.workers.values()]:
            client.sync(worker.close)
        wait_until(lambda: not client.nthreads())
        submission = cluster_lane._Submission(client, "local:1")

        def revived():
            submission._fill(deque())
            return client.nthreads()

        wait_until(revived)


def test_a_lost_scheduler_is_one_line_and_keeps_rows(bench, cluster, tmp_path, plugin_path):
    cluster.add_worker()
    flags = ("--codec", endless_codec(tmp_path, plugin_path), "--paradigm", "caas")
    process = start_run(tmp_path / "run", tmp_path / "client", *flags, lane=("--scheduler", cluster.address))
    assert wait_for_rows(tmp_path / "run", 2, process)
    cluster.scheduler.kill()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2 and errors.count("\n") == 1, errors
    assert "is lost" in errors and "--resume" in errors
    assert len(read_rows(tmp_path / "run" / RD_FILE)) == 2


def test_workers_that_cannot_write_are_one_line(bench, cluster, tmp_path):
    """A file where the folder should be stops root too, as a full disk does."""
    (tmp_path / "file").touch()
    cluster.add_worker(BENCH_CACHE=str(tmp_path / "file" / "cache"))
    flags = (*TINY_FLAGS, "--limit", "1", "--codec", "zstd", "--paradigm", "cta", "--scheduler", cluster.address)
    cache = {"BENCH_CACHE": str(tmp_path / "client")}
    done = bench("run", *flags, "--out", tmp_path / "run", check=2, environment=cache)
    one_line_error(done, "no worker is left: ", "cannot write under")
    assert done.stderr.count("--resume") == 1


def test_a_note_on_a_worker_does_not_end_as_the_message_of_a_run_that_stops():
    """The run goes on with the other workers, so the note must not ask for --resume."""
    submission = cluster_lane._Submission(None, "local:2")
    reason = disk_message("cache", OSError(errno.ENOSPC, "No space left on device"))
    submission._leave_out(cluster_lane.Unfit("codec x265", reason, "tcp://10.0.0.1:1"))
    (note,) = submission.notes
    assert note.endswith("was left out for codec x265: cannot write under cache: No space left on device")


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch, capfd):
    monkeypatch.setattr(cluster_lane, "_CONNECT_SECONDS", 1)
    with pytest.raises(BenchError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1: "):
        list(cluster_lane.ClusterLane("tcp://127.0.0.1:1").run([], None))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--scheduler", "somewhere"), ("--scheduler somewhere", "tcp://HOST:PORT")),
        (("--scheduler", "local:2", "--jobs", "2"), ("--jobs", "--scheduler")),
        (("--scheduler", "local:2", "--job-limit", "60"), ("--job-limit", "limit_seconds")),
    ],
)
def test_mistakes_are_one_line(bench, tmp_path, flags, words):
    cache = {"BENCH_CACHE": str(tmp_path / "cache")}
    one_line_error(
        bench("run", *TINY_FLAGS, "--codec", "raw", "--paradigm", "cta", *flags, check=2, environment=cache), *words
    )


def test_dasks_loggers_are_as_before_once_a_run_has_ended():
    import logging

    from bench.runner.cluster import _silent

    logger, handler = logging.getLogger("distributed"), logging.StreamHandler()
    before = [*logger.handlers]
    logger.addHandler(handler)
    with _silent("distributed"):
        assert handler not in logger.handlers
    assert logger.handlers == [*before, handler]
    logger.removeHandler(handler)
