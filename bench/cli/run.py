"""``bench run``: measure a grid."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli._shared import rate_points, remarks, split
from bench.errors import one_line
from bench.progress import progress_bar

if TYPE_CHECKING:
    from bench.runner.plan import Plan


# The options that describe a grid: lists as text, and fields of `RunSpec` as they are.
TEXTS = ("paradigm", "codec", "dataset", "extractor", "analyzer", "task", "rates", "sequences")
NUMBERS = ("limit", "segments", "frames", "stride", "margin", "intra_period", "structure", "seed")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(run)


def run(
    suite: Annotated[
        str, typer.Option(help="Name of a shipped suite, or a TOML file; options override its fields.")
    ] = "",
    preset: Annotated[str, typer.Option(help="Size of a suite that has several; its first one by default.")] = "",
    paradigm: Annotated[str, typer.Option(help="cta, atc or caas; several with commas.")] = "",
    codec: Annotated[str, typer.Option(help="Codecs, as name, name:key=value or path/to/file.py:Class.")] = "",
    dataset: Annotated[str, typer.Option(help="Datasets, as name or name:key=value.")] = "",
    extractor: Annotated[str, typer.Option(help="Extractors, as name or name:key=value.")] = "",
    analyzer: Annotated[str, typer.Option(help="Analyzers; by default the extractor's, else the task's.")] = "",
    task: Annotated[str, typer.Option(help="Tasks of `bench list tasks`; several with a comma or plus.")] = "",
    rates: Annotated[str, typer.Option(help="Rate points for all codecs (42,37); each codec's own by default.")] = "",
    sequences: Annotated[
        str, typer.Option(help="Names of the sequences to use; a name with a comma in double quotes.")
    ] = "",
    limit: Annotated[int | None, typer.Option(help="Largest number of sequences per dataset (0: all).")] = None,
    segments: Annotated[
        int | None, typer.Option(help="Largest number of segments per recording (0: all that fit).")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="K, number of coding instants per segment.")] = None,
    stride: Annotated[int | None, typer.Option(help="Spike frames between coding instants.")] = None,
    margin: Annotated[
        int | None, typer.Option(help="Spike frames before the first and after the last instant.")
    ] = None,
    intra_period: Annotated[int | None, typer.Option(help="Coded frames from one intra frame to the next.")] = None,
    structure: Annotated[str | None, typer.Option(help="low_delay or random_access.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed for components that draw random numbers (none of ours does); each row states it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; results/<grid> by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    jobs: Annotated[
        int, typer.Option(min=0, help="Number of worker processes with one thread each (0: one per core).")
    ] = 0,
    scheduler: Annotated[
        str, typer.Option(help="Run on a Dask cluster instead: tcp://HOST:PORT, or local:N for N workers here.")
    ] = "",
    job_limit: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds after which a job in the pool is stopped and its row is failed (0: never); else a day."
        ),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Draw RD curves and pictures in the run's folder.")] = True,
    timing: Annotated[int, typer.Option(min=0, help="Afterwards, time each point alone with this many repeats.")] = 0,
    smoothness: Annotated[
        bool, typer.Option(help="Also compute the L1 norm of the Laplacian of all features.")
    ] = False,
    recognition: Annotated[
        bool, typer.Option(help="Also classify without compression, from each representation of the paper's Table VI.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Measure a grid of paradigms, codecs and datasets; exit code 1 if a point failed or nothing was measured.

    Examples:

      bench run --paradigm caas --codec vvenc

      bench run --paradigm cta,atc,caas --codec vvenc:preset=medium,x265 --dataset s-motion --limit 2

      bench run --task classification --paradigm caas --codec sci

      bench run --suite conventional --jobs 2
    """
    from bench.report.terminal import print_run
    from bench.request import Request, choose, measure

    fields = grid_fields(
        {
            "paradigm": paradigm, "codec": codec, "dataset": dataset, "extractor": extractor, "analyzer": analyzer,
            "task": task, "rates": rates, "sequences": sequences, "limit": limit, "segments": segments,
            "frames": frames, "stride": stride, "margin": margin, "intra_period": intra_period,
            "structure": structure, "seed": seed,
        }
    )  # fmt: skip
    definition, plan = choose(suite, preset, smoothness, recognition, **fields)
    _print_notes(plan)
    if dry_run:
        _print_plan(plan)
        return
    command = shlex.join(["bench", *sys.argv[1:]])
    request = Request(definition, plan, out, resume, jobs, scheduler, job_limit, timing, figures, command)
    done = measure(request, progress_bar, print_run)
    for path in (*done.more, *done.figures):
        typer.echo(path)
    states = done.report.states
    if not states["ok"]:
        typer.echo("bench: nothing was measured, for the reasons above", err=True)
    if states["failed"] or not states["ok"]:
        raise typer.Exit(1)


def grid_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `RunSpec` that options of this verb state.

    Parameters
    ----------
    options
        The values of all options that describe the grid, by name.
    """
    from bench.interfaces import split_names

    lists: dict[str, Any] = {
        f"{name}s": split(options[name]) for name in ("paradigm", "codec", "dataset", "extractor", "analyzer")
    }
    lists["tasks"] = split(options["task"].replace("+", ","))
    lists |= {"rates": rate_points(options["rates"]), "sequences": split_names(options["sequences"])}
    numbers = {name: options[name] for name in NUMBERS if options[name] is not None}
    return {name: value for name, value in lists.items() if value} | numbers


def _print_notes(plan: Plan) -> None:
    """Print truths that no segment contains, spike rates that were estimated, and what looks wrong about sequences."""
    for note in plan.notes:
        typer.echo(note)
    infos = {(job.dataset, job.info.name): job.info for job in plan.jobs}.values()
    for info in infos:
        if info.rate_estimated:
            typer.echo(f"note: {one_line(info.name)}: spike rate {info.rate_text}; the option rate states it")
    for line in remarks(infos):
        typer.echo(line)


def _print_plan(plan: Plan) -> None:
    for job in plan.jobs:
        what = f"skip: {job.skip}" if job.skip else f"condition {job.card.digest}  spike rate {job.info.rate_text}"
        typer.echo(
            f"{job.id}  {job.paradigm:<5} {job.codec:<24} {job.rate_point!s:<9} {job.dataset}/{job.info.name}"
            f"@{job.start}  {job.extractor}+{job.analyzer}  {what}"
        )
    typer.echo(plan.work)
    typer.echo(", ".join(f"{count} {name}" for name, count in plan.summary().items()) + f"; plan {plan.digest}")
