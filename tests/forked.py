"""The command line in processes of its own that need not import it.

Importing torch and torchmetrics takes seconds, a small run a fraction of one. So a server, that of `multiprocessing`'s
start method "forkserver", imports them once for each worker of pytest, runs nothing itself, and forks the processes.
`start_run` in conftest.py starts one from nothing, as a user does.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "pytest", "torchmetrics.functional.image", "pandas", "sklearn.datasets", "scipy.ndimage", "skimage",
        "matplotlib.pyplot", "bench.cli.app", "bench.runner.run", "bench.runner.pool", "bench.report.build",
        "bench.tasks.reconstruction", "bench.tasks.classification", "tests.forked",
    ]
)  # fmt: skip


def command_line(arguments):
    """Be `bench` with these arguments."""
    from bench.cli import main

    # Tests may themselves run where Ctrl-C is ignored (in the background), and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What a run starts in its turn comes from the same server.
    multiprocessing.get_context = lambda method=None: _CONTEXT
    sys.argv = ["bench", *arguments]
    main()


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
        given = (body, list(map(str, arguments)), str(cwd or Path.cwd()), environment or dict(os.environ))
        # A daemon: what a test that failed leaves behind ends with pytest.
        self._process = _CONTEXT.Process(target=_run, args=(*given, self._folder.name), daemon=True)
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
