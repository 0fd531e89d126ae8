"""The command line: one file per group of verbs, heavy imports inside the verb that needs them."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a user's error is one line on standard error and exit code 2."""
    from bench.cli.app import app
    from bench.errors import BenchError

    try:
        app(prog_name="bench")
    except BenchError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
    except UnicodeDecodeError as error:
        _fail(f"a file is not UTF-8 text: {error}")
    except SystemExit as end:
        if end.code == 130:  # how typer hands on Ctrl-C
            _fail("interrupted")
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")


def _fail(message: str) -> None:
    from bench.errors import one_line  # the message may quote a file, which has no commands for the terminal

    sys.stderr.write(f"bench: {one_line(message)}\n")
    sys.exit(2)
