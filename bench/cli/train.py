"""``bench train``: train the small preset of a learned codec, or a classifier."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError
from bench.paths import word
from bench.progress import progress_bar

if TYPE_CHECKING:
    from bench.interfaces import Component
    from bench.interfaces.recipe import Recipe

# Options of a codec that cannot be given for its training, and the options of `bench train` to use instead.
_NOT_TRAINED = {"weights": "--begin FILE", "device": "--device", "stage": "--stage"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(train)


def train(
    codec: Annotated[
        str,
        typer.Argument(help="dcvc, dcvc-dc, spikecodec, sci, or classifier:on=EXTRACTOR,data=DATASET."),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of training photographs or videos; without it, synthetic dead leaves.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of held-out photographs or videos for validation; without it, synthetic dead leaves."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Time limit of each stage, without data and validation. Without --steps, also sets the number of "
            "steps, from the recipe's steps per minute on one core (60 minutes by default).",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=0, help="Number of steps of each stage; without --minutes, there is no time limit.")
    ] = 0,
    samples: Annotated[
        int | None, typer.Option(min=8, help="Number of simulated recordings for training (1600).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for data, initial weights and noise.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training; by default train/CODEC or train/CODEC-VARIANT.")
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="Extractor whose features dcvc or dcvc-dc is trained on; TFP by default.")
    ] = "",
    stage: Annotated[
        str,
        typer.Option(help="Name of one training stage (docs/sci.md), or all in order."),
    ] = "all",
    variant: Annotated[str, typer.Option(help="Changes for an ablation, as key=value,key=value (docs/sci.md).")] = "",
    begin: Annotated[
        Path | None,
        typer.Option(help="File of weights to start from; tensors whose name or shape does not fit are ignored."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in the folder.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bfloat16: Annotated[
        bool,
        typer.Option(
            "--bfloat16", help="Train convolutions in bfloat16: faster where the processor has it (docs/learned.md)."
        ),
    ] = False,
) -> None:
    """Train a small codec or classifier; writes weights, card.json, log.csv, curve.png and a checkpoint to a folder.

    A codec that is trained in stages gets a folder for each stage, and a stage starts from the weights of earlier ones.
    A training that was killed continues with --resume, and ends with the same weights as one without a break.
    """
    import math

    import torch

    from bench.fingerprint import file_sha256
    from bench.interfaces import Codec
    from bench.interfaces.component import parse_spec
    from bench.interfaces.recipe import HasSamples, Trainable, TrainableInStages
    from bench.registry import create_trained
    from bench.train.loop import Settings, planned_steps, train_codec
    from bench.weights import check_device

    made = create_trained(codec)
    if not isinstance(made, Trainable | TrainableInStages):
        raise BenchError(f"{codec} is not a codec that is trained here")
    own_samples = isinstance(made, HasSamples)
    _check_options(made, own_samples and bool(data or validation or samples), extractor)
    check_device(device)
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1)  # minutes and pace hold for one core, and threads without a free core cost time
    known = made.stages if isinstance(made, TrainableInStages) else ()
    if stage != "all" and stage not in known:
        raise BenchError(f"{made.name} has no stage '{stage}' (it has: {', '.join(known) or 'none'})")
    variants = made.variants if isinstance(made, TrainableInStages) else None
    if variant and not variants:
        raise BenchError(f"{made.name} has no variants")
    changed = variants(**parse_spec(f"variant:{variant}")[1]) if variants else None
    whole = out or Path("train") / "-".join([word(made.spec), *([word(variant)] if variant else [])])
    for part in (known if stage == "all" else (stage,)) or ("",):
        folder = whole / part
        torch.manual_seed(seed)
        recipe = made.stage_recipe(part, whole, changed) if isinstance(made, TrainableInStages) else made.recipe()
        reduced = bfloat16 and _reduce(recipe, part if stage == "all" else "")
        if begin:
            fitting, every = recipe.begin_from(begin)
            typer.echo(f"{fitting} of {every} tensors are those of {begin}")
        label = " ".join(word for word in (made.spec, part, variant) if word)
        trained_on, checked_on = _samples(made, recipe, part, (data, validation), samples or 1600, seed, extractor)
        basis = tuple(file_sha256(path) for path in recipe.basis)
        limit = math.inf if steps and not minutes else 60 * (minutes or 60)
        planned = steps or (planned_steps(folder) if resume else None) or max(1, round(limit / 60 * recipe.pace))
        settings = Settings(label, trained_on.digest, planned, seed, basis, reduced)
        # Validating a recording takes as long as a few steps: the validation of a short training must not exceed it.
        recipe.checked = min(recipe.checked, max(2, planned // 16))
        typer.echo(
            f"training {label}: {planned} steps"
            + (f", at most {limit / 60:g} min" if limit < math.inf else "")
            + ("; then validation" if own_samples else f"; then validation on at most {recipe.checked} recordings")
        )
        with progress_bar(f"training {label}") as progress:
            card = train_codec(recipe, settings, trained_on, checked_on, folder, device, resume, progress, limit)
        typer.echo(f"{folder}: {card['steps']} steps, {card['minutes']:g} min of training")
        if card["steps"] < planned:
            typer.echo(f"  the time was over before its {planned} steps: its weights are of now, --resume goes on")
        for point in card["validation"]:
            typer.echo("  " + ", ".join(f"{name} {value:.4g}" for name, value in point.items()))
    if isinstance(made, Codec) and not known:
        paradigm = "caas" if "frames" in made.accepts else "cta"
        typer.echo(f"try it: bench run --paradigm {paradigm} --codec {made.name}:weights={whole / recipe.file}")


def _reduce(recipe: Recipe, part: str) -> bool:
    """Let a recipe compute in bfloat16, and return whether it does; one of all stages (`part`) may do without."""
    reduced = recipe.use_bfloat16()
    if not reduced and not part:
        raise BenchError("this training leaves no choice of precision: leave out --bfloat16")
    if not reduced:
        typer.echo(f"stage {part} leaves no choice of precision: --bfloat16 holds for the others")
    return reduced


def _check_options(made: Component, given_samples: bool, extractor: str) -> None:
    """Refuse options that have no effect on a component's training."""
    from bench.interfaces import Codec
    from bench.interfaces.recipe import Trainable

    for key, instead in _NOT_TRAINED.items():
        if key in made.options.model_fields_set:
            raise BenchError(f"training does not take {made.name}'s option {key}; use {instead}")
    if extractor and not (isinstance(made, Trainable) and isinstance(made, Codec) and "frames" in made.accepts):
        raise BenchError(f"{made.name} is not trained on the features of an extractor: leave out --extractor")
    if given_samples:
        raise BenchError(f"{made.name} is trained on its own dataset: leave out --data, --validation and --samples")


