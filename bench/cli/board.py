"""``bench submit``, ``leaderboard``, and ``verify --submission``: results that others can add to, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import open_store, save_text
from bench.errors import BenchError, one_line
from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(submit)
    app.command()(leaderboard)


def submit(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Archive to write; RUN.zip in the working folder by default.")
    ] = None,
    streams: Annotated[
        bool, typer.Option("--streams", help="Put the run's streams into it, so that others can decode them again.")
    ] = False,
    name: Annotated[str, typer.Option(help="Who submits: a person or project.")] = "",
    url: Annotated[str, typer.Option(help="Page of the code or paper.")] = "",
) -> None:
    """Pack a run's tables, run.json and (optionally) streams into one archive that others can check.

    The same run gives the same archive. A run that is not finished is refused.

    Examples:

      bench submit results/mine --streams --name "A. Person" --url https://example.org/mine

      bench verify --submission mine.zip --record mine.record.json
    """
    from bench.board.contents import pack_run
    from bench.paths import word

    target = out or Path(f"{word(run.resolve().name)}.zip")
    manifest = pack_run(run, target, streams, name, url)
    for warning in manifest.warnings:
        typer.echo(f"bench: the board will show a warning: {one_line(warning)}", err=True)
    held = f"{len(manifest.files)} files, {sum(fact.size for fact in manifest.files.values()) / 1e6:.1f} MB unpacked"
    typer.echo(f"{target}: {held}" + ("" if streams else "; without --streams, nobody can decode anything again"))


def verify_submission(archive: Path, sample: int, seed: int | None, record: Path | None, by: str) -> None:
    """Check a submission and print each difference; exit code 1 if there is one."""
    import secrets

    from bench.board.verify import Request
    from bench.board.verify import verify_submission as verify

    # Nobody must know beforehand which rows are drawn.
    drawn = secrets.randbelow(1 << 32) if seed is None else seed
    request = Request(archive, sample, drawn, by)
    with progress_bar("verifying") as progress:
        verification = verify(request, open_store(), progress, lambda text: typer.echo(f"BAD {one_line(text)}"))
    if verification.seed is not None:
        typer.echo(f"{verification.drawn} of {verification.measured} rows drawn with --seed {verification.seed}")
    for reason, count in verification.absent.items():
        typer.echo(f"{count} rows not checked: {reason}")
    typer.echo(
        f"{archive} {'holds' if verification.holds else 'does not hold'}: of {verification.drawn} rows, "
        f"{len(verification.decoded)} streams decode to what they state, {len(verification.judged)} measures agree"
    )
    if record:
        save_text(record, verification.text())
    if not verification.holds:
        raise typer.Exit(1)


def leaderboard(
    folder: Annotated[Path, typer.Argument(help="Folder of submissions, and of records of their verification.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the site to write.")],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Curve that BD-rates are against: a file of the folder, as ARCHIVE or ARCHIVE#CURVE. May be repeated. "
            "Boards without it take a curve that is verified in full, VVC before others."
        ),
    ] = None,
) -> None:
    """Build a static site of all submissions in a folder: one board for each dataset and condition card.

    Files that are no submission, or do not hold, are named and are on no board; the exit code is then 2. A record is a
    file *.record.json from `bench verify --submission FILE --record`.
    """
    from bench.board.site import INDEX, build_site

    with progress_bar("drawing") as progress:
        boards, submissions, refused = build_site(folder, out, open_store(), progress, reference or ())
    for one in refused:
        typer.echo(f"bench: {one_line(f'{one.file}: {one.reason}')}", err=True)
    typer.echo(f"{boards} boards of {submissions} submissions: {out / INDEX}")
    if refused:
        raise typer.Exit(2)


def check_options(run: Path | None, submission: Path | None, options: dict[str, bool]) -> None:
    """Refuse a run together with a submission, neither of them, or options of the other one.

    Raises
    ------
    BenchError
        If they do not fit.
    """
    if (run is None) == (submission is None):
        raise BenchError("give the folder of a run, or --submission FILE")
    if wrong := [name for name, stated in options.items() if stated]:
        raise BenchError(f"{wrong[0]} is not for {'a submission' if submission else 'a run'}")
