import errno
import multiprocessing
import os
import platform
import subprocess
import sys
import time

import numpy as np
import pytest

from bench.errors import BenchError
from bench.runner.store import FatalError, MissError, Store, array_bytes, disk_errors, write_atomic
from bench.tools import run_tool

KEY = "ab" + "0" * 62


def test_entries_are_made_once(tmp_path):
    store, made = Store(tmp_path), []

    def make():
        made.append(1)
        return array_bytes(np.arange(5)), {"seconds": 1.5}

    first, again = store.get(KEY, make), store.get(KEY, make)
    assert made == [1]
    assert first == again
    assert first.array().tolist() == [0, 1, 2, 3, 4]
    assert Store(tmp_path, make=False).get(KEY, make) == first
    with pytest.raises(MissError):
        Store(tmp_path, make=False).get("cd" + KEY[2:], make)


@pytest.mark.parametrize("damage", ["data", "facts", "shorter", "gone"])
def test_damaged_entries_are_made_again(tmp_path, damage):
    store = Store(tmp_path)
    store.get(KEY, lambda: (b"0123456789", {}))
    data, facts = next(tmp_path.glob("ab/*.bin")), next(tmp_path.glob("ab/*.json"))
    match damage:
        case "data":
            data.write_bytes(b"012345678X")
        case "shorter":
            data.write_bytes(b"01234")
        case "facts":
            facts.write_text("{")
        case "gone":
            data.unlink()
    assert store.get(KEY, lambda: (b"new", {})).data == b"new"


def _count(arguments):
    root, log = arguments

    def make():
        with open(log, "a") as file:  # noqa: PTH123
            file.write("made\n")
        time.sleep(0.3)
        return b"x", {}

    return Store(root).get(KEY, make).data


def test_two_processes_do_not_make_the_same_entry(tmp_path):
    log = tmp_path / "log"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_count, [(tmp_path / "store", log)] * 3) == [b"x"] * 3
    assert log.read_text() == "made\n"


def test_working_folders_of_the_dead_are_swept(tmp_path):
    store = Store(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    orphan = tmp_path / "scratch" / platform.node() / f"{dead.pid}-abc"
    orphan.mkdir(parents=True)
    elsewhere = tmp_path / "scratch" / "another-machine" / f"{dead.pid}-abc"
    elsewhere.mkdir(parents=True)
    with store.scratch() as mine:
        store.sweep()
        assert mine.exists() and elsewhere.exists() and not orphan.exists()
    assert not mine.exists()


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(FatalError, match="No space left on device; what was measured is kept"), disk_errors(tmp_path):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tools_have_limits_codes_and_last_lines():
    assert run_tool(["/bin/sh", "-c", "cat; echo said >&2"], stdin=b"in") == (b"in", "said\n")
    with pytest.raises(BenchError, match=r"sh failed with exit code 3: two \| three \| four"):
        run_tool(["/bin/sh", "-c", "printf 'one\\ntwo\\nthree\\nfour\\n' >&2; exit 3"])
    with pytest.raises(BenchError, match="cannot be started: No such file"):
        run_tool(["/nowhere/tool"])
    began = time.monotonic()
    with pytest.raises(BenchError, match="past its limit"):
        run_tool(["/bin/sh", "-c", "sleep 60 & wait"], limit_seconds=0.5)
    assert time.monotonic() - began < 50
    assert run_tool(["/bin/sh", "-c", "exit 2"], accept=(0, 2))[0] == b""
