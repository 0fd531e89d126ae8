"""Throughput of labelled samples: each stage, a whole test split, and peak memory.

    python benchmarks/samples.py [--dataset s-digits] [--samples 60] [--rates 0,2,4,6] [--codec sci]

It uses a cache of its own, which it removes. A set whose files are not built in is named with its folder, such as
``s-mnist:root=FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = [sys.executable, "-m", "bench", "run", "--task", "classification"]
SPLIT = 10_000  # samples of the test splits of MNIST and CIFAR-10


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="s-digits")
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--rates", default="0,2,4,6")
    parser.add_argument("--codec", default="sci")
    parser.add_argument("--paradigm", default="caas")
    parser.add_argument("--analyzer", default="", help="a classifier, for sets that have none in the package")
    options = parser.parse_args()
    chain = ["--dataset", options.dataset, "--paradigm", options.paradigm, "--codec", options.codec]
    chain += ["--analyzer", options.analyzer] if options.analyzer else []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "BENCH_CACHE": str(Path(folder) / "cache")}
        out = Path(folder) / "run"
        flags = ["--rates", options.rates, "--limit", str(options.samples), "--no-figures", "--out", str(out)]
        began = time.perf_counter()
        subprocess.run([*BENCH, *chain, *flags], check=True, env=environment, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        document = json.loads((out / "run.json").read_text())
    points = options.samples * len(options.rates.split(","))
    print(f"{options.dataset}, {options.samples} samples, {points} points, {document['workers']} workers: {wall:.1f} s")
    for stages in document["stage_seconds"].values():
        for kind, seconds in stages.items():
            count = options.samples if kind in ("simulate", "extract") else points
            print(f"{kind:10} {1000 * seconds / count:6.0f} ms each, {count / seconds:6.1f} a second and core")
    # Starting takes a few seconds that a long run has once.
    busy = sum(seconds for stages in document["stage_seconds"].values() for seconds in stages.values())
    whole = busy / points * SPLIT * len(options.rates.split(",")) / document["workers"] / 60
    print(f"{SPLIT} samples at these rate points: {whole:.0f} minutes with {document['workers']} workers")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
