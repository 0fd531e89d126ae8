"""Do the streams of learned codecs decode to the same frames everywhere? Many streams, decoded in different processes.

    python benchmarks/decode_matrix.py [--streams 200] [--codecs dcvc,dcvc-dc,sci] [--python OTHER/bin/python]

Encodes with one thread, then decodes every stream in several fresh processes: with one thread, with two, without oneDNN
and, if another interpreter (with another release of torch) is named, with that one. Prints for each process how many
streams decode to the frames of the encoder's process. Also checks that a flipped bit in any stream is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = ((1, 1), (7, 13), (16, 16), (40, 56), (64, 64), (72, 100), (96, 128), (144, 176))


def content(index: int, random: np.random.Generator) -> np.ndarray:
    """K x H x W float32 frames in [0, 1]; the stream's number selects their size and kind."""
    height, width = SIZES[index % len(SIZES)]
    count = int(random.integers(1, 5))
    kind = index // len(SIZES) % 5
    rows, columns = np.mgrid[0:height, 0:width]
    if kind == 0:
        frames = [0.5 + 0.3 * np.sin((rows + 2 * k) / 7) + 0.2 * np.cos((columns - k) / 5) for k in range(count)]
    elif kind == 1:
        frames = list(random.random((count, height, width)))
    elif kind == 2:
        frames = [np.full((height, width), index % 2) for _ in range(count)]
    elif kind == 3:
        picture = random.random((height + 16, width + 16)).cumsum(0).cumsum(1)
        picture = np.mod(picture / picture.max() * 3, 1)
        frames = [picture[2 * k : 2 * k + height, k : k + width] for k in range(count)]
    else:
        frames = list((random.random((count, height, width)) < 0.4).astype(float))
    return np.clip(np.stack(frames), 0, 1).astype(np.float32)


def encode(folder: Path, codecs: list[str], streams: int) -> None:
    """Write the streams, and the hashes of the frames that this process decodes from them."""
    import torch

    from bench.errors import StreamError
    from bench.interfaces import Codec, CodingCondition, Content
    from bench.registry import create

    torch.set_num_threads(1)
    hashes = {}
    for name in codecs:
        codec = create(Codec, name)
        points = codec.rate_points_for(Content.FEATURES)
        for index in range(streams):
            random = np.random.default_rng([index, len(name)])
            point = points[index % len(points)]
            stream = codec.encode(content(index, random), point, CodingCondition(), Content.FEATURES).stream
            path = folder / f"{codec.name}-{index:04}.spk"
            path.write_bytes(stream)
            hashes[path.name] = codec.decode(stream).sha256
            flipped = bytearray(stream)
            flipped[int(random.integers(len(flipped)))] ^= 1 << int(random.integers(8))
            try:
                codec.decode(bytes(flipped))
            except StreamError:
                continue
            raise SystemExit(f"{path.name}: a flipped byte went unnoticed")
    (folder / "hashes.json").write_text(json.dumps(hashes))


def decode(folder: Path, threads: int, onednn: bool) -> None:
    """Decode every stream and print how many decode to frames with the stored hash."""
    import torch

    from bench.interfaces import unpack_stream
    from bench.registry import codec_for_stream

    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn
    hashes = json.loads((folder / "hashes.json").read_text())
    same = 0
    for name, sha256 in hashes.items():
        stream = (folder / name).read_bytes()
        info, _ = unpack_stream(stream)
        same += codec_for_stream(info).decode(stream).sha256 == sha256
    print(
        f"torch {torch.__version__}, {threads} threads, oneDNN {onednn}: {same} of {len(hashes)} identical", flush=True
    )


def main() -> None:
    """Encode here, decode in child processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--codecs", default="dcvc,dcvc-dc,sci")
    parser.add_argument("--python", default="")
    parser.add_argument("--decode", nargs=3, metavar=("FOLDER", "THREADS", "ONEDNN"))
    options = parser.parse_args()
    if options.decode:
        folder, threads, onednn = options.decode
        decode(Path(folder), int(threads), onednn == "on")
        return
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        encode(Path(name), options.codecs.split(","), options.streams)
        print(f"encoded in {time.perf_counter() - began:.0f} s; every flipped byte is an error", flush=True)
        processes = [(sys.executable, "1", "on"), (sys.executable, "2", "on"), (sys.executable, "1", "off")]
        if options.python:
            processes.append((options.python, "1", "on"))
        for python, *how in processes:
            subprocess.run([python, __file__, "--decode", name, *how], check=True, env=dict(os.environ))


if __name__ == "__main__":
    main()
