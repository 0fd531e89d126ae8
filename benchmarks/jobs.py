"""The runner's own cost for each job: plans and runs of 1,000 to 100,000 jobs that do nothing.

    python benchmarks/jobs.py [--plot FILE.png]

Prints seconds, jobs a second and the client's peak memory for each number of jobs, measured in a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.interfaces import Codec, ComponentOptions, Dataset, Recording, SequenceInfo

NUMBERS = (1_000, 3_000, 10_000, 30_000, 100_000)


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


def measure(number: int) -> dict[str, float]:
    """Plan and run so many jobs with two workers; returns seconds, and the peak memory of this process in MiB."""
    from bench.runner.plan import make_plan
    from bench.runner.pool import LocalLane
    from bench.runner.run import run_plan
    from bench.runner.spec import make_spec
    from bench.runner.store import Store

    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name, "store"))
        began = time.perf_counter()
        spec = make_spec(
            datasets=(f"{here}:Many:count={number // 4}",), codecs=(f"{here}:Nothing",), extractors=("tfp",)
        )
        plan = make_plan(spec)
        planned = time.perf_counter() - began
        lane = LocalLane(2, work=nothing)
        done = run_plan(plan, Path(name, "run"), store, lane=lane, resume=False, timing=0, progress=lambda *_: None)
        seconds = time.perf_counter() - began
        assert done.states["ok"] == number == len(plan.jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"jobs": number, "planned": planned, "seconds": seconds, "peak_mib": peak}


def main() -> None:
    """Print a line for each number of jobs, and plot them if asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--number", type=int)
    arguments = parser.parse_args()
    if arguments.number:
        print(json.dumps(measure(arguments.number)))
        return
    rows = []
    for number in NUMBERS:
        command = [sys.executable, __file__, "--number", str(number)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        row = rows[-1]
        print(
            f"{number:7,} jobs: planned in {row['planned']:.1f} s, done in {row['seconds']:.1f} s, "
            f"{number / row['seconds']:.0f} jobs a second, {1000 * row['seconds'] / number:.2f} ms a job, "
            f"client's peak {row['peak_mib']:.0f} MiB",
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
