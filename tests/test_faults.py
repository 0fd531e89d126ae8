"""Runs whose machine, encoders or users misbehave, in processes of their own."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.results.rows import RD_FILE, read_rows
from bench.spikes import write_dat
from tests.conftest import (
    CODECS,
    INTERRUPTIBLE,
    TINY,
    TINY_FLAGS,
    endless_codec,
    one_line_error,
    rows_done,
    start_run,
    texts,
    wait_for_rows,
    wait_until,
)
from tests.forked import Forked, command_line

# What the tests of one fault each measure of the grid.
PART = ["--codec", "x265", "--paradigm", "caas"]


def _part(reference):
    """The cells of the rows of `PART` in an unbroken run."""
    head, *lines = texts(reference)
    codec, paradigm = head.index("codec"), head.index("paradigm")
    return [head, *(line for line in lines if (line[codec], line[paradigm]) == ("x265", "caas"))]


def _completes(folder, cache, reference):
    process = start_run(folder, cache, *CODECS)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert texts(folder) == texts(reference)


@pytest.mark.slow
def test_killed_runs_go_on_where_they_stopped(reference, tmp_path):
    """kill -9 at several moments, then --resume: the rows of an unbroken run, none lost or doubled."""
    folder, cache = tmp_path / "killed", tmp_path / "cache"
    count = 0
    for rows in (0, 1, 8, 15):
        process = start_run(folder, cache, *CODECS)
        assert wait_for_rows(folder, rows, process) is not None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = rows_done(folder)
        assert now >= count
        count = now
    assert count >= 15
    _completes(folder, cache, reference)


def test_interrupting_keeps_rows_and_leaves_no_worker(tmp_path, plugin_path):
    folder, busy = tmp_path / "run", tmp_path / "busy"
    busy.mkdir()
    spec = endless_codec(tmp_path, plugin_path, f"open(f'{busy}/{{os.getpid()}}', 'w')")
    process = start_run(folder, tmp_path / "cache", "--codec", spec, "--paradigm", "caas")
    wait_until(lambda: len(list(busy.iterdir())) == 2 and rows_done(folder) == 2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert errors == "bench: interrupted; what was measured is kept, `--resume` goes on from there\n"
    assert len(read_rows(folder / RD_FILE)) == 2
    workers = {int(path.name) for path in busy.iterdir()}
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_two_runs_in_one_folder_are_told_apart(bench, tmp_path):
    from bench.runner.locks import locked

    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder / ".lock"):
        one_line_error(bench("run", *TINY_FLAGS, "--out", folder, check=2), "another run is writing to")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("full", [pytest.param("results", marks=pytest.mark.slow), "cache"])
def test_a_full_disk_is_one_line_and_keeps_rows(reference, bench, tmp_path, small_disk, full):
    """The run's folder or the store fills up in the middle of a run; freed, --resume completes it."""
    places = {"results": tmp_path / "results", "cache": tmp_path / "cache", full: small_disk / "here"}
    ballast = small_disk / "ballast"
    # Room for some streams and rows, or for the first entries of the store, but not for all.
    ballast.write_bytes(bytes((2048 - (60 if full == "results" else 900)) * 1024))
    environment = {"BENCH_CACHE": str(places["cache"])}
    flags = ["run", *TINY_FLAGS, *CODECS, "--out", places["results"], "--jobs", "2"]
    done = bench(*flags, check=2, environment=environment)
    one_line_error(done, "No space left on device", "--resume")
    rows = [row for row in read_rows(places["results"] / RD_FILE) if row.status == "ok"]
    assert len(rows) < 28
    ballast.unlink()
    bench(*flags, "--resume", environment=environment)
    assert texts(places["results"]) == texts(reference)


def test_a_worker_that_dies_costs_its_own_row_alone(bench, tmp_path, plugin_path):
    copy = tmp_path / "deadly.py"
    deadly = "if rate_point == 32: os.kill(os.getpid(), 9)\n        return zlib.compress"
    copy.write_text("import os\n" + plugin_path.read_text().replace("return zlib.compress", deadly))
    flags = [*TINY_FLAGS, "--limit", "1", "--out", tmp_path / "run", "--jobs", "2"]
    bench("run", *flags, "--codec", f"{copy}:Deflate", check=1)
    states = {row.rate_point: (row.status, row.reason) for row in read_rows(tmp_path / "run" / RD_FILE)}
    assert states.pop("32") == ("failed", "the worker process died (killed, or out of memory)")
    assert {status for status, _ in states.values()} == {"ok"} and len(states) == 3


_COMPRESS, _DECOMPRESS = "return zlib.compress", "steps = np.frombuffer"


def _endless(folder, plugin_path, place, seconds):
    """A codec that waits for a program when it comes to a place; `seconds` tell the program from others."""
    text = plugin_path.read_text().replace(place, f"run_tool(['sleep', '{seconds}'])\n        {place}")
    path = folder / "endless.py"
    path.write_text("from bench.tools import run_tool\n" + text)
    return f"{path}:Deflate"


