"""Inter-spike intervals with an adaptive entropy coder.

An interval of n frames is coded as n - 1 times "not yet" and one "now". The probability of each decision is counted
over earlier frames in its context: the frames since the pixel's last spike, and its last two intervals. In steady light
a pixel's interval alternates between two neighbouring lengths, so nearly all decisions are certain. Coding frame by
frame keeps encoder and decoder in step without side information.

A probability is one IEEE division of two integer counts, so every machine gets the same coder tables.
"""

from __future__ import annotations

import constriction
import numpy as np

from baselines._spikes import LosslessSpikeCodec
from bench.errors import StreamError
from bench.interfaces import Availability

_LONGEST = 31  # frames; longer waits and intervals share the last context
_SIDE = _LONGEST + 1


class _Contexts:
    """Each pixel's state and each context's counts; the same in encoder and decoder."""

    def __init__(self, pixels: int) -> None:
        self.waited = np.zeros(pixels, np.int32)
        self.last = np.zeros(pixels, np.int32)
        self.before_last = np.zeros(pixels, np.int32)
        # Spikes and visits of each context, started at one spike in two visits.
        self.spikes = np.ones(_SIDE**3, np.int64)
        self.visits = np.full(_SIDE**3, 2, np.int64)

    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """Context (integer) and spike probability of every pixel for the next frame."""
        context = (self.before_last * _SIDE + self.last) * _SIDE + self.waited
        return context, self.spikes[context] / self.visits[context]

    def learn(self, context: np.ndarray, frame: np.ndarray) -> None:
        """Count a coded frame and update the state of every pixel."""
        size = len(self.visits)
        self.visits += np.bincount(context, minlength=size)
        self.spikes += np.bincount(context, frame, size).astype(np.int64)
        fired = frame.astype(bool)
        np.minimum(self.waited + 1, _LONGEST, out=self.waited)
        self.before_last[fired] = self.last[fired]
        self.last[fired] = self.waited[fired]
        self.waited[fired] = 0


class Isi(LosslessSpikeCodec):
    """Adaptive range coding of inter-spike intervals: what lossless CTA costs when it is done well."""

    name = "isi"

    def available(self) -> Availability:
        """Version of the entropy coder."""
        from importlib.metadata import version

        return Availability(True, f"constriction {version('constriction')}")

    def pack(self, spikes: np.ndarray) -> bytes:
        """Code frame by frame, all pixels of a frame at once."""
        coder = constriction.stream.queue.RangeEncoder()
        model = constriction.stream.model.Bernoulli(perfect=False)
        contexts = _Contexts(spikes[0].size)
        for frame in spikes.reshape(len(spikes), -1):
            context, probability = contexts.probabilities()
            coder.encode(frame.astype(np.int32), model, probability)
            contexts.learn(context, frame)
        return coder.get_compressed().astype("<u4").tobytes()

    def unpack(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decode frame by frame; raises `StreamError` if the payload holds more, or no whole words."""
        if len(payload) % 4:
            raise StreamError(f"isi: {len(payload)} bytes are not whole 32-bit words")
        coder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
        model = constriction.stream.model.Bernoulli(perfect=False)
        contexts = _Contexts(shape[1] * shape[2])
        spikes = np.empty((shape[0], shape[1] * shape[2]), np.uint8)
        for frame in spikes:
            context, probability = contexts.probabilities()
            frame[:] = coder.decode(model, probability)
            contexts.learn(context, frame)
        if not coder.maybe_exhausted():
            raise StreamError("isi: data is left over after the last frame")
        return spikes.reshape(shape)
