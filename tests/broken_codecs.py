"""Codecs that break one promise each, to see the conformance kit notice."""

import os
import tempfile
import zlib
from pathlib import Path

import numpy as np

from baselines.raw import Raw
from bench.conform import sample
from bench.interfaces import Availability, Decoded
from bench.interfaces.container import MAGIC


class Absent(Raw):
    def available(self):
        return Availability(False, reason="its program is not here")


class Dark(Raw):
    """Takes frames that are white throughout for black ones."""

    def unpack(self, payload, shape):
        spikes = super().unpack(payload, shape)
        return np.zeros_like(spikes) if spikes.all() else spikes


class Growing(Raw):
    """Adds one byte more each time."""

    count = 0

    def pack(self, spikes):
        type(self).count += 1
        return super().pack(spikes) + bytes(self.count)

    def unpack(self, payload, shape):
        return super().unpack(payload[: -(-int(np.prod(shape)) // 8)], shape)


class Tired(Raw):
    """Decodes the kit's sample wrongly the second time in a row."""

    last = None

    def unpack(self, payload, shape):
        spikes = super().unpack(payload, shape)
        again = payload == self.last and shape == sample(self).shape
        self.last = None if again else payload
        return 1 - spikes if again else spikes


class Homebound(Raw):
    """Decodes rightly in the process that encoded alone."""

    at_home = False

    def pack(self, spikes):
        type(self).at_home = True
        return super().pack(spikes)

    def unpack(self, payload, shape):
        spikes = super().unpack(payload, shape)
        return spikes if self.at_home else 1 - spikes


class Patient(Raw):
    """Takes the first byte of a stream for a black pixel."""

    def decode(self, stream):
        return Decoded(np.zeros((1, 1, 1), np.float32)) if len(stream) == 1 else super().decode(stream)


class Trusting(Raw):
    """Looks at no checksum."""

    def decode(self, stream):
        body = stream[8:]
        return super().decode(MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)


class Inventive(Raw):
    """Makes up what a payload is too short for."""

    def unpack(self, payload, shape):
        return super().unpack(payload.ljust(-(-int(np.prod(shape)) // 8), b"\0"), shape)


class Level(Raw):
    rate_points = ("one", "two")


class Foreseeing(Raw):
    """Sends the second frame in place of the first."""

    def pack(self, spikes):
        return super().pack(np.concatenate([spikes[1:2], spikes[1:]]) if len(spikes) > 1 else spikes)


class Blending(Raw):
    """Codes the segments of a batch as the first of them."""

    together = 4

    def compress_all(self, segments, rate_points, condition):
        return super().compress_all([segments[0]] * len(segments), rate_points, condition)


class Littering(Raw):
    def pack(self, spikes):
        Path(tempfile.gettempdir(), "left.bin").write_bytes(super().pack(spikes))
        return super().pack(spikes)


class Forgetful(Raw):
    """Decodes what it coded last, which it keeps in a file."""

    place = Path(os.environ.get("FORGETFUL", tempfile.gettempdir()))

    def pack(self, spikes):
        data = super().pack(spikes)
        (self.place / "payload").write_bytes(data)
        return data

    def unpack(self, payload, shape):
        super().unpack(payload, shape)
        return super().unpack((self.place / "payload").read_bytes()[: len(payload)], shape)


class Threaded(Raw):
    """Decodes to other frames where there are three threads."""

    def unpack(self, payload, shape):
        spikes = super().unpack(payload, shape)
        return 1 - spikes if os.environ.get("OMP_NUM_THREADS") == "3" else spikes


class Lenient(Raw):
    def check_rate_point(self, rate_point):
        pass


class Misspelt(Raw):
    """Raises what its author did not think of."""

    def pack(self, spikes):
        return spikes.to_bytes()


class Undecided(Raw):
    """Raises so when it decodes."""

    def unpack(self, payload, shape):
        return {}["table"]


class Leaving(Raw):
    """Leaves the interpreter where it should raise an error."""

    def unpack(self, payload, shape):
        raise SystemExit(3)
