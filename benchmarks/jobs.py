"""The runner's own cost for each job: plans and runs of 1,000 to 100,000 jobs that do nothing, or next to nothing.

    python benchmarks/jobs.py [--coded] [--scheduler local:8] [--most 100000] [--plot FILE.png]

Prints seconds, jobs a second and the client's processor time and peak memory for each number of jobs, measured in a
process of its own.
With --coded, jobs are whole ones of real codecs on tiny recordings: coded, decoded in another process and measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.interfaces import Codec, ComponentOptions, Dataset, Recording, SequenceInfo
from bench.runner.execute import run_job

NUMBERS = (1_000, 3_000, 10_000, 30_000, 100_000)
# With --coded: codecs, segments of a recording (of 49 spike frames each), its side in pixels, and the grid.
CODECS, SEGMENTS, SIDE = ("raw", "zstd", "xz", "isi"), 25, 16
GRID = {"paradigms": ("cta",), "codecs": CODECS, "extractors": ("tfp",), "frames": 2, "segments": 0}


class Many(Dataset):
    """Sequences that are never opened."""

    name = "many"

    class Options(ComponentOptions):
        """Options: number of sequences."""

        count: int = 250

    def sequences(self) -> list[SequenceInfo]:
        return [SequenceInfo(f"s{i:06}", 289, 250, 400, 1.0) for i in range(self.options.count)]

    def fingerprint(self, name: str) -> str:
        return name

    def open(self, name: str) -> Recording:
        raise NotImplementedError


class Nothing(Codec):
    """A codec with four rate points that is never asked to code."""

    name = "nothing"
    rate_points = (1, 2, 3, 4)

    def compress(self, frames: np.ndarray, rate_point: object, condition: object) -> bytes:
        raise NotImplementedError

    def decompress(self, payload: bytes, info: object) -> np.ndarray:
        raise NotImplementedError


def nothing(job: object, store: object) -> object:
    """Do the work of a job: return a row that looks like a real one, without a stream."""
    from bench.runner.execute import failed

    outcome = failed(job, "")
    measured = {"status": "ok", "bits": 1000, "bpp": 0.01234567890123, "bpf": 0.1, "psnr": 30.123456789012}
    return dataclasses.replace(outcome, row=outcome.row.model_copy(update=measured))


def record(folder: Path, number: int) -> None:
    """Write recordings of random spikes for so many jobs."""
    from bench.spikes import write_dat

    folder.mkdir()
    length = 49 + 16 * (SEGMENTS - 1)
    for index in range(number // (SEGMENTS * len(CODECS))):
        spikes = np.random.default_rng(index).random((length, SIDE, SIDE)) < 0.3
        write_dat(folder / f"s{index:04}.dat", spikes.astype(np.uint8))


def measure(number: int, coded: bool, scheduler: str) -> dict[str, float]:
    """Plan and run so many jobs with two workers, or a cluster's; returns figures of this process, the client."""
    from bench.runner.cluster import ClusterLane
    from bench.runner.plan import make_plan
    from bench.runner.pool import LocalLane
    from bench.runner.run import run_plan
    from bench.runner.spec import make_spec
    from bench.runner.store import Store

    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as name:
        os.environ["BENCH_CACHE"] = name  # for a cluster's workers
        store = Store(Path(name, "store"))
        grid = {
            "datasets": (f"{here}:Many:count={number // 4}",),
            "codecs": (f"{here}:Nothing",),
            "extractors": ("tfp",),
        }
        if coded:
            record(Path(name, "recordings"), number)
            grid = {**GRID, "datasets": (f"dat:root={name}/recordings,size={SIDE}x{SIDE},rate=0.6",)}
        began, before = time.perf_counter(), time.process_time()
        plan = make_plan(make_spec(**grid))
        planned = time.process_time() - before
        lane = ClusterLane(scheduler) if scheduler else LocalLane(2, work=run_job if coded else nothing)
        done = run_plan(plan, Path(name, "run"), store, lane=lane, resume=False, timing=0, progress=lambda *_: None)
        seconds, own = time.perf_counter() - began, time.process_time() - before
        assert done.states["ok"] == number == len(plan.jobs), done.states
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"jobs": number, "planned": planned, "seconds": seconds, "own": own, "peak_mib": peak}


def main() -> None:
    """Print a line for each number of jobs, and plot them if asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--coded", action="store_true")
    parser.add_argument("--scheduler", default="")
    parser.add_argument("--most", type=int, default=NUMBERS[-1])
    parser.add_argument("--number", type=int)
    arguments = parser.parse_args()
    if arguments.scheduler and not arguments.coded:
        parser.error("--scheduler is for --coded: a cluster's workers do whole jobs")
    if arguments.number:
        print(json.dumps(measure(arguments.number, arguments.coded, arguments.scheduler)))
        return
    rows = []
    for number in (number for number in NUMBERS if number <= arguments.most):
        command = [sys.executable, __file__, *sys.argv[1:], "--number", str(number)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        row = rows[-1]
        print(
            f"{number:7,} jobs: planned in {row['planned']:.1f} s, done in {row['seconds']:.1f} s, "
            f"{number / row['seconds']:.0f} jobs a second, {1000 * row['seconds'] / number:.2f} ms a job, "
            f"client: {1000 * row['own'] / number:.2f} ms of processor a job, at most {row['peak_mib']:.0f} MiB",
            flush=True,
        )
    if arguments.plot:
        _plot(rows, arguments.plot)


def _plot(rows: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axis = figure.subplots()
    axis.plot([row["jobs"] for row in rows], [1000 * row["seconds"] / row["jobs"] for row in rows], "o-")
    axis.set(xscale="log", xlabel="jobs in the run", ylabel="ms a job, bookkeeping alone", ylim=(0, None))
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
