"""How fast is SCI's whole CAAS chain? Frames a second of each stage and of each side.

    python benchmarks/chain.py [--codec sci] [--rate 2] [--size 256] [--frames 32] [--device cuda]

One sequence of s-motion is sent through the chain. Every stage runs once to warm up, and then three times for the
median, loading of weights included. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
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
    """Print a line for each stage, for each side and for the chain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="sci")
    parser.add_argument("--rate", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    dataset = create(Dataset, f"s-motion:size={options.size}")
    info = dataset.sequences()[0]
    spikes = dataset.open(info.name).spikes(0, 41 + 8 * (options.frames - 1))
    instants = 20 + 8 * np.arange(options.frames)
    place = f"device={options.device}"
    extractor, analyzer = create(Extractor, f"sci:{place}"), create(Analyzer, f"sci:{place}")
    codec = create(Codec, f"{options.codec}{',' if ':' in options.codec else ':'}{place}")

    extraction, features = timed(lambda: extractor.extract(spikes, instants, info.rate))
    encoding, encoded = timed(lambda: codec.encode(features, options.rate, CodingCondition(), Content.FEATURES))
    decoding, decoded = timed(lambda: codec.decode(encoded.stream))
    analysis, _ = timed(lambda: analyzer.analyze(decoded.frames, decoded.motion))
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}, {options.size}x{options.size}"
    )
    for name, seconds in (
        ("extraction", extraction),
        ("encoding", encoding),
        ("camera side", extraction + encoding),
        ("decoding", decoding),
        ("analysis", analysis),
        ("cloud side", decoding + analysis),
        ("whole chain", extraction + encoding + decoding + analysis),
    ):
        print(f"{name:12} {1000 * seconds / options.frames:6.0f} ms a frame, {options.frames / seconds:5.1f} a second")


if __name__ == "__main__":
    main()
