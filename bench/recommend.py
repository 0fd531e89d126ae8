"""``bench recommend``: which paradigm and codec suit a camera, its link and its processor, from a recording of it."""

from __future__ import annotations

import math
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.datasets.dat import one_recording
from bench.errors import BenchError
from bench.interfaces import Codec, join_names
from bench.measure.profile import Profiled, ProfileRow, profile_chains
from bench.registry import create
from bench.report.paper.tables import side_cost
from bench.report.rows import Runs, load_runs, mean_points
from bench.request import ProgressBar, Request, choose, measure
from bench.results.rows import codec_spec
from bench.runner.plan import Job, Plan, coded_content
from bench.sampling import Sampling

# An intra period, which is what a stream repeats.
_FRAMES = 16
# Side of the pictures whose operations are counted; those of the recording's size follow from the number of pixels.
_COUNTED = 256
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
# Measures that points are judged by: against the truth where it is known, else against the recording's own spikes.
_BY_TRUTH, _BY_SPIKES = "psnr", "consistency: rate_psnr"


@dataclass(frozen=True)
class Limits:
    """What a camera has.

    Attributes
    ----------
    link
        Bits a second.
    camera
        Multiply-accumulates a result on the camera's side; infinite where it does not matter, and is not measured.
    hertz
        Spike frames a second.
    """

    link: float
    camera: float = math.inf
    hertz: float = 20_000.0


@dataclass(frozen=True)
class Recommendation:
    """What was measured, and what of it suits.

    Attributes
    ----------
    points
        One line for each point that was measured, the best that fits first: ``paradigm``, ``codec``, ``rate_point``,
        ``bits`` (a second), ``macs`` (a result on the camera's side; NaN where not measured), ``counted`` (whether
        that has the encoder's operations), ``quality`` (dB), ``fits``.
    quality
        Title of the measure of quality.
    missing
        What was not measured, and why.
    """

    points: pd.DataFrame
    quality: str
    missing: list[str]

    @property
    def best(self) -> dict[str, Any] | None:
        """The point that fits with the highest quality, the cheaper one of equals; None where none fits."""
        return next((line for line in self.points.to_dict("records") if line["fits"]), None)


def quantity(text: str, unit: str) -> float:
    """Read a number with a unit, such as ``2Mbit/s`` or ``10GMAC``; the unit may be left out.

    Raises
    ------
    BenchError
        If it is no positive number of this unit.
    """
    match = re.fullmatch(rf"([0-9.]+(?:e[0-9]+)?)\s*([kMGT]?)(?:{re.escape(unit)})?", text.strip())
    try:
        value = float(match[1]) * _PREFIXES[match[2]] if match else 0.0
    except ValueError:
        value = 0.0
    if value <= 0:
        raise BenchError(f"'{text}' is no number of {unit}; write 2M{unit}, say")
    return value


def recommend(
    recording: Path, limits: Limits, bar: ProgressBar, *, codecs: Sequence[str], paradigms: Sequence[str],
    extractor: str = "sci", size: str = "", camera: str = "", spike_rate: float | None = None,
) -> Recommendation:  # fmt: skip
    """Measure codecs on the first intra period of a recording.

    Of a chain whose lowest rate point the link does not carry, the other points are not measured.

    Parameters
    ----------
    recording
        A .dat file.
    limits
        What the camera has.
    bar
        Function that shows a progress bar with a title.
    codecs, paradigms, extractor
        Specs. A codec is left out where it is not available, or does not take what a paradigm codes.
    size, camera, spike_rate
        See `bench.datasets.dat.Dat`.

    Raises
    ------
    BenchError
        If the recording is unreadable or too short, or nothing could be measured.
    """
    _, info = one_recording(recording, size=size, camera=camera, rate=spike_rate)
    fits = Sampling().count(info.num_spikes)
    known = bool(info.truth_at) or info.truth_at is None
    suite, plan = choose(
        datasets=(_spec(recording, size, camera, spike_rate),), codecs=tuple(codecs), paradigms=tuple(paradigms),
        extractors=(extractor,), tasks=("reconstruction" if known else "consistency",),
        frames=min(_FRAMES, max(fits, 1)),
    )  # fmt: skip
    quality, pixels = _BY_TRUTH if known else _BY_SPIKES, info.height * info.width
    first, further = _in_two(plan)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / "first"]
        measure(Request(suite, first, folders[0], figures=False), bar)
        runs = load_runs(folders, trusted=True)
        points = _points(runs, quality, limits, pixels)
        dear = {(line.paradigm, line.codec) for line in points.itertuples() if line.bits > limits.link}
        rest = tuple(job for job in further.jobs if _chain(job) not in dear)
        if rest:
            folders.append(Path(name) / "further")
            measure(Request(suite, replace(plan, jobs=rest), folders[1], figures=False), bar)
            runs = load_runs(folders, trusted=True)
            points = _points(runs, quality, limits, pixels)
    missing = [f"{row.paradigm} {row.codec}: {row.reason}" for row in _unmeasured(runs).itertuples()]
    for paradigm, codec in sorted(dear & {_chain(job) for job in further.jobs}):
        missing.append(f"{paradigm} {codec} above its lowest rate point, which the link does not carry")
    if points.empty:
        raise BenchError(f"nothing could be measured; the first of {len(missing)} says: {(missing or ['no job'])[0]}")
    costs = _costs(points, limits, extractor, pixels, bar)
    points = points.join(pd.DataFrame(costs, points.index))
    points["fits"] = points["bits"].le(limits.link) & ~points["macs"].gt(limits.camera)
    order = points.sort_values(["fits", "quality", "bits"], ascending=[False, False, True], kind="stable")
    return Recommendation(order.reset_index(drop=True), runs.measure_title(quality), missing)


