"""Shared fixtures: a cache of the tests' own, the command line in a process, and a tiny grid."""

import csv
import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from bench.results.rows import RD_FILE, read_rows
from tests.forked import Forked, command_line

# Eight small scenes, 121 spike frames: everything that the default data has, in a second.
TINY = "s-motion:size=32,num_spikes=121"
CODECS = ["--codec", "x265,zstd,raw", "--paradigm", "cta,atc,caas"]
TINY_FLAGS = ["--dataset", TINY, "--frames", "8", "--limit", "2", "--extractor", "tfp", "--no-figures"]


# Before torch is imported here or in a process that starts here: the machine's cores are for pytest's workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all of pytest's workers share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def cache(shared):
    """Keep the tests out of the user's cache; their child processes too."""
    folder = shared / "cache"
    os.environ["BENCH_CACHE"] = str(folder)
    return folder


def run_bench(*arguments, check=0, cwd=None, environment=None, timeout=1800):
    """Run the command line in a process of its own; gives the finished process.

    It is forked from one that has imported the suite (see tests/forked.py).
    """
    process = Forked(command_line, arguments, cwd, {**os.environ, **(environment or {})})
    done = subprocess.CompletedProcess(arguments, process.wait(timeout), *process.communicate())
    assert check is None or done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def bench(tmp_path):
    """`run_bench` in the test's folder."""
    return functools.partial(run_bench, cwd=tmp_path)


def one_line_error(done, *words):
    """Check that a process ended as a user's error does: exit code 2, one line, no traceback."""
    assert done.returncode == 2, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr.startswith("bench: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, f"'{word}' not in: {done.stderr}"


@pytest.fixture(scope="session")
def reference(shared, cache):
    """An unbroken run of the tiny grid, with one worker."""
    folder, whole = shared / "reference" / "run", shared / "reference.done"
    with FileLock(shared / "reference.lock"):
        if not whole.exists():
            run_bench("run", *TINY_FLAGS, *CODECS, "--jobs", "1", "--out", folder)
            whole.touch()
    return folder


def texts(folder):
    """The cells of a run's table."""
    with (folder / RD_FILE).open() as file:
        return list(csv.reader(file))


# Tests may themselves run where Ctrl-C is ignored (in the background), and children inherit that.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def start_run(folder, cache, *flags, lane=("--jobs", "2"), new=False):
    """Start a run of the tiny grid, or go on with it; with `new`, in a process that is not forked from ours."""
    resume = ["--resume"] if (folder / RD_FILE).exists() else []
    arguments = ["run", *TINY_FLAGS, *flags, *resume, *lane, "--out", str(folder)]
    environment = {**os.environ, "BENCH_CACHE": str(cache)}
    if not new:
        return Forked(command_line, arguments, environment=environment)
    code = f"{INTERRUPTIBLE}\nfrom bench.cli.program import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def rows_done(folder):
    """How many points of a run are measured."""
    path = folder / RD_FILE
    return sum(row.status == "ok" for row in read_rows(path)) if path.exists() else 0


def wait_for_rows(folder, count, process):
    """Wait until so many points are measured, or the run has ended."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / RD_FILE).exists() and (done := rows_done(folder)) >= count:
            return done
        time.sleep(0.05)
    return None


def wait_until(holds):
    """Wait until something holds."""
    deadline = time.monotonic() + 600
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert holds()


def endless_codec(folder, plugin_path, before="pass"):
    """Write a codec that measures its first rate point of each sequence, and at the next never ends."""
    path = folder / "endless.py"
    body = f"{before}\n        if rate_point != 16: time.sleep(3600)\n        return zlib.compress"
    path.write_text("import os, time\n" + plugin_path.read_text().replace("return zlib.compress", body))
    return f"{path}:Deflate"


@pytest.fixture
def one_thread():
    """Let torch compute with one thread, whatever other tests set."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def moving():
    """K x H x W float32 frames of a smooth texture in motion."""

    def make(count=9, height=64, width=72, seed=0):
        rows, columns = np.mgrid[0:height, 0:width]
        random = np.random.default_rng(seed)
        frames = [
            0.5 + (np.sin((rows + 2 * k) / 7) + np.cos((columns - k) / 5)) / 5 + 0.01 * random.random((height, width))
            for k in range(count)
        ]
        return np.clip(np.stack(frames), 0, 1).astype(np.float32)

    return make


@pytest.fixture
def spikes(moving):
    """T x H x W uint8 spikes of a simulated camera."""
    from bench.spikes import simulate

    return lambda count=60, height=32, width=40: simulate(
        np.repeat(moving(1, height, width), count, axis=0), rate=0.6, seed=3
    )


@pytest.fixture
def plugin_path():
    """The plugin's source file, for the form path.py:Class."""
    return Path(__file__).parent / "plugin" / "spikebench_deflate.py"
