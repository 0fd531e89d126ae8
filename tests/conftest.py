"""Shared fixtures: a cache of the tests' own, the command line in a process, and a tiny grid."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.runner.results import RD_FILE, read_rows

# Eight small scenes, 121 spike frames: everything that the default data has, in a second.
TINY = "s-motion:size=32,num_spikes=121"
CODECS = ["--codec", "x265,zstd,raw", "--paradigm", "cta,atc,caas"]
TINY_FLAGS = ["--dataset", TINY, "--frames", "8", "--limit", "2", "--extractor", "tfp", "--no-figures"]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep the tests out of the user's cache; their child processes too."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["BENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture
def bench(tmp_path):
    """Run the command line in a process of its own; gives the finished process."""

    def run(*arguments, check=0, cwd=tmp_path, environment=None, timeout=240):
        done = subprocess.run(
            [sys.executable, "-c", "from bench.cli import main; main()", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            check=False,
        )
        assert check is None or done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def one_line_error(done, *words):
    """Check that a process ended as a user's error does: exit code 2, one line, no traceback."""
    assert done.returncode == 2, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr.startswith("bench: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, f"'{word}' not in: {done.stderr}"


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """An unbroken run of the tiny grid, with one worker."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    command = [sys.executable, "-c", "from bench.cli import main; main()", "run", *TINY_FLAGS, *CODECS]
    subprocess.run([*command, "--jobs", "1", "--out", str(folder)], check=True, capture_output=True)
    return folder


def texts(folder):
    """The cells of a run's table."""
    with (folder / RD_FILE).open() as file:
        return list(csv.reader(file))


def start_run(folder, cache, *flags, lane=("--jobs", "2")):
    """Start a run of the tiny grid, or go on with it, in a session of its own."""
    resume = ["--resume"] if (folder / RD_FILE).exists() else []
    # Tests may themselves run where Ctrl-C is ignored (in the background), and children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom bench.cli import main; main()"
    command = [sys.executable, "-c", code, "run", *TINY_FLAGS, *flags, *resume]
    return subprocess.Popen(
        [*command, *lane, "--out", str(folder)],
        env={**os.environ, "BENCH_CACHE": str(cache)}, start_new_session=True,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def rows_done(folder):
    """How many points of a run are measured."""
    path = folder / RD_FILE
    return sum(row.status == "ok" for row in read_rows(path)) if path.exists() else 0


def wait_for_rows(folder, count, process):
    """Wait until so many points are measured, or the run has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / RD_FILE).exists() and (done := rows_done(folder)) >= count:
            return done
        time.sleep(0.05)
    return None


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
