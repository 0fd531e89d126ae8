"""``bench doctor`` and ``bench conform``: this machine, and codecs under test."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.listing import list_components


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(doctor)
    app.command()(conform)


def doctor() -> None:
    """Print what works on this machine and what to do about the rest; exit code 1 if the default job cannot run."""
    import shutil

    from bench.files import cache_root
    from bench.registry import create
    from bench.results.provenance import provenance

    facts = provenance()
    for key in ("suite", "git_commit", "python", "platform", "processor", "cores"):
        typer.echo(f"{key:>12}  {facts[key]}")
    typer.echo(f"{'packages':>12}  {', '.join(f'{name} {version}' for name, version in facts['packages'].items())}")
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{'cache':>12}  {root} ({shutil.disk_usage(root).free / 2**30:.0f} GiB free)")
    list_components("codecs")
    list_components("datasets")
    from bench.interfaces import Codec

    state = create(Codec, "vvenc").available()
    if not state.ok:
        typer.echo(f"the default job cannot run: {state.reason}", err=True)
        raise typer.Exit(1)


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