def _running(seconds):
    """Whether a program runs; one that has ended, and that nobody has asked about yet, has no command line any more."""
    return bool(subprocess.run(["pgrep", "-f", f"sleep {seconds}"], capture_output=True, check=False).stdout)


@pytest.mark.parametrize("place", [_COMPRESS, _DECOMPRESS])
def test_programs_do_not_outlive_a_killed_run(tmp_path, plugin_path, place):
    seconds = f"987.{os.getpid()}"
    codec = _endless(tmp_path, plugin_path, place, seconds)
    process = start_run(tmp_path / "run", tmp_path / "cache", "--codec", codec, new=True)
    wait_until(lambda: _running(seconds))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not _running(seconds))


_SLOW_START = """
import signal, subprocess, sys, time
from bench import tools

class Slow(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print("started", flush=True)
        time.sleep(2)

subprocess.Popen = Slow
signal.signal(signal.SIGTERM, tools.leave)
tools.run_tool(["sleep", sys.argv[1]])
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_program_does_not_outlive_a_stop_that_comes_while_it_starts(stop):
    seconds = f"986.{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE + _SLOW_START, seconds], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout.readline()
    process.send_signal(stop)
    process.communicate()
    assert not _running(seconds)


ENDED = ("bench: interrupted\n", "bench: interrupted; what was measured is kept, `--resume` goes on from there\n")


@pytest.mark.parametrize(
    ("verb", "place", "stop"),
    [
        ("encode", _COMPRESS, signal.SIGTERM),
        ("decode", _DECOMPRESS, signal.SIGHUP),
        ("conform", _COMPRESS, signal.SIGHUP),
        # A program below a process that the verb started, as under verify.
        pytest.param("profile", _COMPRESS, signal.SIGTERM, marks=pytest.mark.slow),
        ("verify", _DECOMPRESS, signal.SIGTERM),
        ("run", _COMPRESS, signal.SIGTERM),
    ],
)
def test_programs_do_not_outlive_a_verb_that_is_told_to_end(bench, tmp_path, plugin_path, spikes, verb, place, stop):
    seconds = f"98{'edcpvr'.index(verb[0])}.{os.getpid()}"
    write_dat(tmp_path / "rec.dat", spikes(97, 24, 32))
    encode = ["encode", "rec.dat", "--size", "32x24", "--extractor", "tfp", "-o", "s.spk", "--codec"]
    grid = [*TINY_FLAGS, "--limit", "1", "--rates", "8", "--paradigm", "caas", "--out", "r", "--codec"]
    if verb == "decode":
        bench(*encode, f"{plugin_path}:Deflate")
    if verb == "verify":  # a run whose codec becomes slow afterwards
        bench("run", *grid, _endless(tmp_path, plugin_path, place, "0"))
    codec = _endless(tmp_path, plugin_path, place, seconds)
    command = {
        "encode": [*encode, codec],
        "decode": ["decode", "s.spk", "-o", "s.npy", "--raw", "--codec", codec],
        "conform": ["conform", codec],
        "profile": ["profile", "--codec", codec, "--extractor", "tfp", "--paradigm", "cta", "--dataset", TINY],
        "verify": ["verify", "r", "--trust"],
        "run": ["run", *grid, codec],
    }[verb]
    # Tests may themselves run where such signals are ignored.
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\nfrom bench.cli.program import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_until(lambda: _running(seconds))
    process.send_signal(stop)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2 and errors.endswith(ENDED[verb == "run"]), errors
    wait_until(lambda: not _running(seconds))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_runs_stopped_at_twenty_random_moments(reference, tmp_path, stop):
    """Each stop is followed by --resume; what was kept grows, and the rows at last are those of an unbroken run."""
    folder, cache = tmp_path / "run", tmp_path / "cache"
    moments, count = np.random.default_rng(7), 0
    for _ in range(20):
        process = start_run(folder, cache, *CODECS, new=True)
        time.sleep(moments.uniform(0.2, 8))
        os.kill(process.pid, stop)
        _, errors = process.communicate(timeout=600)
        assert "Traceback" not in errors, errors
        assert process.returncode in (-stop, 0, 2)
        now = rows_done(folder)
        assert now >= count
        count = now
        if count == 28:  # all is measured: from the start
            shutil.rmtree(folder), shutil.rmtree(cache)
            count = 0
    _completes(folder, cache, reference)


def _fake_ffmpeg(folder, body):
    """A program in ffmpeg's place; `$FFMPEG` is the real one."""
    import imageio_ffmpeg

    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\nFFMPEG={imageio_ffmpeg.get_ffmpeg_exe()}\n{body}\n")
    path.chmod(0o755)
    return {"IMAGEIO_FFMPEG_EXE": str(path), "BENCH_CACHE": str(folder / "cache")}


