"""Packed spikes through Zstandard."""

from __future__ import annotations

import numpy as np
import zstandard
from pydantic import Field

from baselines._spikes import LosslessSpikeCodec, from_bits, to_bits
from bench.interfaces import Availability, ComponentOptions


class Zstd(LosslessSpikeCodec):
    """Zstandard over packed bits, a general-purpose baseline."""

    name = "zstd"

    class Options(ComponentOptions):
        """Options: compression level."""

        level: int = Field(default=19, ge=1, le=22)
        """Compression level; higher is smaller and slower."""

    def available(self) -> Availability:
        """Version of the library."""
        return Availability(True, "zstd " + ".".join(map(str, zstandard.ZSTD_VERSION)))

    def pack(self, spikes: np.ndarray) -> bytes:
        """Compress packed bits."""
        return zstandard.ZstdCompressor(level=self.options.level).compress(to_bits(spikes))

    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decompress to no more bytes than the frames need; raises `ValueError` if the payload states more."""
        limit = -(-int(np.prod(shape, dtype=np.int64)) // 8)
        if zstandard.frame_content_size(payload) > limit:
            raise ValueError("the compressed frame states more bytes than the spikes have")
        return from_bits(zstandard.ZstdDecompressor().decompress(payload, max_output_size=limit), shape)
