import errno
import math
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.files import FatalError, disk_errors, whole_file, write_atomic
from bench.runner.cache import DAY, parts, prune
from bench.runner.locks import locked, take_lock
from bench.runner.store import MissError, Store, array_bytes
from bench.tools import run_tool
from tests.conftest import one_line_error

KEY = "ab" + "0" * 62


def test_entries_are_made_once(tmp_path):
    store, calls = Store(tmp_path), []

    def make():
        calls.append(1)
        return array_bytes(np.arange(5)), {"seconds": 1.5}

    first, again = store.get(KEY, make), store.get(KEY, make)
    assert calls == [1]
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


def test_working_folders_go_with_their_process(tmp_path):
    """Told by locks, not by numbers: a process with the number 1 elsewhere may be dead here, or the other way round."""
    store = Store(tmp_path)
    code = (
        "import pathlib, sys; from bench.runner.store import Store\n"
        "print(Store(pathlib.Path(sys.argv[1])).make_scratch(), flush=True); sys.stdin.read()"
    )
    alive = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    theirs = Path(alive.stdout.readline().strip())
    (theirs / "file").touch()
    with store.scratch() as mine:
        store.sweep()
        assert mine.is_dir() and theirs.is_dir()
        alive.kill()
        alive.communicate()
        store.sweep()
        assert mine.is_dir() and not theirs.exists()
    assert [*mine.parent.iterdir()] == []  # no lock is left


def test_locks_leave_no_file_and_are_held_once(tmp_path):
    """Many threads: whoever waits for a lock whose file is removed meanwhile takes note of that."""
    inside, most = [], []

    def work(_):
        with locked(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(64)))
    assert most == [1] * 64
    store = Store(tmp_path / "store")
    store.get(KEY, lambda: (b"x", {}))
    assert not (tmp_path / "lock").exists() and [*(tmp_path / "store" / "locks").iterdir()] == []
    first = take_lock(tmp_path / "lock")
    assert take_lock(tmp_path / "lock", wait=False) is None
    first.release()


def test_pruning_keeps_what_was_used_last(tmp_path):
    """By age, then by size; and what is pruned beside a run is made again."""
    root = tmp_path / "store"
    store, keys = Store(root), [f"{index:02x}" + "0" * 62 for index in range(4)]
    for index, key in enumerate(keys):
        store.get(key, lambda: (bytes(1000), {}))
        for path in root.glob(f"{key[:2]}/*"):
            os.utime(path, (time.time() - index * 10 * DAY,) * 2)
    store.get(keys[3], lambda: pytest.fail("made again"))  # 30 days old, and now used
    old_lock = root / "locks" / "of-an-earlier-version"
    old_lock.touch()
    os.utime(old_lock, (0, 0))

    def there():
        return [key for key in keys if (root / key[:2] / f"{key}.bin").exists()]

    removed, freed = prune(store, 15, math.inf)
    assert removed == 1 and freed > 1000
    assert there() == [keys[0], keys[1], keys[3]] and not old_lock.exists()
    prune(store, math.inf, 2.5 * freed)
    assert there() == [keys[0], keys[3]]
    prune(store, 0, math.inf)
    assert there() == []
    assert store.get(keys[0], lambda: (b"anew", {})).data == b"anew"
    (part,) = parts(tmp_path)
    assert (part.name, part.files) == ("store", 2)


def test_the_cache_is_shown_and_pruned(bench, tmp_path):
    environment = {"BENCH_CACHE": str(tmp_path / "cache")}
    Store(tmp_path / "cache" / "store").get(KEY, lambda: (bytes(5000), {}))
    assert "store" in bench("cache", environment=environment).stdout
    one_line_error(bench("cache", "--prune", check=2, environment=environment), "--days")
    one_line_error(bench("cache", "--days", "3", check=2, environment=environment), "--prune")
    assert "removed 0 stored" in bench("cache", "--prune", "--days", "1", environment=environment).stdout
    assert "removed 1 stored results, 5 KiB" in bench("cache", "--prune", "--gib", "0", environment=environment).stdout


def test_files_have_the_permissions_that_the_umask_says(tmp_path, monkeypatch):
    def refuse(*_, **__):  # as file systems without permissions do
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    before = os.umask(0o002)
    try:
        write_atomic(tmp_path / "file", b"x")
        Store(tmp_path / "store").get(KEY, lambda: (b"x", {}))
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o664}


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    with pytest.raises(FatalError, match="No space left on device; what was measured is kept"), disk_errors(tmp_path):
        _write_on_a_full_disk(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _write_on_a_full_disk(path):
    with whole_file(path) as file:
        file.write(b"new")
        raise OSError(errno.ENOSPC, "No space left on device")


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