def _samples(
    made: Component,
    recipe: Recipe,
    stage: str,
    folders: tuple[Path | None, Path | None],
    samples: int,
    seed: int,
    extractor: str,
) -> tuple[Any, Any]:
    """The training samples and the held-out samples: the component's own, or shards of simulated recordings."""
    from baselines.neural.motion import frames_between
    from bench.files import cache_root
    from bench.interfaces.recipe import HasSamples
    from bench.train.shards import open_shards

    cache = cache_root() / "train"
    with progress_bar("data") as progress:
        if isinstance(made, HasSamples):
            return made.samples(stage, seed, progress)
        shards = open_shards(folders[0], cache, samples, seed, progress, frames_between)
        held_out = open_shards(folders[1], cache, min(samples, 24), seed + 1, progress, frames_between)
        if extractor:
            shards, held_out = (_features_of(extractor, part, progress) for part in (shards, held_out))
        return recipe.prepare(shards, progress), recipe.prepare(held_out, progress)


def _features_of(extractor: str, shards: Any, progress: Any) -> Any:
    """Replace the TFP features of shards by those of an extractor."""
    import functools

    from bench.fingerprint import component_fingerprint
    from bench.interfaces import Extractor
    from bench.registry import create

    part = create(Extractor, extractor)
    return shards.derive(component_fingerprint(part), functools.partial(_features_by, extractor), progress)


def _features_by(extractor: str, spikes: Any, instants: Any) -> Any:
    """Features of one sample; extractors keep their weights, so making one again costs little."""
    from bench.interfaces import Extractor, checked
    from bench.registry import create
    from bench.train.shards import RATE

    return checked.features(create(Extractor, extractor), spikes, instants, RATE)
