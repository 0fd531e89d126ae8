"""``bench train``: train a learned codec, or a classifier."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_type_hints

import typer

from bench.progress import progress_bar
from bench.train.options import TrainingOptions

_CODEC = Annotated[str, typer.Argument(help="dcvc, dcvc-dc, spikecodec, sci, or classifier:on=EXTRACTOR,data=DATASET.")]


def register(app: typer.Typer) -> None:
    """Add the verb; its options are the fields of `TrainingOptions`."""
    hints = get_type_hints(TrainingOptions, include_extras=True)
    options = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(TrainingOptions).parameters.items()
    ]
    codec = inspect.Parameter("codec", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_CODEC)
    train.__signature__ = inspect.Signature([codec, *options])  # type: ignore[attr-defined]
    train.__annotations__ = {"codec": _CODEC, **hints}
    app.command()(train)


def train(codec: str, **options: Any) -> None:
    """Train a codec or classifier; writes weights, card.json, log.csv, curve.png and a checkpoint to a folder.

    A codec that is trained in stages gets a folder for each stage, and a stage starts from the weights of earlier ones.
    A training that was killed continues with --resume, and ends with the same weights as one without a break.
    """
    from bench.train.run import train_component

    train_component(codec, TrainingOptions(**options), typer.echo, progress_bar)
