"""Other processes that decode streams; the input of each is the stream's file and nothing else.

Importing torch takes longer than decoding a short stream. Therefore a server, ``python -m bench.runner.decode``, forks
a decoder for each stream. The server imports the modules that earlier decoders needed, but it never reads a stream or
weights and never creates a codec, so nothing passes from one decoder to the next.

Reading weights takes longer than decoding a very short stream. Where the caller allows it, a decoder takes up to
`_MOST` requests for streams of one codec, one after another. It has still never encoded anything.
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
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, one_line
from bench.files import write_atomic
from bench.interfaces import Decoded, unpack_stream
from bench.registry import codec_for_stream
from bench.runner.store import array_bytes
from bench.tools import claim_process, leave, limit_process, start_tool, stop_tool

_MOST = 64  # requests to one decoder
_LOG, _FRAMES, _MOTION = "decoder.log", ".npy", ".motion.npy"


def decode_fresh(
    stream: bytes,
    folder: Path,
    codec: str = "",
    limit_seconds: float = 4 * 3600.0,
    shared: bool = False,
    foreign: bool = False,
) -> tuple[Decoded, str]:
    """Decode a stream in another process; see `decode_all_fresh`."""
    return decode_all_fresh([stream], folder, codec, limit_seconds, shared, foreign)[0]


def decode_all_fresh(
    streams: Sequence[bytes],
    folder: Path,
    codec: str = "",
    limit_seconds: float = 4 * 3600.0,
    shared: bool = False,
    foreign: bool = False,
) -> list[tuple[Decoded, str]]:
    """Decode streams at once (`Codec.decode_all`) in another process, whose only input is the streams' files.

    Parameters
    ----------
    streams
        Containers of one codec, of segments of one shape.
    folder
        An empty working folder.
    codec
        Spec of the codec on this machine (`bench.registry.codec_for_stream`); by default the stream's header names it.
    limit_seconds
        Time after which the decoder is stopped.
    shared
        Whether the process may have decoded other streams of this codec before, and may decode more; else it is new.
    foreign
        Whether the streams come from someone else: a process that is not shared then gets limits of memory and of the
        size of a file.

    Returns
    -------
    list
        The frames of each stream, and their SHA-256 as computed by that process.

    Raises
    ------
    BenchError
        If a stream cannot be decoded, or the decoder dies or exceeds its time.
    OSError
        If the decoder cannot read or write a file.
    """
    places = [(folder / str(number)).absolute() for number in range(len(streams))]
    for place, stream in zip(places, streams, strict=True):
        write_atomic(place.with_suffix(".spk"), stream)
    # The server may have been started with another working folder and environment than this process has now.
    request = {
        "places": [str(place) for place in places],
        "codec": codec,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "shared": shared,
        "foreign": foreign,
    }
    answer = _ask(request, limit_seconds)
    if "ended" in answer:
        log = folder / _LOG
        said = log.read_text(errors="replace").splitlines() if log.exists() else []
        code = answer["ended"]
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise BenchError(f"the decoder ended with {end}: {one_line(' | '.join(said[-3:]))[-400:]}")
    if "disk" in answer:
        raise OSError(answer["disk"], answer["error"], str(folder))
    if "error" in answer:
        raise BenchError(str(answer["error"]))
    return [(_read(place), sha256) for place, sha256 in zip(places, answer["sha256"], strict=True)]


def _read(place: Path) -> Decoded:
    """What a decoder wrote."""
    motion = place.with_suffix(_MOTION)
    frames = np.load(place.with_suffix(_FRAMES), allow_pickle=False)
    return Decoded(frames, np.load(motion, allow_pickle=False) if motion.exists() else None)


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


class _Decoder:
    """A forked process that answers one request after another, until it is ended.

    Attributes
    ----------
    place
        Working folder, environment and codec of the requests that it takes.
    left
        Number of requests that it may still answer.
    pid
        Its process.
    """

    def __init__(self, place: list[Any]) -> None:
        self.place, self.left = place, _MOST
        requests, sender = os.pipe()
        receiver, answers = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(sender)
            os.close(receiver)
            signal.signal(signal.SIGTERM, leave)
            os._exit(_answer_all(requests, answers))
        os.close(requests)
        os.close(answers)
        self._requests, self._answers = os.fdopen(sender, "wb", 0), os.fdopen(receiver, "rb")

    def ask(self, line: bytes) -> bytes:
        """Its answer to a request; empty if it has died."""
        self.left -= 1
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(line)
        return self._answers.readline()

    def end(self) -> int:
        """End it; returns its exit code, negative for a signal."""
        self._requests.close()
        self._answers.close()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def serve() -> None:
    """Answer each request, a JSON line of standard input, by that of a decoder, or by how the decoder ended."""
    decoder: _Decoder | None = None

    def end(*_: object) -> None:
        """Exit after the decoder, which first ends the programs that it runs."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if decoder:
                os.kill(decoder.pid, signal.SIGTERM)  # who ends this process alone does not reach it
                os.waitpid(decoder.pid, 0)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        place = [request["folder"], request["environment"], request["codec"]]
        if decoder and not (request["shared"] and decoder.left and decoder.place == place):
            decoder.end()
            decoder = None
        used, decoder = decoder is not None, decoder or _Decoder(place)
        said = decoder.ask(line)
        if used and not said:  # what it did before may be why it died
            decoder.end()
            decoder = _Decoder(place)
            said = decoder.ask(line)
        answer = json.loads(said) if said else {}
        if not said or not request["shared"]:
            code, decoder = decoder.end(), None
            answer = answer or {"ended": code}
        modules = answer.pop("modules", [])
        print(json.dumps(answer), flush=True)
        # Import what this decoder had to import, so that the next one need not.
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if decoder:
        decoder.end()


def _answer_all(requests: int, answers: int) -> int:
    """Decode in this process what is asked for, and answer; a codec's output goes to a file. Returns the exit code."""
    try:
        with os.fdopen(requests, "rb") as lines, os.fdopen(answers, "wb", 0) as pipe:
            for line in lines:
                before, request = set(sys.modules), json.loads(line)
                os.chdir(request["folder"])
                os.environ.clear()
                os.environ.update(request["environment"])
                claim_process()
                if request["foreign"] and not request["shared"]:
                    limit_process()
                answer = _decode([*map(Path, request["places"])], request["codec"])
                answer["modules"] = sorted(set(sys.modules) - before)
                pipe.write(json.dumps(answer).encode() + b"\n")
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        return 1
    return 0


def _decode(places: Sequence[Path], codec: str) -> dict[str, Any]:
    try:
        log = os.open(places[0].with_name(_LOG), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        streams = [place.with_suffix(".spk").read_bytes() for place in places]
        results = codec_for_stream(unpack_stream(streams[0])[0], codec).decode_all(streams)
        for place, decoded in zip(places, results, strict=True):
            place.with_suffix(_FRAMES).write_bytes(array_bytes(decoded.frames))
            if decoded.motion is not None:
                place.with_suffix(_MOTION).write_bytes(array_bytes(decoded.motion))
    except BenchError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"disk": error.errno, "error": error.strerror or str(error)}
    return {"sha256": [decoded.sha256 for decoded in results]}


if __name__ == "__main__":
    serve()
