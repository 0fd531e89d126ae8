"""What the lossless spike codecs share: they take frames of {0, 1} only and have one rate point."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from bench.errors import BenchError, StreamError
from bench.interfaces import Codec, CodingCondition, RatePoint, StreamInfo


class LosslessSpikeCodec(Codec):
    """Base of the codecs that give spikes back bit by bit. Subclasses write `pack` and `unpack`."""

    accepts = frozenset({"spikes"})
    rate_points = ("lossless",)
    default_chroma = ""

    @abstractmethod
    def pack(self, spikes: np.ndarray) -> bytes:
        """Code spikes, T x H x W uint8 in {0, 1}."""

    @abstractmethod
    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decode spikes, T x H x W uint8 in {0, 1}; `shape` is (T, H, W)."""

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes:
        """Code float32 frames by `pack`; raises `BenchError` if they are not binary."""
        spikes = frames.astype(np.uint8)
        if not np.array_equal(spikes, frames):
            raise BenchError(f"{self.name}: frames are not binary spikes")
        return self.pack(spikes)

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Decode by `unpack`, to float32 frames."""
        return self.unpack(payload, info.shape).astype(np.float32)


def to_bits(spikes: np.ndarray) -> bytes:
    """Pack T x H x W spikes in raster order, eight to a byte, the first in the lowest bit; zeros fill the last byte."""
    return np.packbits(spikes, axis=None, bitorder="little").tobytes()


def from_bits(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Undo `to_bits`.

    Raises
    ------
    StreamError
        If the number of bytes is not exactly that of `shape`.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if len(data) != -(-count // 8):
        raise StreamError(f"{len(data)} bytes of packed spikes where {shape} needs {-(-count // 8)}")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little").reshape(shape)
