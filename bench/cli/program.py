"""The program `bench`: what becomes of errors, signals and output that a terminal cannot show."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import TracebackType


def main() -> None:
    """Run the command line. A user's error prints one line to standard error and exits with code 2."""
    try:
        from bench.cli.app import app
        from bench.errors import BenchError
        from bench.tools import claim_process
    except KeyboardInterrupt:  # Ctrl-C before anything has begun
        _fail("interrupted")

    claim_process()
    _prepare()

    # Shells do not expand ~ after --out= or within quotes, and without a shell nothing expands it.
    sys.argv[1:] = [_expanded(argument) for argument in sys.argv[1:]]
    try:
        app(prog_name="bench")
    except BenchError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
    except UnicodeDecodeError as error:
        _fail(f"a file is not UTF-8 text: {error}")
    except UnicodeEncodeError as error:
        _fail(f"a name cannot be written as UTF-8 text: {error}")
    except SystemExit as end:
        if end.code == 130:  # typer's exit code for Ctrl-C
            _fail("interrupted")
        module, place = _innermost(end.__traceback__)
        if module.partition(".")[0] not in ("bench", "click", "typer"):
            _fail(f"{place} called sys.exit({end.code!r}), which ends the program; it should raise an exception")
        raise
    except MemoryError as error:
        _fail(f"out of memory: {error}" if str(error) else "out of memory")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")


def _prepare() -> None:
    """Print characters that the terminal lacks as escapes, and handle SIGTERM and SIGHUP like Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, and that stays
            signal.signal(number, signal.default_int_handler)


def _innermost(traceback: TracebackType | None) -> tuple[str, str]:
    """Module that raised an exception, and text with its file and line."""
    module = place = ""
    while traceback:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        place = f"{os.path.relpath(traceback.tb_frame.f_code.co_filename)}, line {traceback.tb_lineno},"
        traceback = traceback.tb_next
    return module, place


def _expanded(argument: str) -> str:
    """Replace a leading ``~/`` of an argument, or of the value in ``--option=value``, by the home folder."""
    from bench.paths import user_path

    option, equals, value = argument.partition("=")
    if equals and option.startswith("--") and value.startswith("~/"):
        return f"{option}={user_path(value)}"
    return str(user_path(argument)) if argument.startswith("~/") else argument


def _fail(message: str) -> None:
    from bench.errors import one_line  # the message may quote a file's text, which must not control the terminal

    sys.stderr.write(f"bench: {one_line(message)}\n")
    sys.exit(2)
