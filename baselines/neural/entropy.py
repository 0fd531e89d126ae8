"""Entropy models of the learned codecs: how many bits a symbol costs, and the tables that code it.

Symbols are integers around zero: every model codes ``round(latent - mean)``. There are two kinds of model. A
`FactorizedPrior` (Balle et al. 2018) holds one learned density per channel, for hyper-latents. A conditional family,
`LAPLACE` or `GAUSSIAN`, has one scale per symbol, which a network predicts.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SIGMA_RANGE = (1e-5, 1e10)
# A table's frequencies add up to about this; symbols rarer than about one in this number are coded by the escape.
_TABLE_TOTAL = 1 << 16
_MAX_SUPPORT = 128


@dataclass(frozen=True)
class BitCount:
    """How a codec's authors turn a probability into estimated bits.

    They are -log2(p + floor), clipped to [0, ceiling]; with a `bound` above 0, -log2(max(p, bound)).
    """

    floor: float = 1e-5
    ceiling: float = math.inf
    # CompressAI bounds the probability from below instead of adding to it.
    bound: float = 0.0

    def __call__(self, probability: Tensor) -> Tensor:
        if self.bound:
            return -torch.log2(probability.clamp_min(self.bound))
        return (-torch.log(probability + self.floor) / math.log(2.0)).clamp(0.0, self.ceiling)


@dataclass(frozen=True, eq=False)
class Tables:
    """Integer frequency tables for an entropy coder.

    Attributes
    ----------
    frequencies
        One int array per table; entry j is the frequency of symbol ``offsets[i] + j``, the last that of the escape.
    offsets
        Smallest symbol of each table.
    thresholds
        For tables by scale: the ascending scales above which the next table is used. None for tables by channel.
    """

    frequencies: tuple[np.ndarray, ...]
    offsets: np.ndarray
    thresholds: np.ndarray | None = None

    def index(self, sigma: np.ndarray) -> np.ndarray:
        """Number of each scale's table. It only compares, so equal scales give equal tables on every machine."""
        assert self.thresholds is not None  # noqa: S101 -- a programming error, not a user's
        return self.thresholds.searchsorted(sigma)


class Family:
    """A zero-mean symmetric density with one scale, and its coding tables over a log-spaced grid of scales."""

    def __init__(self, smallest: float, largest: float, count: int) -> None:
        ratio = (largest / smallest) ** (1 / (count - 1))
        self.scales = [smallest * ratio**i for i in range(count)]
        self._ratio = ratio

    @abstractmethod
    def probability(self, symbols: Tensor, sigma: Tensor) -> Tensor:
        """Probability of each integer symbol, given its scale; both of one shape."""

    @abstractmethod
    def tails(self, sigma: float) -> Iterator[float]:
        """Probabilities of a value above 0.5, 1.5, 2.5, ..."""

    @cached_property
    def tables(self) -> Tables:
        """One table per scale of the grid; a scale uses the nearest one in the log domain."""
        frequencies, offsets = [], []
        for sigma in self.scales:
            tails: list[float] = []
            for tail in itertools.islice(self.tails(sigma), _MAX_SUPPORT + 1):
                tails.append(tail)
                if len(tails) > 2 and tail * _TABLE_TOTAL < 0.5:
                    break
            support = len(tails) - 1
            half = [tails[k - 1] - tails[k] for k in range(1, support + 1)]
            masses = [*reversed(half), 1 - 2 * tails[0], *half, 2 * tails[support]]
            frequencies.append(to_frequencies(masses))
            offsets.append(-support)
        thresholds = np.array([s * self._ratio**0.5 for s in self.scales[:-1]], np.float32)
        return Tables(tuple(frequencies), np.array(offsets), thresholds)


