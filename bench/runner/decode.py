"""The fresh process that every stream is decoded in: ``python -m bench.runner.decode STREAM TARGET [CODEC]``.

It gets the file alone, writes TARGET.npy (and TARGET.motion.npy), and prints one JSON line: the SHA-256 of what
it decoded, or the error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.interfaces import unpack_stream
from bench.registry import codec_for_stream


def main(arguments: list[str]) -> int:
    """Decode; 0 when done, 2 when the stream is at fault."""
    source, target, *codec = arguments
    try:
        stream = Path(source).read_bytes()
        info, _ = unpack_stream(stream)
        decoded = codec_for_stream(info, *codec).decode(stream)
    except (BenchError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 2
    np.save(f"{target}.npy", decoded.frames, allow_pickle=False)
    if decoded.motion is not None:
        np.save(f"{target}.motion.npy", decoded.motion, allow_pickle=False)
    print(json.dumps({"sha256": decoded.sha256, "shape": decoded.frames.shape}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
