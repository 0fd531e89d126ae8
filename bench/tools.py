"""Runs external programs: argument lists, no shell, checked return codes, time limits, no orphans."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, one_line

_running: set[int] = set()
_lock = threading.RLock()  # `kill_tools` also runs in signal handlers


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
        _kill(process.pid)
        process.communicate()
        raise BenchError(f"{name} ran past its limit of {limit_seconds:g} s and was stopped") from None
    except BaseException:
        _kill(process.pid)
        process.communicate()
        raise
    finally:
        with _lock:
            _running.discard(process.pid)
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
        _running.add(process.pid)
    return process


def stop_tool(process: subprocess.Popen[bytes]) -> None:
    """End a program that was started, with its children."""
    _kill(process.pid)
    process.communicate()
    with _lock:
        _running.discard(process.pid)


@atexit.register
def kill_tools() -> None:
    """Stop every program that this process has running; done when it ends, too."""
    with _lock:
        for pid in _running:
            _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
