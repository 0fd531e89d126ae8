"""How fast is the CAAS chain? Frames a second of SCI's extraction and analysis, and of one or more codecs between them.

    python benchmarks/chain.py [--codec sci,dcvc,vvenc] [--point 1] [--size 256] [--frames 32] [--device cuda]

One sequence of s-motion is sent through the chain. Every stage runs once to warm up, and then three times for the
median, loading of weights included. Run it on an idle machine. To compare two versions of the suite, run it with each
in PYTHONPATH, by turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from bench.interfaces import Analyzer, Codec, CodingCondition, Content, Dataset, Extractor
from bench.registry import create

T = TypeVar("T")
_REPEATS = 3


def timed(stage: Callable[[], T]) -> tuple[float, T]:
    """Median seconds of a stage, and its output."""
    stage()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        output = stage()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), output


def main() -> None:
    """Print a line for each stage and for the chain of each codec."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="sci", help="names, with commas between them")
    parser.add_argument("--point", type=int, default=1, help="number of the rate point, from the lowest one, 0")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--device", default="cpu", help="of networks")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    dataset = create(Dataset, f"s-motion:size={options.size}")
    info = dataset.sequences()[0]
    spikes = dataset.open(info.name).spikes(0, 41 + 8 * (options.frames - 1))
    instants = 20 + 8 * np.arange(options.frames)
    place = f":device={options.device}"

    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}, {options.size}x{options.size}"
    )

    def tell(name: str, seconds: float) -> None:
        each = seconds / options.frames
        print(f"{name:20} {1000 * each:6.0f} ms a frame, {1 / each:6.1f} a second", flush=True)

    extractor, analyzer = create(Extractor, f"sci{place}"), create(Analyzer, f"sci{place}")
    extraction, features = timed(partial(extractor.extract, spikes, instants, info.rate))
    tell("extraction", extraction)
    for name in options.codec.split(","):
        codec = create(Codec, name)
        if "device" in type(codec.options).model_fields:
            codec = create(Codec, name + place)
        rate = codec.rate_points[options.point]
        encoding, encoded = timed(partial(codec.encode, features, rate, CodingCondition(), Content.FEATURES))
        decoding, decoded = timed(partial(codec.decode, encoded.stream))
        analysis, _ = timed(partial(analyzer.analyze, decoded.frames, decoded.motion))
        for stage, seconds in (
            ("encoding", encoding),
            ("decoding", decoding),
            ("analysis", analysis),
            ("whole chain", extraction + encoding + decoding + analysis),
        ):
            tell(f"{name} {stage}", seconds)


if __name__ == "__main__":
    main()
