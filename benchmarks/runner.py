"""Speed of whole runs: with an empty and a full store, the runner's overhead, one worker against two.

    python benchmarks/runner.py

It takes about eight minutes on two cores, and uses a cache of its own, which it removes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = [sys.executable, "-m", "bench"]


def run(folder: Path, name: str, *flags: str, cache: str = "cache") -> tuple[float, dict[str, dict[str, float]]]:
    """Run vvenc under CAAS on the default dataset; returns wall-clock seconds, and seconds by side and stage."""
    out = folder / name
    environment = {**os.environ, "BENCH_CACHE": str(folder / cache)}
    command = [*BENCH, "run", "--paradigm", "caas", "--codec", "vvenc", "--no-figures", "--out", str(out), *flags]
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    return wall, json.loads((out / "run.json").read_text())["stage_seconds"]


def main() -> None:
    """Print a line for each figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        two, _ = run(folder, "two", "--jobs", "2")
        print(f"bench run --paradigm caas --codec vvenc, two workers, cold: {two:.1f} s")
        warm, _ = run(folder, "warm", "--jobs", "2")
        print(f"the same, everything in the store: {warm:.1f} s")
        one, booked = run(folder, "one", "--jobs", "1", cache="cache-one")
        stages = sum(seconds for side in booked.values() for seconds in side.values())
        print(
            f"one worker, cold: {one:.1f} s; its stages and codec processes: {stages:.1f} s; ratio {one / stages:.3f}"
        )
        print(f"one worker against two: {one / two:.2f} times")
        began = time.perf_counter()
        subprocess.run([*BENCH, "--help"], check=True, stdout=subprocess.DEVNULL)
        print(f"bench --help: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
