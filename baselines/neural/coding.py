"""Latents to bytes and back: range coding with integer tables, and a checksum after every frame.

One range coder codes all frames of a stream. A symbol is coded with the table that its scale selects. A network codes
symbols in groups; within a group the symbols of one table are coded together, tables in ascending order. A value beyond
its table's support is coded as an escape, and its Elias-gamma code follows the group. After each frame come 16 bits of
a checksum over its symbols: where the decoder's networks select other tables than the encoder's did (another device,
another library), decoding stops there and names the frame.
"""

from __future__ import annotations

import binascii
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import constriction
import numpy as np
import torch

from baselines.neural.entropy import Tables
from baselines.neural.latents import Estimator, symbols_of
from bench.errors import StreamError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.neural.entropy import BitCount, Family, Prior
    from baselines.neural.latents import LatentCoder

_LARGEST = 1 << 23
_model = constriction.stream.model


class _Built(dict[int, object]):
    """The range coder's model of each table, by number; built when first used."""

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables

    def __missing__(self, index: int) -> object:
        frequencies = self._tables.frequencies[index].astype(np.float64)
        self[index] = _model.Categorical(frequencies / frequencies.sum(), perfect=False)
        return self[index]


class _Models:
    """What the range coder needs of the tables of a family or a prior."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        # Index of each table's escape.
        self.escapes = np.array([len(frequencies) - 1 for frequencies in tables.frequencies])
        self.built = _Built(tables)
        # Ideal code lengths of all entries of all tables, one after the other.
        self._starts = np.cumsum([0, *(len(frequencies) for frequencies in tables.frequencies)])
        self._lengths = np.concatenate([np.log2(f.sum()) - np.log2(f) for f in tables.frequencies])

    def index(self, keys: np.ndarray) -> np.ndarray:
        """Table of each symbol: by its scale, or by its channel where there is a table for each."""
        return keys.astype(np.intp) if self.tables.thresholds is None else self.tables.index(keys)

    def bits(self, index: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """Ideal code length of each entry, by the tables' probabilities."""
        return self._lengths[self._starts[index] + entries]


@dataclass(frozen=True)
class _Step:
    """Symbols that a network codes at once, each with what selects its table: a scale or a channel."""

    name: str
    models: _Models
    keys: np.ndarray
    symbols: np.ndarray


class _Session:
    """What encoder and decoder share: the models of each prior, and the running checksum."""

    def __init__(self) -> None:
        self._models: dict[int, _Models] = {}
        self._checksum = 0
        self.frame = 0

    def models(self, source: Family | Prior) -> _Models:
        # Keyed on the object: a stream's networks outlive its session.
        if id(source) not in self._models:
            self._models[id(source)] = _Models(source.tables)
        return self._models[id(source)]

    def note(self, symbols: np.ndarray) -> None:
        self._checksum = binascii.crc_hqx(symbols.astype("<i4").tobytes(), self._checksum)

    @property
    def checksum(self) -> np.ndarray:
        return np.array([self._checksum], np.int32)


