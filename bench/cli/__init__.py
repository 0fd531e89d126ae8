"""The command line: one file per group of verbs, heavy imports inside the verb that needs them."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import TracebackType


def main() -> None:
    """Run the command line; a user's error is one line on standard error and exit code 2."""
    try:
        from bench.cli.app import app
        from bench.errors import BenchError
        from bench.tools import claim_process
    except KeyboardInterrupt:  # Ctrl-C before anything has begun
        _fail("interrupted")

    claim_process()
    _prepare()

    # A shell leaves ~ as it is after --out= and within quotes, and no shell expands it where none starts the program.
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
        if end.code == 130:  # how typer hands on Ctrl-C
            _fail("interrupted")
        module, place = _innermost(end.__traceback__)
        if module.partition(".")[0] not in ("bench", "click", "typer"):
            _fail(f"{place} called sys.exit({end.code!r}), which ends programs; it is to raise an exception instead")
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")


def _prepare() -> None:
    """Print what the terminal has no letters for as escapes, and end by signals as by Ctrl-C: with all that runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, signal.default_int_handler)


def _innermost(traceback: TracebackType | None) -> tuple[str, str]:
    """Module, and file with line, where an exception was raised."""
    module = place = ""
    while traceback:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        place = f"{os.path.relpath(traceback.tb_frame.f_code.co_filename)}, line {traceback.tb_lineno},"
        traceback = traceback.tb_next
    return module, place


def _expanded(argument: str) -> str:
    """An argument, or the value of an option, that begins with ``~/``, with the home folder in its place."""
    from bench.paths import user_path

    option, equals, value = argument.partition("=")
    if equals and option.startswith("--") and value.startswith("~/"):
        return f"{option}={user_path(value)}"
    return str(user_path(argument)) if argument.startswith("~/") else argument


def _fail(message: str) -> None:
    from bench.errors import one_line  # the message may quote a file, which has no commands for the terminal

    sys.stderr.write(f"bench: {one_line(message)}\n")
    sys.exit(2)
