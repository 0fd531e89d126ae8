"""A whole codec in a package of its own: coarse 8-bit frames through zlib."""

import zlib

import numpy as np

from bench.interfaces import Codec, CodingCondition, StreamInfo, to_uint8


class Deflate(Codec):
    """8-bit frames through zlib, coarser steps at lower rates."""

    name = "deflate"
    rate_points = (64, 32, 16, 8)

    def compress(self, frames: np.ndarray, rate_point: int, condition: CodingCondition) -> bytes:
        """Quantise and compress."""
        return zlib.compress((to_uint8(frames) // rate_point).tobytes())

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Give each step its middle, and the outermost ones the ends of the range."""
        steps = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(info.shape)
        last = 255 // info.rate_point
        return (steps / np.float32(last)).astype(np.float32)
