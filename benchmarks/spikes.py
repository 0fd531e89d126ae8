"""Speed of packing, files, simulation and extraction of spikes, each next to a reference measured in the same run.

python benchmarks/spikes.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.extractors.tfi import Tfi
from bench.extractors.tfp import Tfp
from bench.spikes import PackedSpikes, read_dat, simulate, write_dat

FRAMES, HEIGHT, WIDTH = 289, 256, 256


def median_seconds(action: Callable[[], object], repeats: int = 15) -> float:
    """Median seconds of several runs, after one to warm up."""
    return medians(action, repeats=repeats)[0]


def medians(*actions: Callable[[], object], repeats: int = 60) -> list[float]:
    """Median seconds of actions, after one run of each to warm up.

    The actions take turns, so that other load on the machine affects all of them alike.
    """
    seconds: list[list[float]] = [[] for _ in actions]
    for turn in range(repeats + 1):
        for action, times in zip(actions, seconds, strict=True):
            began = time.perf_counter()
            action()
            if turn:
                times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in seconds]


def python_loop(luminance: np.ndarray, rate: float) -> None:
    """Simulate the camera pixel by pixel in plain Python, as a reference."""
    for row in luminance.transpose(1, 2, 0).tolist():
        for pixel in row:
            v = 0.0
            spikes = []
            for light in pixel:
                v += rate * light
                fired = v >= 1.0
                v -= fired
                spikes.append(fired)


def long_recording(folder: Path) -> tuple[float, float, int]:
    """Map and slice a recording of 10 s at 20 kHz of 400x250 (2.5 GB), a sparse file.

    Returns seconds to map it, seconds to read 289 frames, and the growth of peak memory in MiB.
    """
    import resource

    path = folder / "long.dat"
    with path.open("wb") as file:
        file.truncate(200_000 * 400 * 250 // 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = median_seconds(lambda: read_dat(path, 250, 400), 3)
    recording = read_dat(path, 250, 400)
    sliced = median_seconds(lambda: recording[150_000:150_289], 3)
    return opened, sliced, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def main() -> None:
    """Print a line for each figure."""
    random = np.random.default_rng(0)
    luminance = random.random((FRAMES, HEIGHT, WIDTH), np.float32)
    spikes = simulate(luminance, rate=0.6)
    packed = PackedSpikes.pack(spikes)

    def report(name: str, seconds: float, reference: str, other: float, ratio: float) -> None:
        print(f"{name:<42} {seconds * 1e3:9.2f} ms   {reference:<34} {other * 1e3:9.2f} ms   {ratio:7.2f}")

    print(f"{FRAMES} frames of {WIDTH}x{HEIGHT}, medians; the last column is a ratio of throughputs or of times")
    unpack, numpy_unpack = medians(lambda: packed[:], lambda: np.unpackbits(packed.data, bitorder="little"))
    report("packed to array", unpack, "np.unpackbits alone", numpy_unpack, numpy_unpack / unpack)
    pack, numpy_pack = medians(lambda: PackedSpikes.pack(spikes), lambda: np.packbits(spikes, bitorder="little"))
    report("array to packed", pack, "np.packbits alone", numpy_pack, numpy_pack / pack)

    def copy_arrays() -> None:
        luminance.copy()
        np.full(spikes.shape, 1, np.uint8)

    camera, copied, alone = medians(lambda: simulate(luminance, rate=0.6), copy_arrays, luminance.copy, repeats=20)
    report("simulator", camera, "copying its input alone", alone, camera / alone)
    report("simulator", camera, "copying its input, writing its output", copied, camera / copied)
    part = luminance[:, :16, :16]
    small = median_seconds(lambda: simulate(part, rate=0.6), 5)
    loop = median_seconds(lambda: python_loop(part, 0.6), 3)
    whole = loop * HEIGHT * WIDTH / part[0].size
    report("simulator", camera, "Python loop (16x16, scaled up)", whole, whole / camera)
    report("simulator, 16x16 pixels", small, "Python loop", loop, loop / small)
    instants = 20 + 8 * np.arange(32)
    for extractor in (Tfp(), Tfi()):
        seconds = median_seconds(lambda e=extractor: e.extract(spikes, instants, 0.6))
        print(f"{extractor.name + ', 32 instants':<42} {seconds * 1e3:9.2f} ms")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.dat"
        other = Path(name) / "numpy.dat"
        written, plain_write = medians(
            lambda: write_dat(path, spikes), lambda: np.packbits(spikes, bitorder="little").tofile(other)
        )
        recording = read_dat(path, HEIGHT, WIDTH)
        read, plain_read = medians(
            lambda: recording[:], lambda: np.unpackbits(np.fromfile(other, np.uint8), bitorder="little")
        )
        report(".dat file to array", read, "np.fromfile and np.unpackbits", plain_read, plain_read / read)
        report("array to .dat file", written, "np.packbits and tofile", plain_write, plain_write / written)
        opened, sliced, grown = long_recording(Path(name))
        print(f"2.5 GB recording: open {opened * 1e3:.2f} ms, 289 frames {sliced * 1e3:.1f} ms, memory +{grown} MiB")


if __name__ == "__main__":
    main()
