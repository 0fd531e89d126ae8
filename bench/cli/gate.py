"""``bench check`` compares a run with a reference, ``bench compare`` with another run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli._shared import save_text
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.check.gate import Check


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(check)
    app.command()(compare)


def check(
    run: Annotated[Path, typer.Argument(help="Folder of the run to check.")],
    against: Annotated[Path, typer.Option(help="Folder of the reference run: its rd.csv and run.json.")],
    bd_rate: Annotated[float, typer.Option(min=0, help="Largest rise of a learned codec's BD-rate, in percent.")] = 1.0,
    psnr: Annotated[float, typer.Option(min=0, help="Largest loss of PSNR of a learned codec's point, in dB.")] = 0.05,
    ssim: Annotated[float, typer.Option(min=0, help="Largest loss of SSIM or MS-SSIM of such a point.")] = 0.002,
    accuracy: Annotated[
        float, typer.Option(min=0, help="Largest loss of mean accuracy of a curve of classification, 0 to 1.")
    ] = 0.02,
    markdown: Annotated[Path | None, typer.Option(help="Write the result as Markdown, for a pull request.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the result as JUnit XML, for CI.")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Print what changed, then make the run the reference.")
    ] = False,
) -> None:
    """Check that a run is not worse than its reference; exit code 1: worse, 2: the two cannot be compared.

    Codecs without learned weights must give the same bits and frames. Learned codecs may lose as much as the
    tolerances allow. Times never fail a check.

    Examples:

      bench run --suite quick --out results/now && bench check results/now --against results/quick

      bench check results/now --against results/quick --update
    """
    from bench.check.files import junit_xml, markdown_page, update_reference
    from bench.check.gate import Tolerance, check_runs
    from bench.results.rows import RD_FILE

    if update and not (against / RD_FILE).exists():
        update_reference(run, against)
        typer.echo(f"{against} is now this run; there was no reference before")
        return
    try:
        result = check_runs(run, against, Tolerance(bd_rate, psnr, ssim, accuracy))
    except BenchError as error:
        if not update:
            raise
        update_reference(run, against)
        typer.echo(f"{against} is now this run; it could not be compared with what was there: {error}")
        return
    _print(result, against)
    if markdown:
        save_text(markdown, markdown_page(result, run, against))
    if junit:
        save_text(junit, junit_xml(result))
    if update:
        update_reference(run, against)
        typer.echo(f"{against} is now this run; look at `git diff` before you commit it")
    elif result.failures:
        raise typer.Exit(1)


def _print(result: Check, against: Path) -> None:
    from bench.check.gate import Finding

    for line in result.lines:
        if line.finding not in (Finding.SAME, Finding.ABSENT):
            typer.echo(f"{line.finding.value:>8}  {line.name}" + (f": {line.detail}" if line.detail else ""))
    for text in result.advice:
        typer.echo(f"  slower  {text} (advice)")
    verdict = f"{len(result.failures)} worse or changed" if result.failures else "nothing worse"
    typer.echo(f"{verdict} than {against}: {result.counts}")


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write, with all qualities and interpolations.")] = None,
) -> None:
    """Print BD-rates of the second run against the first for each shared curve, with 95 % intervals over sequences."""
    from bench.check.gate import compare_runs

    table, notes = compare_runs(first, second)
    lines = table[table["quality"] == "psnr"]
    width = max(map(len, lines["curve"]))
    for line in lines.to_dict("records"):
        typer.echo(f"{line['dataset']:<12} {line['curve']:<{width}}  {line['verdict']} %".rstrip())
    typer.echo(f"BD-rate over PSNR of {second} against {first}: negative means fewer bits")
    for note in notes:
        typer.echo(note)
    if out:
        save_text(out, table.to_csv(index=False))
    if lines["bd_rate"].isna().all():
        raise BenchError(f"no curve of {second} has a BD-rate against {first}, for the reasons above")
