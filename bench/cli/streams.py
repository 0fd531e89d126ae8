"""``bench encode``, ``decode`` and ``verify``: streams of recordings, and the stored streams of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli._shared import (
    Camera,
    Margin,
    Size,
    SpikeRate,
    Start,
    Stride,
    files_and_targets,
    for_each,
    one_rate_point,
    open_store,
)
from bench.cli.board import check_options, verify_submission
from bench.errors import BenchError, one_line
from bench.progress import Progress, progress_bar
from bench.sampling import Sampling


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(encode)
    app.command()(decode)
    app.command()(verify)


def encode(
    recordings: Annotated[list[Path], typer.Argument(help=".dat recordings, or folders of them.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The file that crosses the link; of several recordings, a folder of them."),
    ],
    codec: Annotated[str, typer.Option(help="Codec, as name or name:key=value.")] = "vvenc",
    paradigm: Annotated[str, typer.Option(help="cta, atc or caas.")] = "caas",
    size: Size = "",
    camera: Camera = "",
    rate: Annotated[str, typer.Option(help="Rate point; by default the one with the highest rate.")] = "",
    spike_rate: SpikeRate = None,
    extractor: Annotated[str, typer.Option(help="Extractor: on the camera, or in the cloud (CTA).")] = "sci",
    analyzer: Annotated[
        str, typer.Option(help="Analyzer: in the cloud, or on the camera (ATC); the extractor's own by default.")
    ] = "",
    start: Start = 0,
    frames: Annotated[
        int,
        typer.Option(min=0, help="K, number of coding instants (0: as many as fit; for CTA, all spikes to the end)."),
    ] = 0,
    stride: Stride = Sampling.stride,
    margin: Margin = Sampling.margin,
    intra_period: Annotated[int, typer.Option(min=1, help="Coded frames from one intra frame to the next.")] = 16,
    structure: Annotated[str, typer.Option(help="low_delay or random_access.")] = "low_delay",
) -> None:
    """Encode recordings as the camera would. A long recording becomes several segments in one file."""
    from bench.runner.spec import make_spec
    from bench.stream.recording import Cut, encode_recording

    point = one_rate_point(rate)
    coding = make_spec(intra_period=intra_period, structure=structure).coding
    cut = Cut(start, frames, stride, margin)
    pairs = files_and_targets(recordings, ".dat", out, ".spk")
    with progress_bar("encoding") as progress:

        def encoded(pair: tuple[Path, Path]) -> str:
            recording, stream = pair
            _make_folder(stream, out)
            return encode_recording(
                recording, stream, cut, codec=codec, paradigm=paradigm, extractor=extractor, analyzer=analyzer,
                coding=coding, size=size, camera=camera, spike_rate=spike_rate, rate_point=point,
                progress=_naming(recording, pairs, progress),
                warn=lambda text: typer.echo(f"note: {one_line(text)}", err=True),
            )  # fmt: skip

        for_each(pairs, encoded)


def decode(
    streams: Annotated[
        list[Path], typer.Argument(help="Streams from `bench encode`, or from a run's folder; or folders of them.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder for PNG pictures, or a file: .npy, .png, .mp4, .mkv, .gif; .dat for spikes. Of several "
            "streams, a folder, in which each gets a folder of its own, or a file with --suffix.",
        ),
    ],
    suffix: Annotated[str, typer.Option(help="What several streams become, such as .mp4; folders by default.")] = "",
    codec: Annotated[str, typer.Option(help="Codec with its paths on this machine, if its name is not enough.")] = "",
    extractor: Annotated[
        str, typer.Option(help="Extractor with its paths on this machine, or for a stream that does not state it.")
    ] = "",
    analyzer: Annotated[
        str, typer.Option(help="Analyzer with its paths on this machine, or for a stream that does not state it.")
    ] = "",
    spike_rate: Annotated[
        float | None,
        typer.Option(help="Spikes per frame at unit luminance, for a stream of spikes that does not state it."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Spike frames between instants, for a stream that does not state it (8).")
    ] = None,
    margin: Annotated[
        int | None,
        typer.Option(min=0, help="Spike frames before the first instant, for a stream that does not state it (20)."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the codec's output, without extraction and analysis.")
    ] = False,
) -> None:
    """Decode streams to frames, as the cloud would. A stream names codec, extractor and analyzer."""
    from bench.stream.analysis import StatedChain
    from bench.stream.recording import decode_stream

    stated = StatedChain(extractor, analyzer, spike_rate, stride, margin)
    pairs = files_and_targets(streams, ".spk", out, suffix)
    if suffix and pairs[0][1] == out:
        raise BenchError("--suffix is for several streams; --out names what one becomes")
    if suffix and not suffix.startswith("."):
        raise BenchError(f"--suffix {suffix}: a suffix begins with a dot, such as .mp4")
    with progress_bar("decoding") as progress:

        def decoded(pair: tuple[Path, Path]) -> str:
            stream, target = pair
            _make_folder(target, out)
            stream_progress = _naming(stream, pairs, progress)
            return decode_stream(stream, target, codec=codec, stated=stated, raw=raw, progress=stream_progress)

        for_each(pairs, decoded)


def _make_folder(target: Path, out: Path) -> None:
    """Create the folder `out` where the target lies in it."""
    from bench.stream.outputs import write_errors

    if target != out:
        with write_errors(out):
            out.mkdir(parents=True, exist_ok=True)


def _naming(file: Path, pairs: Sequence[tuple[Path, Path]], progress: Progress) -> Progress:
    """Progress that names the file where there are several."""
    if len(pairs) == 1:
        return progress
    return lambda done, total, label: progress(done, total, f"{file.name}, {label}")


def verify(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run.")] = None,
    submission: Annotated[
        Path | None, typer.Option(help="Archive of `bench submit`, in place of a run; see docs/leaderboard.md.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Use the files and programs that run.json names; only for your own run.")
    ] = False,
    sample: Annotated[
        int, typer.Option(min=0, help="Number of a submission's rows whose streams are checked; 0 for all.")
    ] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed that draws them; a new one by default, which is printed.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="JSON file to write: what of the submission was checked, for the board.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who verifies the submission, for the record.")] = "",
) -> None:
    """Decode the streams of a run, or of a submission, in new processes and compare them with the rows.

    The exit code is 1 if something differs, and 2 if there is nothing to verify.
    """
    others = {"--sample": sample > 0, "--seed": seed is not None, "--record": record is not None, "--by": bool(by)}
    check_options(run, submission, {"--trust": trust} if submission else others)
    if submission:
        verify_submission(submission, sample, seed, record, by)
    if run:
        _verify_run(run, trust)


def _verify_run(run: Path, trust: bool) -> None:
    from bench.results.document import read_run_file
    from bench.results.rows import RD_FILE, rd_frame
    from bench.runner.verify import verify_run

    total = int(rd_frame(run / RD_FILE, ["status"])["status"].eq("ok").sum())
    if not total:
        raise BenchError(f"{run} has no finished row")
    bad = 0
    with progress_bar("verifying") as progress:
        for done, check in enumerate(verify_run(run, open_store(), trust), start=1):
            progress(done, total, f"{check.row.codec} {check.row.rate_point} {check.row.sequence}")
            if check.problem:
                row = check.row
                typer.echo(f"BAD {row.job} {row.paradigm} {row.codec} {row.rate_point} {row.sequence}: {check.problem}")
                bad += 1
    typer.echo(f"{total - bad} of {total} streams decode to what their rows state")
    if read_run_file(run)["status"] != "finished":
        typer.echo(f"bench: {run} is not finished, further rows are missing (--resume goes on with it)", err=True)
    if bad:
        raise typer.Exit(1)