class StreamEncoder(Estimator):
    """Writes the symbols of a network, and counts their estimated bits.

    Attributes
    ----------
    count
        How a probability becomes bits, see `Estimator`; None to count them from the integer tables.
    """

    count: BitCount | None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.count = None
        self._coder = constriction.stream.queue.RangeEncoder()
        self._session = _Session()
        # A frame's steps are written, and their bits counted, at its end: there may be thousands of small ones, for
        # which calling the coder would take longer than the coding.
        self._steps: list[_Step] = []
        self._uncounted: defaultdict[tuple[str, Family], list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Round hyper-latents around their medians and write them, channel by channel."""
        assert z is not None  # noqa: S101 -- a programming error, not a user's
        z_hat = torch.round(z - prior.medians) + prior.medians
        if self.count is not None:
            self._add(name, self.count(prior.probability(z_hat)).sum())
        channels = np.repeat(np.arange(shape[1], dtype=np.float32), shape[2] * shape[3])
        self._steps.append(_Step(name, self._session.models(prior), channels, _values(z_hat - prior.medians)))
        return z_hat

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Round by `symbols_of` and write."""
        assert residual is not None  # noqa: S101 -- a programming error, not a user's
        symbols = symbols_of(residual, family, sigma, worth)
        if self.count is not None:
            self._uncounted[name, family].append((symbols.flatten(), sigma.flatten()))
        self._steps.append(_Step(name, self._session.models(family), _values(sigma), _values(symbols)))
        return symbols

    def end_frame(self) -> None:
        """Write the frame's symbols and the checksum over them, and count their estimated bits."""
        self._write()
        self._coder.encode(self._session.checksum, _model.Uniform(1 << 16))
        self._estimate()

    def payload(self) -> bytes:
        """Everything written so far."""
        return self._coder.get_compressed().astype("<u4").tobytes()

    def _estimate(self) -> None:
        for (name, family), parts in self._uncounted.items():
            symbols, sigma = (torch.cat(part) for part in zip(*parts, strict=True))
            assert self.count is not None  # noqa: S101 -- or nothing was kept
            self._add(name, self.count(family.probability(symbols, sigma)).sum())
        self._uncounted.clear()

    def _add(self, name: str, bits: Tensor | float) -> None:
        self.bits[name] = self.bits[name] + torch.as_tensor(bits, dtype=torch.float64).cpu()

    def _write(self) -> None:
        """Write the frame's steps one after the other, and within each its tables in ascending order."""
        steps, self._steps = self._steps, []
        if not steps:
            return
        symbols = _symbols(np.concatenate([step.symbols for step in steps]))
        self._session.note(symbols)
        keys = np.concatenate([step.keys for step in steps])
        sizes = [len(step.symbols) for step in steps]
        number = np.repeat(np.arange(len(steps)), sizes)
        index, entries = np.empty(len(symbols), np.intp), np.empty(len(symbols), np.int32)
        outside, bits = np.empty(len(symbols), np.bool_), np.zeros(len(symbols))
        for models in {id(step.models): step.models for step in steps}.values():
            mine = np.repeat([step.models is models for step in steps], sizes)
            index[mine] = tables = models.index(keys[mine])
            shifted, escapes = symbols[mine] - models.tables.offsets[tables], models.escapes[tables]
            outside[mine] = beyond = (shifted < 0) | (shifted >= escapes)
            entries[mine] = coded = np.where(beyond, escapes, shifted)
            if self.count is None:
                bits[mine] = models.bits(tables, coded)
        if self.count is None:
            for name in {step.name for step in steps}:
                self._add(name, bits[np.repeat([step.name == name for step in steps], sizes)].sum())
        order = _order(index, max(len(step.models.escapes) for step in steps))
        order = order[_order(number[order], len(steps))]
        self._encode(steps, number[order], index[order], entries[order], symbols[order], outside[order])

    def _encode(
        self,
        steps: list[_Step],
        number: np.ndarray,
        index: np.ndarray,
        entries: np.ndarray,
        symbols: np.ndarray,
        outside: np.ndarray,
    ) -> None:
        """Write sorted entries; the symbols that their tables do not hold follow each step."""
        escaped: defaultdict[int, list[int]] = defaultdict(list)
        for step, value in zip(number[outside].tolist(), symbols[outside].tolist(), strict=True):
            escaped[step].append(value)
        runs = _runs((number[1:] != number[:-1]) | (index[1:] != index[:-1]))
        firsts = [start for start, _ in runs]
        encode, built = self._coder.encode, [step.models.built for step in steps]
        before = 0
        for (start, stop), step, table in zip(runs, number[firsts].tolist(), index[firsts].tolist(), strict=True):
            if step != before and before in escaped:
                self._write_escapes(steps[before].name, escaped[before])
            before = step
            encode(entries[start:stop], built[step][table])
        self._write_escapes(steps[before].name, escaped[before])

    def _write_escapes(self, name: str, values: Sequence[int]) -> None:
        bits = sum(map(self._write_escape, values))
        if self.count is None:
            self._add(name, bits)

    def _write_escape(self, value: int) -> int:
        """Write a symbol that its table does not hold; returns the bits."""
        # Elias gamma of 2|v| + sign + 1: the number of bits, then the bits below the first.
        code = 2 * abs(value) + (value < 0) + 1
        length = code.bit_length() - 1
        self._coder.encode(np.array([length], np.int32), _model.Uniform(32))
        for shift in range(length - 1, -1, -1):
            self._coder.encode(np.array([code >> shift & 1], np.int32), _model.Uniform(2))
        return 5 + length


class StreamDecoder:
    """Reads what `StreamEncoder` wrote, as the same networks ask for the symbols in the same order.

    Raises
    ------
    StreamError
        If the payload is no whole number of 32-bit words. From `end_frame`, if a frame's checksum differs: the networks
        here select other tables than the encoder's.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise StreamError(f"the payload of {len(payload)} bytes is no whole number of words")
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
        self._session = _Session()
        self._read_so_far: list[np.ndarray] = []  # symbols of the frame, for its checksum

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Read hyper-latents channel by channel."""
        channels = np.repeat(np.arange(shape[1]), shape[2] * shape[3])
        symbols = self._read(self._session.models(prior), channels).reshape(shape)
        medians = prior.medians
        return torch.from_numpy(symbols).to(medians) + medians

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Read one symbol per scale."""
        models = self._session.models(family)
        symbols = self._read(models, models.index(sigma.float().cpu().numpy().reshape(-1)))
        return torch.from_numpy(symbols.reshape(sigma.shape)).to(sigma)

    def end_frame(self) -> None:
        """Compare the checksum over the frame's symbols."""
        if self._read_so_far:
            self._session.note(np.concatenate(self._read_so_far))
            self._read_so_far.clear()
        stored = self._coder.decode(_model.Uniform(1 << 16), 1)
        frame, self._session.frame = self._session.frame, self._session.frame + 1
        if stored[0] != self._session.checksum[0]:
            raise StreamError(
                f"frame {frame}: the latents' checksum differs; the networks here gave other probabilities than the "
                "encoder's (another device, thread count or library version)"
            )

    def _read(self, models: _Models, index: np.ndarray) -> np.ndarray:
        # There are thousands of small steps a frame: most of their time is spent around the coder's calls.
        counts = np.bincount(index)
        (tables,) = counts.nonzero()
        decode, built = self._coder.decode, models.built
        parts = [decode(built[table], n) for table, n in zip(tables.tolist(), counts[tables].tolist(), strict=True)]
        order = _order(index, len(models.escapes))
        entries = np.empty(len(index), np.int32)
        entries[order] = np.concatenate(parts)
        symbols = (entries + models.tables.offsets[index]).astype(np.float32)
        escaped = entries == models.escapes[index]
        if escaped.any():
            for i in order[escaped[order]]:
                symbols[i] = self._read_escape()
        self._read_so_far.append(symbols)
        return symbols

    def _read_escape(self) -> int:
        length = int(self._coder.decode(_model.Uniform(32), 1)[0])
        code = 1
        for bit in self._coder.decode(_model.Uniform(2), length) if length else ():
            code = code << 1 | int(bit)
        value = (code - 1) >> 1
        if value > _LARGEST:
            raise StreamError(f"frame {self._session.frame}: a latent beyond all range; not a stream of these networks")
        return -value if (code - 1) & 1 else value


class Streams:
    """Writes or reads one stream for each item of a batch.

    Parameters
    ----------
    coders
        The encoder or decoder of each item.
    """

    def __init__(self, coders: Sequence[StreamEncoder | StreamDecoder]) -> None:
        self.coders = coders

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Code each item with its own coder."""
        parts = itertools.repeat(None) if z is None else z.chunk(len(self.coders))
        coded = zip(self.coders, parts, strict=z is not None)
        return torch.cat([coder.factorized(name, prior, part, (1, *shape[1:])) for coder, part in coded])

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Code each item with its own coder."""
        if residual is None:
            parts = zip(self.coders, sigma.chunk(len(self.coders)), strict=True)
            return torch.cat([coder.conditional(name, family, None, scale) for coder, scale in parts])
        # Symbols are chosen for all items at once.
        symbols = symbols_of(residual, family, sigma, worth)
        for coder, part, scale in zip(
            self.coders, symbols.chunk(len(self.coders)), sigma.chunk(len(self.coders)), strict=True
        ):
            coder.conditional(name, family, part, scale)
        return symbols


def coder_of(coder: LatentCoder, items: Sequence[int]) -> LatentCoder:
    """The coder of some items of a batch, where each has its own stream; else the one that all of them have."""
    return Streams([coder.coders[item] for item in items]) if isinstance(coder, Streams) else coder


def _order(values: np.ndarray, kinds: int) -> np.ndarray:
    """Stable order of numbers below `kinds`; short integers are sorted by counting."""
    return (values.astype(np.uint16) if kinds <= 1 << 16 else values).argsort(kind="stable")


def _runs(changes: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run, from where an element differs from the one before."""
    bounds = [0, *(changes.nonzero()[0] + 1).tolist(), len(changes) + 1]
    return list(itertools.pairwise(bounds))


def _values(tensor: Tensor) -> np.ndarray:
    """A tensor's values as float32, apart from the tensor, which the network may go on to change."""
    return tensor.detach().flatten().float().cpu().numpy().copy()


def _symbols(values: np.ndarray) -> np.ndarray:
    # Written so that a NaN is caught as well.
    if not (np.abs(values) <= _LARGEST).all():
        raise StreamError("a latent is not finite or beyond all range; the weights do not fit these frames")
    return np.rint(values).astype(np.int32)
