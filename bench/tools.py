"""Runs external programs without a shell, with checked exit codes and time limits, and ends them with this process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, one_line

_OWN = "BENCH_OWN_PROCESS"
# Bytes that a process which works on data of others may have: of memory, and of each file that it writes.
MOST_MEMORY = 16 << 30
_MOST_FILE = 4 << 30
GRACE_SECONDS = 3.0  # time for a program that gets SIGTERM to end its own children
_running: dict[int, subprocess.Popen[bytes]] = {}
_lock = threading.RLock()  # `kill_tools` also runs in signal handlers


def claim_process() -> None:
    """Mark this process and its children as the suite's own, whose global settings the suite may change."""
    os.environ[_OWN] = "1"


def is_own_process() -> bool:
    """Whether this process is the command line, a worker or a decoder, and not a user's own Python process."""
    return _OWN in os.environ


def limit_process() -> None:
    """Limit this process, and each program that it starts, for data of others: memory, files, and no core file."""
    import resource  # not on every system, and few processes are limited

    limits = {resource.RLIMIT_DATA: MOST_MEMORY, resource.RLIMIT_FSIZE: _MOST_FILE, resource.RLIMIT_CORE: 0}
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


def run_tool(
    arguments: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    limit_seconds: float = 3600.0,
    cwd: Path | None = None,
    accept: Sequence[int] = (0,),
) -> tuple[bytes, str]:
    """Run a program and wait for its end.

    The program runs in a new session (process group), so that Ctrl-C reaches only the suite, and `kill_tools` reaches
    the program with its children.

    Parameters
    ----------
    arguments
        The program and its arguments.
    stdin
        Bytes for its standard input; None for no input.
    limit_seconds
        Time after which it is stopped.
    cwd
        Its working folder; by default that of this process.
    accept
        Exit codes that mean success.

    Returns
    -------
    tuple
        Standard output as bytes and standard error as text.

    Raises
    ------
    BenchError
        If it cannot be started, exceeds its time limit or exits with another code; the message then contains the last
        lines of its error output.
    """
    name = Path(arguments[0]).name
    process = start_tool(
        arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd
    )
    try:
        output, errors = process.communicate(stdin, timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        stop_tool(process)
        raise BenchError(f"{name} ran past its limit of {limit_seconds:g} s and was stopped") from None
    except BaseException:
        stop_tool(process)
        raise
    finally:
        with _lock:
            _running.pop(process.pid, None)
    text = errors.decode(errors="replace")
    if process.returncode not in accept:
        said = [line.strip() for line in text.splitlines() if line.strip()]
        said = said or output.decode(errors="replace").splitlines()
        said_last = one_line(" | ".join(said[-3:]))[-400:]
        raise BenchError(f"{name} failed with exit code {process.returncode}: {said_last}")
    return output, text


def start_tool(
    arguments: Sequence[str | Path], *, stdin: int = subprocess.PIPE, stderr: int | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program with a pipe for its standard output; end it with `stop_tool` or `kill_tools`.

    Parameters
    ----------
    arguments
        The program and its arguments.
    stdin, stderr, cwd
        As `subprocess.Popen` takes them.

    Raises
    ------
    BenchError
        If it cannot be started.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes several milliseconds, and few verbs start a program

    def start() -> subprocess.Popen[bytes]:
        # Who wants to end all programs waits for the lock, and so never misses one that has just been started.
        with _lock:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                cwd=cwd,
            )
            _running[process.pid] = process
            return process

    # Signal handlers run in the main thread, so that in another one they cannot come between a program's start and the
    # note of it.
    with ThreadPoolExecutor(1) as starter:
        started = starter.submit(start)
        try:
            return started.result()
        except OSError as error:
            raise BenchError(f"{Path(arguments[0]).name} cannot be started: {error.strerror or error}") from error
        except KeyboardInterrupt:
            if started.exception() is None:
                stop_tool(started.result())
            raise


def stop_tool(process: subprocess.Popen[bytes]) -> None:
    """End a program from `start_tool` and its children."""
    _end([process], GRACE_SECONDS)
    process.communicate()
    with _lock:
        _running.pop(process.pid, None)


@atexit.register
def kill_tools(grace_seconds: float = GRACE_SECONDS) -> None:
    """Stop all programs that this process runs. This also happens when the process exits.

    Parameters
    ----------
    grace_seconds
        Time between SIGTERM, on which a program can end its own children, and SIGKILL.
    """
    with _lock:
        _end([*_running.values()], grace_seconds)


def leave(*_: object, grace_seconds: float = 0) -> None:
    """Stop all programs that this process runs, and exit with code 1; usable as a signal handler."""
    with _lock:  # until the end, so that no other thread starts one more
        kill_tools(grace_seconds)
        os._exit(1)


def follow_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it, with all programs that run here."""
    import multiprocessing  # takes milliseconds, and few processes have a parent to follow

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent.sentinel,), daemon=True).start()


def _leave_after(sentinel: int) -> None:
    from multiprocessing import connection

    connection.wait([sentinel])
    _leave()


def _leave(*_: object) -> None:
    leave(grace_seconds=GRACE_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> None:
    """Send SIGTERM to programs, wait until they end or the time is over, and kill the rest of their sessions."""
    if grace_seconds:
        for process in processes:
            _send(process, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.01)
    for process in processes:
        _send(process, signal.SIGKILL)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@functools.cache
def ffmpeg_binary() -> Path:
    """Path of ffmpeg: the one that IMAGEIO_FFMPEG_EXE names, as a path or a program on PATH, else imageio-ffmpeg's.

    Raises
    ------
    BenchError
        If there is no such program.
    """
    stated = os.environ.get("IMAGEIO_FFMPEG_EXE")
    if stated:
        path = shutil.which(Path(stated).expanduser())
        if path is None:
            raise BenchError(f"IMAGEIO_FFMPEG_EXE={stated}: no such program; give ffmpeg's path, or a name on PATH")
        return Path(path)
    import imageio_ffmpeg

    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise BenchError(f"no ffmpeg: {one_line(str(error))}; IMAGEIO_FFMPEG_EXE may name one") from None
