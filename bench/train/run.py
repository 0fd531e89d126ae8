"""Trains a component in all its stages: what `bench train` and `bench.train_component` do."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.paths import word
from bench.progress import Progress, silent
from bench.train.options import TrainingOptions

if TYPE_CHECKING:
    from bench.interfaces import Component
    from bench.interfaces.recipe import Recipe
    from bench.train.devices import Group

ProgressBar = Callable[[str], AbstractContextManager[Progress]]

# Options of a codec that cannot be given for its training, and the options of `bench train` to use instead.
_NOT_TRAINED = {"weights": "--begin FILE", "device": "--device", "stage": "--stage"}


def train_component(
    spec: str,
    options: TrainingOptions,
    say: Callable[[str], Any] = lambda line: None,
    bar: ProgressBar = lambda title: nullcontext(silent),
) -> list[dict[str, Any]]:
    """Train a codec, or another component that has a recipe, in the stages that the options name.

    Parameters
    ----------
    spec
        The component's name, with options in the form ``name:key=value``.
    say
        Called with each line that tells what is trained, and how it went.
    bar
        Shows the progress of each stage.

    Returns
    -------
    list
        The content of each stage's card.json. Empty where other processes trained (`devices` above 1): their folders
        have the cards.

    Raises
    ------
    BenchError
        If the component is not trained here, an option has no effect on its training, or training fails.
    """
    from bench.interfaces.recipe import HasSamples, Trainable, TrainableInStages
    from bench.registry import create_trained
    from bench.train.devices import is_launched, joined, launch
    from bench.weights import check_device

    component = create_trained(_with_preset(spec, options.preset))
    if not isinstance(component, Trainable | TrainableInStages):
        raise BenchError(f"{spec} is not a codec that is trained here")
    own_samples = isinstance(component, HasSamples)
    _check_options(
        component, own_samples and bool(options.data or options.validation or options.samples), options.extractor
    )
    if own_samples and options.crop:
        raise BenchError(f"{component.name} is trained on its own dataset: leave out --crop")
    check_device(options.device)
    known = component.stages if isinstance(component, TrainableInStages) else ()
    if options.stage != "all" and options.stage not in known:
        raise BenchError(f"{component.name} has no stage '{options.stage}' (it has: {', '.join(known) or 'none'})")
    if options.variant and not (isinstance(component, TrainableInStages) and component.variants):
        raise BenchError(f"{component.name} has no variants")
    if (options.devices > 1 or options.nodes > 1) and not is_launched():
        launch(["train", spec, *options.arguments()], options.devices, options.nodes)
        return []
    with joined(options.device) as group:
        if not group.first:
            say, bar = lambda line: None, lambda title: nullcontext(silent)
        return _train_stages(component, options, group, say, bar)


def _with_preset(spec: str, preset: str) -> str:
    """The spec with the preset that `--preset` names."""
    from bench.interfaces.component import parse_spec

    stated = parse_spec(spec)[1].get("preset", preset)
    if preset and stated != preset:
        raise BenchError(f"{spec} and --preset {preset} name two presets")
    if not preset or "preset=" in spec:
        return spec
    return f"{spec}{',' if ':' in spec else ':'}preset={preset}"


def _train_stages(
    component: Component, options: TrainingOptions, group: Group, say: Callable[[str], Any], bar: ProgressBar
) -> list[dict[str, Any]]:
    import torch

    from bench.interfaces import Codec
    from bench.interfaces.component import parse_spec
    from bench.interfaces.recipe import Trainable, TrainableInStages

    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1)  # minutes and pace hold for one core, and threads without a free core cost time
    known = component.stages if isinstance(component, TrainableInStages) else ()
    variants = component.variants if isinstance(component, TrainableInStages) else None
    changed = variants(**parse_spec(f"variant:{options.variant}")[1]) if variants else None
    whole = options.out or Path("train") / "-".join(map(word, filter(None, (component.spec, options.variant))))
    cards, recipe = [], None
    for part in (known if options.stage == "all" else (options.stage,)) or ("",):
        group.wait()  # for the weights of the stage before
        torch.manual_seed(options.seed)
        if isinstance(component, TrainableInStages):
            recipe = component.stage_recipe(part, whole, changed)
        else:
            assert isinstance(component, Trainable)  # noqa: S101 -- `train_component` has seen to it
            recipe = component.recipe()
        cards.append(_train_stage(component, recipe, part, whole / part, options, group, say, bar))
    if isinstance(component, Codec) and not known and recipe is not None:
        paradigm = "caas" if "frames" in component.accepts else "cta"
        say(f"try it: bench run --paradigm {paradigm} --codec {component.name}:weights={whole / recipe.file}")
    return cards


def _train_stage(
    component: Component,
    recipe: Recipe,
    part: str,
    folder: Path,
    options: TrainingOptions,
    group: Group,
    say: Callable[[str], Any],
    bar: ProgressBar,
) -> dict[str, Any]:
    from bench.fingerprint import file_sha256
    from bench.interfaces.recipe import HasSamples
    from bench.train.loop import Settings, planned_steps, recordings_checked, train_codec

    optional = part if options.stage == "all" else ""
    reduced = options.precision == "bf16" and _applied(recipe.use_bfloat16, "precision", optional, say)
    if options.checkpointing:
        _applied(recipe.use_checkpointing, "checkpointing", optional, say)
    recipe.batch, recipe.crop = options.batch or recipe.batch, options.crop or recipe.crop
    recipe.side = options.crop or recipe.side
    if options.begin:
        fitting, every = recipe.begin_from(options.begin)
        say(f"{fitting} of {every} tensors are those of {options.begin}")
    label = " ".join(filter(None, (component.spec, part, options.variant)))
    with group.first_here(), bar("data") as progress:
        trained_on, checked_on = _samples(component, recipe, part, options, progress)
    basis = tuple(file_sha256(path) for path in recipe.basis)
    minutes = options.limit_minutes
    if minutes is None and not options.steps and recipe.pace:
        minutes = 60.0
    limit = 60 * minutes if minutes else math.inf
    planned = options.steps or (planned_steps(folder) if options.resume else None)
    if not planned:
        planned = max(1, round((minutes or 0) * recipe.pace)) if recipe.pace else recipe.steps
    recipe.checked = recordings_checked(recipe, planned)
    settings = Settings(
        label, trained_on.digest, planned, options.seed, basis, reduced, options.batch or 0, options.crop or 0
    )
    say(
        f"training {label}: {planned} steps"
        + (f", at most {limit / 60:g} min" if limit < math.inf else "")
        + (f" on {group.count} devices" if group.count > 1 else "")
        + "; then validation"
        + ("" if isinstance(component, HasSamples) else f" on at most {recipe.checked} recordings")
    )
    with bar(f"training {label}") as progress:
        card = train_codec(
            recipe, settings, trained_on, checked_on, folder, group, options.resume, progress, limit,
            accumulate=options.accumulate, workers=options.workers, tensorboard=options.tensorboard,
        )  # fmt: skip
    if group.first:
        say(f"{folder}: {card['steps']} steps, {card['minutes']:g} min of training")
        if card["steps"] < planned:
            say(f"  the time was over before its {planned} steps: its weights are of now, --resume goes on")
        for point in card["validation"]:
            say("  " + ", ".join(f"{name} {value:.4g}" for name, value in point.items()))
    return card


def _applied(use: Callable[[], bool], name: str, part: str, say: Callable[[str], Any]) -> bool:
    """Apply an option to a recipe, and return whether it has an effect; one of all stages (`part`) may do without."""
    applied = use()
    if not applied and not part:
        raise BenchError(f"this training leaves no choice of {name}: leave out --{name}")
    if not applied:
        say(f"stage {part} leaves no choice of {name}: --{name} holds for the others")
    return applied


def _check_options(component: Component, given_samples: bool, extractor: str) -> None:
    """Refuse options that have no effect on a component's training."""
    from bench.interfaces import Codec
    from bench.interfaces.recipe import Trainable

    for key, instead in _NOT_TRAINED.items():
        if key in component.options.model_fields_set:
            raise BenchError(f"training does not take {component.name}'s option {key}; use {instead}")
    if extractor and not (
        isinstance(component, Trainable) and isinstance(component, Codec) and "frames" in component.accepts
    ):
        raise BenchError(f"{component.name} is not trained on the features of an extractor: leave out --extractor")
    if given_samples:
        raise BenchError(
            f"{component.name} is trained on its own dataset: leave out --data, --validation and --samples"
        )


def _samples(
    component: Component, recipe: Recipe, stage: str, options: TrainingOptions, progress: Progress
) -> tuple[Any, Any]:
    """The training samples and the held-out samples: the component's own, or shards of simulated recordings."""
    from baselines.neural.motion import frames_between
    from bench.files import cache_root
    from bench.interfaces.recipe import HasSamples
    from bench.train.shards import open_shards

    if isinstance(component, HasSamples):
        return component.samples(stage, options.seed, progress)
    cache, samples, seed = cache_root() / "train", options.samples or 1600, options.seed
    shards = open_shards(options.data, cache, samples, seed, progress, frames_between)
    held_out = open_shards(options.validation, cache, min(samples, 24), seed + 1, progress, frames_between, "test")
    if options.extractor:
        shards, held_out = (_features_of(options.extractor, part, progress) for part in (shards, held_out))
    return recipe.prepare(shards, progress), recipe.prepare(held_out, progress)


def _features_of(extractor: str, shards: Any, progress: Progress) -> Any:
    """Replace the TFP features of shards by those of an extractor."""
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
