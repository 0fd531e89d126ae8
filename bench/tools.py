"""Runs external programs: argument lists, no shell, checked return codes, time limits, no orphans."""

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
_GRACE_SECONDS = 3.0  # for a program that was told to end to end its own
_running: dict[int, subprocess.Popen[bytes]] = {}
_lock = threading.RLock()  # `kill_tools` also runs in signal handlers


def claim_process() -> None:
    """Say that this process is the suite's own, as are those that it starts: no user's, whose settings stay."""
    os.environ[_OWN] = "1"


def is_own_process() -> bool:
    """Whether this is the command line, a worker or a decoder, and no Python session of a user."""
    return _OWN in os.environ


def run_tool(
    arguments: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    limit_seconds: float = 3600.0,
    cwd: Path | None = None,
    accept: Sequence[int] = (0,),
) -> tuple[bytes, str]:
    """Run a program to its end.

    The program gets a session of its own, so that Ctrl-C reaches the suite alone and `kill_tools` reaches the
    program with its children.

    Parameters
    ----------
    stdin
        Bytes for standard input.
    accept
        Exit codes that count as success.

    Returns
    -------
    tuple
        Standard output as bytes and standard error as text.

    Raises
    ------
    BenchError
        If it cannot be started, runs past its limit or exits non-zero; the last lines of its error output
        are in the message.
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
    """Start a program whose standard output is read; `stop_tool` and `kill_tools` end it.

    Raises
    ------
    BenchError
        If it cannot be started.
    """
    try:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            cwd=cwd,
        )
    except OSError as error:
        raise BenchError(f"{Path(arguments[0]).name} cannot be started: {error.strerror or error}") from error
    with _lock:
        _running[process.pid] = process
    return process


def stop_tool(process: subprocess.Popen[bytes]) -> None:
    """End a program that was started, with its children."""
    _end([process], _GRACE_SECONDS)
    process.communicate()
    with _lock:
        _running.pop(process.pid, None)


@atexit.register
def kill_tools(grace_seconds: float = _GRACE_SECONDS) -> None:
    """Stop every program that this process has running; done when it ends, too.

    Parameters
    ----------
    grace_seconds
        How long they have to end programs that they started themselves.
    """
    with _lock:
        _end([*_running.values()], grace_seconds)


def leave(*_: object) -> None:
    """End this process and every program that it has running, at once; for signals' handlers."""
    kill_tools(grace_seconds=0)
    os._exit(1)


def _end(processes: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> None:
    """Tell programs to end, and kill what is left of their sessions when they have, or after a while."""
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
    """The ffmpeg that IMAGEIO_FFMPEG_EXE names, by its path or as a program on PATH; else that of imageio-ffmpeg.

    Raises
    ------
    BenchError
        If there is none.
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
