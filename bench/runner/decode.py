"""The fresh process that every stream is decoded in: ``python -m bench.runner.decode STREAM TARGET [CODEC]``.

It gets the file alone, writes TARGET.npy (and TARGET.motion.npy), and prints one JSON line: the SHA-256 of what
it decoded, or the error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.interfaces import unpack_stream
from bench.registry import codec_for_stream
from bench.runner.store import array_bytes


def main(arguments: list[str]) -> int:
    """Decode; 0 when done, 2 when the stream is at fault, 3 when this machine's disk is."""
    source, target, *codec = arguments
    try:
        stream = Path(source).read_bytes()
        info, _ = unpack_stream(stream)
        decoded = codec_for_stream(info, *codec).decode(stream)
    except BenchError as error:
        print(json.dumps({"error": str(error)}))
        return 2
    except OSError as error:
        return _disk(error)
    try:
        Path(f"{target}.npy").write_bytes(array_bytes(decoded.frames))
        if decoded.motion is not None:
            Path(f"{target}.motion.npy").write_bytes(array_bytes(decoded.motion))
    except OSError as error:
        return _disk(error)
    print(json.dumps({"sha256": decoded.sha256, "shape": decoded.frames.shape}))
    return 0


def _disk(error: OSError) -> int:
    print(json.dumps({"disk": error.errno, "error": error.strerror or str(error)}))
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
