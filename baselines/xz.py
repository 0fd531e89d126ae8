"""Packed spikes through LZMA."""

from __future__ import annotations

import lzma

import numpy as np
from pydantic import Field

from baselines._spikes import LosslessSpikeCodec, from_bits, to_bits
from bench.interfaces import ComponentOptions

# Limit of the decoder's memory in bytes, a little above what the highest preset needs: a damaged header may ask for
# gigabytes.
_MEMORY = 1 << 27


class Xz(LosslessSpikeCodec):
    """LZMA in an xz container over packed bits, the strongest general-purpose baseline."""

    name = "xz"

    class Options(ComponentOptions):
        """Options: compression preset."""

        level: int = Field(default=6, ge=0, le=9)
        """Compression level; higher is smaller and slower."""

    def pack(self, spikes: np.ndarray) -> bytes:
        """Compress packed bits, without xz's check: the container has a CRC of its own."""
        return lzma.compress(to_bits(spikes), check=lzma.CHECK_NONE, preset=self.options.level)

    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decompress to no more bytes than the frames need."""
        limit = -(-int(np.prod(shape, dtype=np.int64)) // 8)
        decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
        return from_bits(decoder.decompress(payload, max_length=limit + 1), shape)
