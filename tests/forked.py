"""The command line in processes of its own that need not import it.

Importing torch and torchmetrics takes seconds, a small run a fraction of one. So a server, that of `multiprocessing`'s
start method "forkserver", imports them once for each worker of pytest, runs nothing itself, and forks the processes; it
does so for a run's workers and decoders too. `start_run` in conftest.py starts one from nothing, as a user does.
"""

import atexit
import contextlib
import io
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.errors import BenchError

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "pytest", "torchmetrics.functional.image", "pandas", "sklearn.datasets", "scipy.ndimage", "skimage",
        "matplotlib.pyplot", "bench.cli.app", "bench.runner.run", "bench.runner.pool", "bench.report.build",
        "bench.tasks.reconstruction", "bench.tasks.classification", "bench.measure.profile", "tests.forked",
    ]
)  # fmt: skip


_ADDRESS = "BENCH_TESTS_SERVER"


def command_line(arguments):
    """Be `bench` with these arguments."""
    from bench.cli.program import main
    from bench.measure import profile
    from bench.runner import pool

    # Tests may themselves run where Ctrl-C is ignored (in the background), and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _share_server()
    pool.start_worker, profile.run_tool = _start_worker, _run_stage
    sys.argv = ["bench", *arguments]
    main()


def _share_server():
    """Have processes that this one starts come from the server that it came from; by itself it would start another."""
    server = multiprocessing.forkserver._forkserver
    server._forkserver_address = os.environ[_ADDRESS]
    server.ensure_running = lambda: None
    multiprocessing.get_context = lambda method=None: _CONTEXT


def _start_worker(*arguments):
    """Prepare a worker as `bench.runner.pool` does; its decoders come from the server too."""
    from bench.runner import decode, pool

    pool.start_worker(*arguments)
    _share_server()
    decode.start_server = _Decoders


def _run_stage(command, *, stdin, limit_seconds):
    """Run a stage of a profile as `bench.tools.run_tool` does."""
    process = Forked(_stage, [stdin.decode()])
    code, (output, errors) = process.wait(limit_seconds), process.communicate()
    if code:
        raise BenchError(errors)
    return output.encode(), errors


def _stage(arguments):
    from bench.measure import profile

    sys.stdin = io.StringIO(*arguments)
    profile.main()


class _Decoders:
    """The server of `bench.runner.decode`, forked; with what that uses of `subprocess.Popen`."""

    def __init__(self):
        requests, to_server = multiprocessing.Pipe(duplex=False)
        from_server, answers = multiprocessing.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_decode, args=(requests, answers, dict(os.environ)), daemon=True)
        self._process.start()
        self.pid = self._process.pid
        self.stdin, self.stdout = (
            os.fdopen(os.dup(end.fileno()), mode, 0) for end, mode in ((to_server, "wb"), (from_server, "rb"))
        )
        for end in (requests, answers, to_server, from_server):
            end.close()

    def poll(self):
        return self._process.exitcode

    def communicate(self):
        self._process.join()


def _decode(requests, answers, environment):
    from bench.runner.decode import serve

    os.setsid()  # it is ended with all that it started
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(requests.fileno(), 0)
    os.dup2(answers.fileno(), 1)
    requests.close()
    answers.close()
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    serve()


class Forked:
    """A process, with the methods of `subprocess.Popen` that the tests use.

    Parameters
    ----------
    body
        A function of a module, and what it is called with.
    """

    def __init__(self, body, arguments, cwd=None, environment=None):
        self._folder = tempfile.TemporaryDirectory(prefix="forked-")
        for name in ("out", "err"):
            Path(self._folder.name, name).touch()
        server = multiprocessing.forkserver._forkserver
        server.ensure_running()
        places = {**(environment or os.environ), _ADDRESS: server._forkserver_address}
        call = (body, list(map(str, arguments)), str(cwd or Path.cwd()), places)
        # A daemon: what a test that failed leaves behind ends with pytest.
        self._process = _CONTEXT.Process(target=_run, args=(*call, self._folder.name), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        """The exit code, or less than zero for a signal; None as long as it runs."""
        return self._process.exitcode

    poll = returncode.fget

    def kill(self):
        """End it with SIGKILL."""
        self._process.kill()

    def wait(self, timeout=None):
        """Wait for its end."""
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout, *self._said())
        return self.returncode

    def communicate(self, timeout=None):
        """Wait for its end, and give what it said on standard output and on standard error."""
        self.wait(timeout)
        return self._said()

    def _said(self):
        return tuple(Path(self._folder.name, name).read_text(encoding="utf-8") for name in ("out", "err"))


def _run(body, arguments, cwd, environment, folder):
    multiprocessing.current_process().daemon = False  # it may have workers
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdout, sys.stderr = (Path(folder, name).open("a", encoding=encoding) for name in ("out", "err"))  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    try:
        body(arguments)
    finally:
        # As at the end of an interpreter, which a forked process does not reach.
        atexit._run_exitfuncs()
        for file in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                file.flush()
