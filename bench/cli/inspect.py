"""``bench doctor`` and ``bench conform``: this machine, and codecs under test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.listing import list_components

# Beginnings of the names of variables that change what runs.
_VARIABLES = ("BENCH_CACHE", "BENCH_WEIGHTS", "VTM_", "IMAGEIO_FFMPEG", "OMP_", "CUDA_")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(doctor)
    app.command()(conform)


def doctor(
    report: Annotated[
        bool, typer.Option("--report", help="Print a block for a bug report instead, without private paths.")
    ] = False,
) -> None:
    """Print what works on this machine and what to do about the rest; exit code 1 if the default job cannot run."""
    from bench.interfaces import Codec
    from bench.registry import create

    if report:
        typer.echo(_report())
        return
    for name, text in _facts().items():
        typer.echo(f"{name:>10}  {text}")
    for kind in ("codecs", "datasets"):
        list_components(kind)
    state = create(Codec, "vvenc").available()
    if not state.ok:
        typer.echo(f"the default job cannot run: {state.reason}", err=True)
        raise typer.Exit(1)


def _facts() -> dict[str, str]:
    """Versions, machine and cache, by name."""
    import platform
    import shutil

    from bench.files import cache_root
    from bench.results.provenance import provenance

    facts = provenance()
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    return {
        "spikebench": facts["suite"] + (f" at commit {facts['git_commit']}" if facts["git_commit"] else ""),
        "python": facts["python"],
        "platform": platform.platform(),
        "processor": f"{facts['processor']}, {facts['cores']} cores",
        "packages": ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
        "cache": f"{root} ({shutil.disk_usage(root).free / 2**30:.0f} GiB free)",
    }


def _report() -> str:
    """A Markdown block for a bug report: the facts, variables that change what runs, and which components can run.

    The user's cache and home folder are named ``CACHE`` and ``~`` in it.
    """
    import os

    from bench.interfaces import Codec
    from bench.registry import states

    lines = [f"{name}: {text}" for name, text in _facts().items()]
    variables = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    lines += [f"variables: {', '.join(variables) or 'none'}", "codecs:"]
    lines += [f"  {name}: {state}" for name, _, state, _ in states(Codec)]
    return _without_private_paths("\n".join(["```text", *lines, "```"]))


def _without_private_paths(text: str) -> str:
    """A text that names the cache ``CACHE`` and the home folder ``~``."""
    from bench.files import cache_root

    places = {str(cache_root()): "CACHE", str(Path.home()): "~"}
    for place, name in places.items():
        if place.strip("/\\"):
            text = re.sub(re.escape(place) + r"(?![\w.-])", name, text)
    return text


def conform(
    codec: Annotated[str, typer.Argument(help="A codec: name, name:key=value, or path/to/file.py:Class.")],
) -> None:
    """Check a codec with the conformance kit; exit code 1 if a check fails."""
    from bench.conform import conform as run_checks
    from bench.interfaces import Codec
    from bench.registry import create

    bad = 0
    for result in run_checks(create(Codec, codec)):
        typer.echo(
            f"{'FAIL' if result.problem else 'ok':>4}  {result.check}"
            + (f": {result.problem}" if result.problem else "")
        )
        bad += bool(result.problem)
    if bad:
        raise typer.Exit(1)
