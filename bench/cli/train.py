"""``bench train``: make the weights of a learned codec's small preset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import BenchError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(train)


def train(
    codec: Annotated[str, typer.Argument(help="A learned codec: dcvc, dcvc-dc, spikecodec, sci.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of photographs or videos; without one, drawn dead leaves.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Folder that the card's figures are from; without one, dead leaves.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Budget of one core, for each stage; the recipe's pace makes it steps.")
    ] = 60,
    steps: Annotated[int, typer.Option(min=0, help="Steps of each stage, instead of minutes.")] = 0,
    samples: Annotated[int, typer.Option(min=8, help="Recordings that are simulated for training.")] = 1600,
    seed: Annotated[int, typer.Option(help="Seeds data, starting weights and noise.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (default train/CODEC, or train/CODEC-VARIANT).")
    ] = None,
    stage: Annotated[
        str,
        typer.Option(help="Stage of a codec that is trained in stages (sci: 1, 2, codec, 3), or all in order."),
    ] = "all",
    variant: Annotated[
        str, typer.Option(help="What training changes for an ablation, as key=value,key=value (docs/sci.md).")
    ] = "",
    begin: Annotated[
        Path | None, typer.Option(help="Weights to begin from where names and shapes fit, instead of random ones.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train a small codec: its weights, card.json, log.csv, curve.png and a checkpoint in the run's folder.

    Codecs that are trained in stages have a folder each of them, and a stage starts from the weights of the ones
    before. Killed runs go on with --resume, and end with the weights of an unbroken one.
    """
    import time

    import torch

    from baselines.neural.weights import check_device
    from bench.cli._shared import progress_bar, word
    from bench.datasets._files import cache_root
    from bench.fingerprint import file_sha256
    from bench.interfaces import Codec
    from bench.interfaces.component import parse_spec
    from bench.registry import create
    from bench.train.loop import Settings, train_codec
    from bench.train.shards import open_shards

    made: Any = create(Codec, codec)
    if not hasattr(made, "recipe"):
        raise BenchError(f"{codec} is not a codec that is trained here")
    check_device(device)
    known = getattr(made, "stages", ())
    if stage != "all" and stage not in known:
        raise BenchError(f"{made.name} has no stage '{stage}' (it has: {', '.join(known) or 'none'})")
    if variant and not known:
        raise BenchError(f"{made.name} has no variants")
    changed = made.variants(**parse_spec(f"variant:{variant}")[1]) if known else None
    cache = cache_root() / "train"
    with progress_bar("data") as progress:
        shards = open_shards(data, cache, samples, seed, progress)
        held_out = open_shards(validation, cache, min(samples, 24), seed + 1, progress)
    whole = out or Path("train") / "-".join([made.name, *([word(variant)] if variant else [])])
    for part in (known if stage == "all" else (stage,)) or ("",):
        folder = whole / part
        torch.manual_seed(seed)
        recipe = made.recipe(part, whole, changed) if part else made.recipe()
        if begin:
            fitting, every = recipe.begin_from(begin)
            typer.echo(f"{fitting} of {every} tensors are those of {begin}")
        label = " ".join(word for word in (made.name, part, variant) if word)
        prepared = recipe.prepare(shards), recipe.prepare(held_out)
        basis = tuple(file_sha256(path) for path in recipe.basis)
        settings = Settings(label, prepared[0].digest, steps or max(1, round(minutes * recipe.pace)), seed, basis)
        began = time.monotonic()
        with progress_bar(f"training {label}") as progress:
            card = train_codec(recipe, settings, *prepared, folder, device, resume, progress)
        typer.echo(f"{folder}: {settings.steps} steps, {time.monotonic() - began:.0f} s in this process")
        for point in card["validation"]:
            typer.echo("  " + ", ".join(f"{name} {value:.4g}" for name, value in point.items()))
    if not known:
        paradigm = "caas" if "frames" in made.accepts else "cta"
        typer.echo(f"try it: bench run --paradigm {paradigm} --codec {made.name}:weights={whole / recipe.file}")
