"""Time and memory for a long recording: 10 s of 400x250 at 20 kHz (2.5 GB) is simulated, coded under CAAS and decoded.

    python benchmarks/long.py [--seconds 10] [--codec sci] [--extractor sci] [--stride 8] [--folder FOLDER]

Prints the seconds and the peak memory (resident, of all processes together) of each step. FOLDER keeps the recording.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from bench.spikes import PackedSpikes, SpikeCamera

HEIGHT, WIDTH, RATE_HZ, PIECE = 250, 400, 20_000, 500


def simulate(path: Path, num_spikes: int) -> None:
    """Simulate a smooth texture that moves by one pixel in ten spike frames, and write it piece by piece."""
    rows, columns = np.mgrid[0:HEIGHT, 0 : 2 * WIDTH]
    texture = 0.5 + 0.25 * np.sin(rows / 9 + columns / 31) + 0.2 * np.cos(columns * np.pi / 25)
    texture = np.clip(texture, 0, 1).astype(np.float32)
    camera = SpikeCamera(HEIGHT, WIDTH, alpha=0.6, theta=1.0, seed=0)
    with path.open("wb") as file:
        for start in range(0, num_spikes, PIECE):
            places = [(start + k) // 10 % WIDTH for k in range(min(PIECE, num_spikes - start))]
            luminance = np.stack([texture[:, place : place + WIDTH] for place in places])
            file.write(PackedSpikes.pack(camera.expose(luminance)).data)
    path.with_suffix(".json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "rate": 0.6}))


def watched(*arguments: object) -> tuple[str, float, float]:
    """Run a command; returns its output, its seconds, and the peak memory of all its processes together, in MiB."""
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    whole = psutil.Process(process.pid)
    while process.poll() is None:
        memory = 0
        for part in (whole, *whole.children(recursive=True)):
            try:
                memory += part.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, memory)
        time.sleep(0.1)
    assert process.returncode == 0 and process.stdout is not None
    return process.stdout.read().strip(), time.perf_counter() - began, peak / 2**20


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--codec", default="sci")
    parser.add_argument("--extractor", default="sci")
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        simulate(options.folder / "long.dat", options.simulate)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        steps = {
            "simulate": (__file__, "--simulate", round(options.seconds * RATE_HZ), "--folder", folder),
            "encode": (
                "-m", "bench", "encode", folder / "long.dat", "-o", folder / "long.spk",
                "--codec", options.codec, "--extractor", options.extractor, "--stride", options.stride,
            ),
            "decode": (
                "-m", "bench", "decode", folder / "long.spk", "-o", folder / "long.npy",
                "--extractor", options.extractor,
            ),
        }  # fmt: skip
        for step, command in steps.items():
            if step == "simulate" and (folder / "long.dat").exists():
                continue
            output, seconds, peak = watched(*command)
            print(f"{step}: {seconds:.0f} s, peak of all processes {peak:.0f} MiB. {output}", flush=True)
        size = (folder / "long.dat").stat().st_size
        print(f"the recording: {size / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
