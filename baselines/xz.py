"""Packed spikes through LZMA."""

from __future__ import annotations

import lzma

import numpy as np
from pydantic import Field

from baselines._spikes import LosslessSpikeCodec, from_bits, to_bits
from bench.interfaces import ComponentOptions

# Bytes: what the highest preset needs, and a little more. A damaged header may ask for gigabytes.
_MEMORY = 1 << 27


class Xz(LosslessSpikeCodec):
    """LZMA in an xz container over packed bits, the strongest general-purpose floor."""

    name = "xz"

    class Options(ComponentOptions):
        """Options: compression preset."""

        level: int = Field(default=6, ge=0, le=9)

    def pack(self, spikes: np.ndarray) -> bytes:
        """Compress packed bits; the container's own CRC replaces xz's check."""
        return lzma.compress(to_bits(spikes), check=lzma.CHECK_NONE, preset=self.options.level)

    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decompress, to no more than the frames need."""
        limit = -(-int(np.prod(shape, dtype=np.int64)) // 8)
        decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
        return from_bits(decoder.decompress(payload, max_length=limit + 1), shape)