def command_of(line: dict[str, Any], recording: Path, extractor: str, more: Sequence[str] = ()) -> str:
    """The command that encodes the recording as a point of `Recommendation.points` does."""
    words = ["bench", "encode", str(recording), "--paradigm", line["paradigm"], "--codec", line["codec"]]
    return shlex.join([*words, "--rate", line["rate_point"], "--extractor", extractor, *more, "-o", "stream.spk"])


def _spec(recording: Path, size: str, camera: str, spike_rate: float | None) -> str:
    options = {"root": str(recording), "size": size, "camera": camera, "rate": spike_rate}
    return "dat:" + join_names(f"{key}={value}" for key, value in options.items() if value)


def _in_two(plan: Plan) -> tuple[Plan, Plan]:
    """Split a plan into the lowest rate point of each chain, and the others."""
    lowest: dict[tuple[str, str], Job] = {}
    for job in plan.jobs:  # a chain's jobs are in the order of their rates
        lowest.setdefault(_chain(job), job)
    others = tuple(job for job in plan.jobs if job != lowest[_chain(job)])
    return replace(plan, jobs=tuple(lowest.values())), replace(plan, jobs=others)


def _chain(job: Job) -> tuple[str, str]:
    return job.paradigm, create(Codec, job.codec).spec


def _points(runs: Runs, quality: str, limits: Limits, pixels: int) -> pd.DataFrame:
    """The measured points, without cost on the camera."""
    lines = []
    for line in mean_points(runs.points).to_dict("records"):
        # Spikes are coded at every spike frame; features and results at every coding instant, and not in the margins.
        spikes = coded_content(line["paradigm"], line["task"]).is_spikes
        bits = line["bpp"] if spikes else line["bpf"] / Sampling.stride
        row = runs.table[runs.point(line)].iloc[0]
        lines.append(
            {
                "paradigm": line["paradigm"],
                "codec": codec_spec(row["codec"], row["options"]),
                "rate_point": line["rate_point"],
                "bits": bits * pixels * limits.hertz,
                "quality": line[quality],
            }
        )
    return pd.DataFrame(lines)


def _unmeasured(runs: Runs) -> pd.DataFrame:
    rows = runs.table[runs.table["status"].ne("ok")]
    return rows[["paradigm", "codec", "reason"]].astype(str).drop_duplicates()


def _costs(points: pd.DataFrame, limits: Limits, extractor: str, pixels: int, bar: ProgressBar) -> dict[str, list[Any]]:
    """What each point costs the camera: that of its chain at the codec's middle rate point, on a built-in sequence."""
    pairs = list(zip(points["paradigm"], points["codec"], strict=True))
    if math.isinf(limits.camera):
        return {"macs": [math.nan] * len(points), "counted": [False] * len(points)}
    affordable = [pair for pair, bits in zip(pairs, points["bits"], strict=True) if bits <= limits.link]
    chains = [Profiled(*pair, extractor=extractor, repeats=1) for pair in dict.fromkeys(affordable)]
    with bar("counting") as progress:
        rows = profile_chains(chains, progress)
    table = pd.DataFrame([ProfileRow.model_dump(row) for row in rows])
    costs: dict[tuple[str, str], tuple[float, bool]] = {}
    for chain in chains:
        codec = create(Codec, chain.codec).spec
        own = table[table["paradigm"].eq(chain.paradigm) & table["codec"].eq(codec) & table["side"].eq("camera")]
        cost = side_cost(own)
        costs[chain.paradigm, chain.codec] = cost["macs"] * pixels / _COUNTED**2, not cost["external"]
    point_costs = [costs.get(pair, (math.nan, False)) for pair in pairs]
    return {"macs": [macs for macs, _ in point_costs], "counted": [counted for _, counted in point_costs]}
