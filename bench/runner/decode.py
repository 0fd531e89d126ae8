"""Fresh processes that decode streams; the input of each is the stream's file and nothing else.

Importing torch takes longer than decoding a short stream. Therefore a server, ``python -m bench.runner.decode``, forks
a decoder for each stream. The server imports the modules that earlier decoders needed, but it never reads a stream or
weights and never creates a codec, so nothing passes from one decoder to the next.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, one_line
from bench.files import write_atomic
from bench.interfaces import Decoded, unpack_stream
from bench.registry import codec_for_stream
from bench.runner.store import array_bytes
from bench.tools import claim_process, leave, start_tool, stop_tool


def decode_fresh(
    stream: bytes, folder: Path, codec: str = "", limit_seconds: float = 4 * 3600.0
) -> tuple[Decoded, str]:
    """Decode a stream in a new process whose only input is the stream's file.

    Parameters
    ----------
    stream
        One container.
    folder
        An empty working folder.
    codec
        Spec of the codec on this machine (`bench.registry.codec_for_stream`); by default the stream's header names it.
    limit_seconds
        Time after which the decoder is stopped.

    Returns
    -------
    tuple
        The frames, and their SHA-256 as computed by that process.

    Raises
    ------
    BenchError
        If the stream cannot be decoded, or the decoder dies or exceeds its time.
    OSError
        If the decoder cannot read or write a file.
    """
    source, target = (folder / "stream.spk").absolute(), (folder / "decoded").absolute()
    write_atomic(source, stream)
    # The server may have been started with another working folder and environment than this process has now.
    request = {
        "arguments": [str(source), str(target), codec],
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    found = _ask(request, limit_seconds)
    if "ended" in found:
        log = folder / "decoded.log"
        said = log.read_text(errors="replace").splitlines() if log.exists() else []
        code = found["ended"]
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise BenchError(f"the decoder ended with {end}: {one_line(' | '.join(said[-3:]))[-400:]}")
    if "disk" in found:
        raise OSError(found["disk"], found["error"], str(folder))
    if "error" in found:
        raise BenchError(str(found["error"]))
    motion = folder / "decoded.motion.npy"
    frames = np.load(folder / "decoded.npy", allow_pickle=False)
    return Decoded(frames, np.load(motion, allow_pickle=False) if motion.exists() else None), found["sha256"]


_mine = threading.local()  # the server of each thread


def _server() -> subprocess.Popen[bytes]:
    """The server of this thread, which is started if there is none."""
    if not hasattr(_mine, "server"):
        _mine.server = start_server()
    return _mine.server


def start_server() -> subprocess.Popen[bytes]:
    """Start a server; it ends when its standard input is closed."""
    # -P: the process must not import modules that happen to lie in the working folder.
    return start_tool([sys.executable, "-P", "-m", "bench.runner.decode"])


def close_server() -> None:
    """End the server of this thread; the thread's next stream starts a new one."""
    if hasattr(_mine, "server"):
        stop_tool(_mine.server)
        del _mine.server


def _ask(request: dict[str, Any], limit_seconds: float) -> dict[str, Any]:
    """Send a request to the server and wait for its answer."""
    server = _server()
    assert server.stdin is not None and server.stdout is not None  # noqa: S101 -- `start_tool` makes both
    try:
        with contextlib.suppress(BrokenPipeError):
            server.stdin.write(json.dumps(request).encode() + b"\n")
            server.stdin.flush()
        if not connection.wait([server.stdout], timeout=limit_seconds):  # type: ignore[list-item]
            raise BenchError(f"the decoder ran past its limit of {limit_seconds:g} s and was stopped")
        line = server.stdout.readline()
        if not line:
            raise BenchError("the process that starts decoders has died (killed, or out of memory)")
    except BaseException:
        stop_tool(server)
        del _mine.server
        raise
    answer: dict[str, Any] = json.loads(line)
    return answer


def serve() -> None:
    """Fork a decoder for each request, a JSON line of standard input; print its answer, or how the process ended."""
    child = 0

    def end(*_: object) -> None:
        """Exit after the decoder: it gets the same signal, and first ends the programs that it runs."""
        with contextlib.suppress(ChildProcessError):
            if child:
                os.waitpid(child, 0)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    for line in sys.stdin.buffer:
        receiver, sender = os.pipe()
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, leave)
            os._exit(_decoder(json.loads(line), sender))
        os.close(sender)
        with os.fdopen(receiver) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        answer: dict[str, Any] = json.loads(said) if said else {"ended": os.waitstatus_to_exitcode(status)}
        modules = answer.pop("modules", [])
        print(json.dumps(answer), flush=True)
        # Import what this decoder had to import, so that the next one need not.
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _decoder(request: dict[str, Any], sender: int) -> int:
    """Decode in this process and send the answer; the codec's output goes into a file. Returns the exit code."""
    before = set(sys.modules)
    try:
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        claim_process()
        answer = _decode(*request["arguments"])
        answer["modules"] = sorted(set(sys.modules) - before)
        with os.fdopen(sender, "w") as pipe:
            pipe.write(json.dumps(answer))
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        return 1
    return 0


def _decode(source: str, target: str, codec: str) -> dict[str, Any]:
    try:
        log = os.open(f"{target}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        stream = Path(source).read_bytes()
        info, _ = unpack_stream(stream)
        decoded = codec_for_stream(info, codec).decode(stream)
        Path(f"{target}.npy").write_bytes(array_bytes(decoded.frames))
        if decoded.motion is not None:
            Path(f"{target}.motion.npy").write_bytes(array_bytes(decoded.motion))
    except BenchError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"disk": error.errno, "error": error.strerror or str(error)}
    return {"sha256": decoded.sha256}


if __name__ == "__main__":
    serve()
