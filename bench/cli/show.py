"""``bench show``: pictures and videos of recordings, and of what codecs make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import Camera, Margin, Size, SpikeRate, Start, Stride, for_each, rate_points, remarks, split
from bench.errors import BenchError
from bench.progress import progress_bar
from bench.sampling import Sampling


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(show)


def show(
    source: Annotated[
        str,
        typer.Argument(
            help="A .dat recording, a folder of them, DATASET/SEQUENCE, such as s-motion/low-1, a stream, or a run's "
            "folder."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A file: .mp4, .gif, .mkv, .npy, or .png for one instant; or a folder for pictures. With several "
            "recordings, a folder: each gets a video.",
        ),
    ],
    panels: Annotated[str, typer.Option(help="What is shown beside codecs: spikes,rate,features,truth.")] = (
        "spikes,rate,features,truth"
    ),
    codec: Annotated[str, typer.Option(help="Codecs whose results are shown, name or name:key=value.")] = "",
    rate: Annotated[str, typer.Option(help="A rate point for each codec; by default that in its middle.")] = "",
    paradigm: Annotated[str, typer.Option(help="cta, atc or caas.")] = "caas",
    extractor: Annotated[str, typer.Option(help="Extractor of features.")] = "sci",
    size: Size = "",
    camera: Camera = "",
    spike_rate: SpikeRate = None,
    start: Start = 0,
    frames: Annotated[int, typer.Option(min=0, help="Number of instants (0: as many as fit).")] = 0,
    stride: Stride = Sampling.stride,
    margin: Margin = Sampling.margin,
    trust: Annotated[
        bool, typer.Option("--trust", help="Use the files and programs that run.json names; only for your own run.")
    ] = False,
) -> None:
    """Show recordings as pictures or videos: spikes, firing rates, features, and results of codecs side by side.

    Of a stream its results are shown, of a run the results of all its codecs for each sequence.
    """
    from bench.show.canvas import Film, targets
    from bench.show.recordings import KINDS, RecordingFilm, View, sources
    from bench.show.streams import stream_films
    from bench.stream.recording import Cut

    kinds = split(panels)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise BenchError(f"no panel '{unknown[0]}' (there are: {', '.join(KINDS)})")
    codecs, points = split(codec), rate_points(rate)
    if points and len(points) != len(codecs):
        raise BenchError(f"{len(codecs)} codecs and {len(points)} rate points: --rate takes one for each codec")
    view = View(kinds, codecs, points or (None,) * len(codecs), paradigm, extractor)  # type: ignore[arg-type]
    cut = Cut(start, frames, stride, margin)
    films: list[Film] = stream_films(Path(source), trust)
    faults: list[str] = []
    if films and (view != View(points=()) or cut != Cut() or size or camera or spike_rate is not None):
        raise BenchError(f"{source}: a stream or run states itself what it shows; leave out all options but --out")
    if not films:
        recordings, faults = sources(source, size=size, camera=camera, spike_rate=spike_rate)
        films = [RecordingFilm(one, cut, view) for one in recordings]
        for line in remarks(one.info for one in recordings):
            typer.echo(line, err=True)
    places = targets(out, films, len(films) + len(faults) > 1)
    with progress_bar("showing") as progress:
        for_each(list(zip(films, places, strict=True)), lambda pair: pair[0].write(pair[1], progress), faults)
