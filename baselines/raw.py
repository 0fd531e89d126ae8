"""Raw spikes, eight to a byte: the 1 bit per spike that other rates are compared with."""

from __future__ import annotations

import numpy as np

from baselines._spikes import LosslessSpikeCodec, from_bits, to_bits


class Raw(LosslessSpikeCodec):
    """Packed bits without any compression: exactly 1 bpp plus the container's header."""

    name = "raw"

    def pack(self, spikes: np.ndarray) -> bytes:
        """Pack bits."""
        return to_bits(spikes)

    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Unpack bits."""
        return from_bits(payload, shape)
