"""``bench recommend``: which paradigm and codec suit a camera and its link."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import Camera, Size, SpikeRate, split
from bench.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(recommend)


def recommend(
    recording: Annotated[Path, typer.Argument(help="A .dat recording of the camera.")],
    link: Annotated[str, typer.Option(help="What the link carries, such as 2Mbit/s.")],
    camera_macs: Annotated[
        str,
        typer.Option(
            "--camera-macs",
            help="Multiply-accumulates a result that the camera can make, such as 10GMAC. Without it they are not "
            "measured.",
        ),
    ] = "",
    hertz: Annotated[str, typer.Option(help="Spike frames a second.")] = "20kHz",
    codec: Annotated[str, typer.Option(help="Codecs to try, as name or name:key=value.")] = "sci,vvenc,x265,isi",
    paradigm: Annotated[str, typer.Option(help="Paradigms to try.")] = "cta,atc,caas",
    extractor: Annotated[str, typer.Option(help="The extractor.")] = "sci",
    size: Size = "",
    camera: Camera = "",
    spike_rate: SpikeRate = None,
) -> None:
    """Say which paradigm, codec and rate point suit a camera, measured on the first intra period of a recording.

    Where the link does not carry a chain's lowest rate point, its other points are not measured.
    Quality is PSNR against the truth where the recording has one, else against the firing rates of its own spikes.
    Exit code 1 if nothing fits.
    """
    from bench.recommend import Limits, command_of, quantity
    from bench.recommend import recommend as measured

    limits = Limits(
        quantity(link, "bit/s"), quantity(camera_macs, "MAC") if camera_macs else math.inf, quantity(hertz, "Hz")
    )
    recommendation = measured(
        recording, limits, progress_bar, codecs=split(codec), paradigms=split(paradigm), extractor=extractor, size=size,
        camera=camera, spike_rate=spike_rate,
    )  # fmt: skip
    for reason in recommendation.missing:
        typer.echo(f"left out: {reason}")
    typer.echo(f"{'':4} {'chain':<24} {'point':<9} {'Mbit/s':>10} {'GMAC':>7}  {recommendation.quality}")
    for line in recommendation.points.to_dict("records"):
        macs = "" if math.isnan(line["macs"]) else f"{line['macs'] / 1e9:.2f}{'' if line['counted'] else '+'}"
        chain, fits = f"{line['paradigm'].upper()} {line['codec']}", "fits" if line["fits"] else ""
        rate = f"{line['bits'] / 1e6:.3f}"
        typer.echo(f"{fits:4} {chain:<24} {line['rate_point']:<9} {rate:>10} {macs:>7}  {line['quality']:.2f}")
    if recommendation.points["macs"].notna().any() and not recommendation.points["counted"].all():
        typer.echo("+: without the operations of the encoder, which is an external program")
    best = recommendation.best
    if best is None:
        least = recommendation.points.loc[recommendation.points["bits"].idxmin()]
        chain = f"{least['paradigm'].upper()} {least['codec']} at {least['rate_point']}"
        typer.echo(f"nothing fits; the least is {least['bits'] / 1e6:.3f} Mbit/s, {chain}")
        raise typer.Exit(1)
    facts = {"--size": size, "--camera": camera, "--spike-rate": spike_rate}
    more = [word for name, value in facts.items() if value for word in (name, str(value))]
    typer.echo(f"use {best['paradigm'].upper()} {best['codec']} at {best['rate_point']}:")
    typer.echo(f"  {command_of(best, recording, extractor, more)}")