ENCODING = 'case "$*" in *libx264*rawvideo*|*rawvideo*libx264*) ;; *) exec "$FFMPEG" "$@" ;; esac\n'


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("sleep 600", "ran past its limit of 2 s"),
        ("kill -SEGV $$", "failed with exit code -11"),
        ("echo out of codewords >&2; exit 3", "exit code 3: out of codewords"),
        ('"$FFMPEG" "$@" | head -c 100', ""),
        ("exit 0", "counts no frames"),
    ],
)
def test_an_encoder_that_misbehaves_is_a_failed_row_with_its_reason(bench, tmp_path, fault, reason):
    environment = _fake_ffmpeg(tmp_path, ENCODING + fault)
    flags = ("run", *TINY_FLAGS, "--limit", "1", "--rates", "45", "--out", tmp_path / "run", "--jobs", "1")
    limit = ":limit_seconds=2" if "limit" in reason else ""
    bench(*flags, "--codec", f"x264{limit}", check=1, environment=environment)
    (row,) = read_rows(tmp_path / "run" / RD_FILE)
    assert row.status == "failed" and reason in row.reason, row.reason
    assert not (tmp_path / "run" / "errors.log").exists()  # no bug of the suite


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while True: pass", "the job ran past its limit of 2 s and was stopped"),
        ("raise MemoryError", "out of memory"),
    ],
)
def test_a_codec_in_python_that_misbehaves_is_a_failed_row_too(bench, tmp_path, plugin_path, body, reason):
    copy = tmp_path / "wrong.py"
    copy.write_text(plugin_path.read_text().replace("return zlib.compress", f"{body}\n        return zlib.compress"))
    flags = ("run", *TINY_FLAGS, "--limit", "1", "--rates", "8", "--out", tmp_path / "run")
    limit = ("--job-limit", "2") if "limit" in reason else ()
    bench(*flags, *limit, "--codec", f"{copy}:Deflate", check=1)
    (row,) = read_rows(tmp_path / "run" / RD_FILE)
    assert row.status == "failed" and reason in row.reason


HUNGRY = """
from spikebench_deflate import Deflate
class Encodes(Deflate):
    def compress(self, *given): raise MemoryError("Unable to allocate 9 TiB")
class Looks(Deflate):
    def available(self): raise MemoryError
"""


def test_out_of_memory_in_the_verb_itself_is_one_line(bench, tmp_path, plugin_path, spikes):
    (tmp_path / "hungry.py").write_text(HUNGRY)
    write_dat(tmp_path / "a.dat", spikes(60, 24, 32))
    environment = {"PYTHONPATH": f"{plugin_path.parent}:{os.environ.get('PYTHONPATH', '')}"}
    camera = ["encode", "a.dat", "--size", "32x24", "--extractor", "tfp", "-o", "x.spk"]
    done = bench(*camera, "--codec", "hungry.py:Encodes", check=None, environment=environment)
    one_line_error(done, "bench: out of memory: Unable to allocate 9 TiB")
    run = ["run", *TINY_FLAGS, "--out", "run"]
    done = bench(*run, "--codec", "hungry.py:Looks", check=None, environment=environment)
    one_line_error(done, "bench: out of memory")


def test_a_disk_that_is_read_only_is_one_line(reference, bench, tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    flags = ("run", *TINY_FLAGS, *CODECS)
    one_line_error(bench(*flags, "--out", small_disk / "run", check=2), "Read-only file system")
    away = {"BENCH_CACHE": str(small_disk / "cache")}
    one_line_error(bench(*flags, "--out", tmp_path / "run", check=2, environment=away), "Read-only file system")
    one_line_error(bench("report", reference, "--out", small_disk / "report", check=2), "Read-only file system")


def test_a_damaged_store_changes_nothing(reference, bench, tmp_path):
    """Every entry cut, emptied, or with a byte turned: the same rows, from stages that run again."""
    cache = {"BENCH_CACHE": str(tmp_path / "cache")}
    bench("run", *TINY_FLAGS, *PART, "--out", tmp_path / "one", environment=cache)
    damage = np.random.default_rng(3)
    entries = [path for path in Path(tmp_path, "cache", "store").glob("??/*") if path.is_file()]
    assert len(entries) > 20
    for path in entries:
        data = bytearray(path.read_bytes())
        data[damage.integers(len(data))] ^= 1 << int(damage.integers(8))
        path.write_bytes([b"", data[: len(data) // 2], data][damage.integers(3)])
    bench("run", *TINY_FLAGS, *PART, "--out", tmp_path / "two", environment=cache)
    assert texts(tmp_path / "two") == _part(reference)


def _back_in_time(arguments):
    past = itertools.count(time.time(), -3600)
    time.time = lambda: next(past)
    command_line(arguments)


def test_a_clock_that_jumps_changes_nothing(reference, tmp_path):
    """The wall clock goes back by hours with every look at it: no measure, limit or lock hangs on it."""
    flags = ("run", *TINY_FLAGS, *PART, "--jobs", "2", "--out", tmp_path / "run")
    process = Forked(_back_in_time, flags, environment={**os.environ, "BENCH_CACHE": str(tmp_path / "cache")})
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert texts(tmp_path / "run") == _part(reference)