class Laplace(Family):
    """Laplace density: the conditional model of DCVC and of DCVC-DC's video network."""

    def probability(self, symbols: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.clamp(*_SIGMA_RANGE)
        return _laplace_cdf(symbols + 0.5, sigma) - _laplace_cdf(symbols - 0.5, sigma)

    def tails(self, sigma: float) -> Iterator[float]:
        # In decimal arithmetic, since platforms' exp differ in the last bits. Only two for each scale, since every
        # decoder process makes the tables again.
        context = Context(prec=40)
        ratio = context.exp(context.divide(Decimal(-1), Decimal(sigma)))
        tail = context.exp(context.divide(Decimal("-0.5"), Decimal(sigma)))
        while True:
            yield float(tail) / 2
            tail = context.multiply(tail, ratio)


class Gaussian(Family):
    """Normal density: the conditional model of the intra networks."""

    def probability(self, symbols: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.clamp(*_SIGMA_RANGE)
        # Both values are taken on the side where they are small, so that their difference keeps its precision.
        distance = symbols.abs()
        return _normal_cdf((0.5 - distance) / sigma) - _normal_cdf((-0.5 - distance) / sigma)

    def tails(self, sigma: float) -> Iterator[float]:
        return (0.5 * math.erfc((k + 0.5) / (sigma * math.sqrt(2))) for k in itertools.count())


LAPLACE = Laplace(0.01, 64.0, 128)
GAUSSIAN = Gaussian(0.05, 256.0, 128)


class Prior(nn.Module):
    """A learned density per channel."""

    @property
    @abstractmethod
    def medians(self) -> Tensor:
        """Centre of each channel's symbols, 1 x C x 1 x 1."""

    @abstractmethod
    def probability(self, z_hat: Tensor) -> Tensor:
        """Probability of rounded values, N x C x h x w."""

    @property
    def tables(self) -> Tables:
        """Integer coding tables, one per channel."""
        return channel_tables(self)


class FactorizedPrior(Prior):
    """One density per channel, as the sigmoid of a monotone network: DCVC's and DCVC-DC's model of z ("bit estimator").

    ``f1``..``f3``: x <- x softplus(h) + b, x <- x + tanh(x) tanh(a); ``f4``: the first step alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"f{i}", _CdfLayer(channels, last=i == 4))

    @property
    def medians(self) -> Tensor:
        """Zeros, 1 x C x 1 x 1: this prior has no learned centres."""
        return torch.zeros_like(self.get_parameter("f4.b"))

    def cdf(self, z: Tensor) -> Tensor:
        """Cumulative distribution function at z, N x C x h x w."""
        for layer in self.children():
            z = layer(z)
        return torch.sigmoid(z)

    def probability(self, z_hat: Tensor) -> Tensor:
        """Probability of rounded values, N x C x h x w."""
        return self.cdf(z_hat + 0.5) - self.cdf(z_hat - 0.5)


class _CdfLayer(nn.Module):
    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        shape = (1, channels, 1, 1)
        self.h = nn.Parameter(0.01 * torch.randn(shape))
        self.b = nn.Parameter(0.01 * torch.randn(shape))
        if not last:
            self.a = nn.Parameter(0.01 * torch.randn(shape))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        x = x * F.softplus(self.h) + self.b
        return x if self.last else x + torch.tanh(x) * torch.tanh(self.a)


def channel_tables(prior: Prior) -> Tables:
    """Integer tables of a factorised prior, one per channel, computed in float64 on the CPU."""
    exact = deepcopy(prior).double().cpu()
    reach = torch.arange(-_MAX_SUPPORT, _MAX_SUPPORT + 1, dtype=torch.float64).view(1, 1, -1, 1)
    with torch.no_grad():
        masses = exact.probability(reach + exact.medians)[0, :, :, 0].clamp_min(0).numpy()
    frequencies, offsets = [], []
    for row in masses:
        support = np.flatnonzero(row * _TABLE_TOTAL >= 0.5)
        low, high = (int(support[0]), int(support[-1])) if support.size else (_MAX_SUPPORT, _MAX_SUPPORT)
        inside = row[low : high + 1]
        frequencies.append(to_frequencies([*inside, max(0.0, 1 - float(inside.sum()))]))
        offsets.append(low - _MAX_SUPPORT)
    return Tables(tuple(frequencies), np.array(offsets))


def to_frequencies(masses: Sequence[float]) -> np.ndarray:
    """Probabilities as int32 frequencies that add up to about 2^16, none below one."""
    return np.maximum(np.rint(np.asarray(masses) * _TABLE_TOTAL), 1).astype(np.int32)


def _laplace_cdf(x: Tensor, sigma: Tensor) -> Tensor:
    return 0.5 - 0.5 * x.sign() * torch.expm1(-x.abs() / sigma)


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-(0.5**0.5) * x)
