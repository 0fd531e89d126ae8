"""Convolutions by transforms of what they convolve, for published networks on CPUs.

`SpectralConv` is for tall kernels: a 7x7 convolution is 49 products a place; over blocks of 32 rows their Fourier
transform leaves 12.5. `WinogradConv` is for 3x3 kernels between many channels: tiles of 4x4 places leave 2.25 of 9
products. The first rounds less than the plain sum, the second 1.5 times as much.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of output to a spectral block.
_ROWS = 32
# A side of a tile, in places out and in, and tiles that are transformed together, which stay in the processor's cache.
_TILE, _REACH, _TOGETHER = 4, 6, 128


class TransformConv(nn.Conv2d, ABC):
    """Convolution of stride 1 that keeps H x W; where gradients are wanted, or on small maps, the ordinary one."""

    fewest: int
    """Rows of a map from which the transforms pay."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self._packed: tuple[object, tuple[Tensor, Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        plain = torch.is_grad_enabled() or self.weight.is_inference() or x.device.type != "cpu"
        if plain or x.shape[2] < self.fewest:
            return super().forward(x)
        return self._one(x[0]) if len(x) == 1 else torch.cat([self._one(image) for image in x])

    @abstractmethod
    def _one(self, x: Tensor) -> Tensor:
        """C x H x W to 1 x C' x H x W."""

    @staticmethod
    @abstractmethod
    def _pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Forward transform, inverse transform and the kernel's, in float64."""

    def _transforms(self) -> tuple[Tensor, Tensor, Tensor]:
        """The transforms, computed once for the weights as they are."""
        state = (self.weight.data_ptr(), self.weight._version, self.weight.dtype)
        if self._packed is None or self._packed[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                made = self._pack(self.weight.detach().double())
                self._packed = state, tuple(t.to(self.weight.dtype).contiguous() for t in made)  # type: ignore[assignment]
        return self._packed[1]  # type: ignore[index]


class SpectralConv(TransformConv):
    """Convolution with a tall kernel by the Fourier transform of its rows."""

    fewest = 64

    def _one(self, x: Tensor) -> Tensor:
        # Overlap-save along H.
        forward, inverse, weight = self._transforms()
        height, width = x.shape[1:]
        blocks = -(-height // _ROWS)
        half = self.kernel_size[0] // 2
        padded = F.pad(x, (0, 0, half, half + blocks * _ROWS - height))
        rows = padded.unfold(1, forward.shape[1], _ROWS).permute(1, 3, 0, 2).flatten(2)
        # A frequency's channels are a group; along W it stays a convolution. Blocks are products of their own: CPUs do
        # many small ones twice as fast as a wide one.
        spectrum = (forward @ rows).view(blocks, -1, 1, width)
        product = F.conv2d(spectrum, weight, None, 1, (0, half), 1, len(forward))
        out = (inverse @ product.view(blocks, len(forward), -1)).view(-1, self.out_channels, width)
        out = out.transpose(0, 1)[None, :, :height]
        return out if self.bias is None else out.add_(self.bias[:, None, None])

    @staticmethod
    def _pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transforms of a block's rows, F x rows and rows x F, and the kernel between, (F C') x C x 1 x k.

        A frequency of the rows is a - ib, one of the kernel c - id, and correlation multiplies by the conjugate:
        (a - ib)(c + id) takes three real products (Gauss), c (a - b), a (d - c) and b (c + d): the real part is the
        first and the third, the imaginary one the first and the second. The sums are left to the transforms.
        """
        kernel = weight.shape[2]
        size = _ROWS + kernel - 1
        frequencies = torch.arange(size // 2 + 1)
        angle = 2 * torch.pi / size * frequencies.double()[:, None] * torch.arange(size)
        cos, sin = angle.cos(), angle.sin()
        c, d = (torch.einsum("fk,oikx->foix", wave[:, :kernel], weight) for wave in (cos, sin))
        real = (frequencies == 0) | (2 * frequencies == size)  # these have no imaginary part
        forward = torch.cat((cos[real], (cos - sin)[~real], cos[~real], sin[~real]))
        product = torch.cat((c[real], c[~real], (d - c)[~real], (c + d)[~real]))
        # The spectrum of a real signal is half redundant: all other frequencies count twice.
        waves = torch.cat((cos[real], 2 * (cos - sin)[~real], -2 * sin[~real], 2 * cos[~real]))
        return forward, waves[:, :_ROWS].T / size, product.flatten(0, 1)[:, :, None]


class WinogradConv(TransformConv):
    """3x3 convolution between many channels by minimal filtering, F(4x4, 3x3) of Lavin and Gray (2016)."""

    fewest = 32

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def _one(self, x: Tensor) -> Tensor:
        forward, inverse, weight = self._transforms()
        channels, height, width = x.shape
        down, across = -(-height // _TILE), -(-width // _TILE)
        rest = (1, 1 + down * _TILE - height)
        padded = F.pad(x.permute(1, 2, 0), (0, 0, 1, 1 + across * _TILE - width, *rest))
        tiles = padded.unfold(0, _REACH, _TILE).unfold(1, _REACH, _TILE).permute(3, 4, 0, 1, 2)
        out = x.new_empty(down, _TILE, across, _TILE, self.out_channels)
        step = max(1, _TOGETHER // across)
        for top in range(0, down, step):
            part = tiles[:, :, top : top + step]
            spectrum = (forward @ part.reshape(_REACH**2, -1)).view(_REACH**2, -1, channels)
            product = inverse @ torch.bmm(spectrum, weight).flatten(1)
            places = product.view(_TILE, _TILE, -1, across, self.out_channels)
            out[top : top + step] = places.permute(2, 0, 3, 1, 4)
        out = out.view(down * _TILE, across * _TILE, -1)[:height, :width]
        out = out if self.bias is None else out.add_(self.bias)
        return out.permute(2, 0, 1)[None]

    @staticmethod
    def _pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transforms of a tile, 36 x 36 and 16 x 36, and the kernel between, 36 x C x C'.

        Along each side a kernel and 4 places are polynomials, which are multiplied at points; the sum over a tile is
        the transpose of that product. Of several sets of points tried, these round least: at 0, 1, -1, 2 and -2 it
        is three times as much.
        """
        points = torch.tensor([0, 1, -1, 0.5, -2], dtype=torch.float64)

        def values(count: int) -> Tensor:
            """At the points, and at infinity, of the powers below `count`."""
            infinity = torch.zeros(1, count, dtype=torch.float64)
            infinity[0, -1] = 1
            return torch.cat((points[:, None] ** torch.arange(count), infinity))

        forward, inverse, kernel = torch.linalg.inv(values(_REACH)).T, values(_TILE).T, values(3)
        # Rows of the tile's transform are of one size, which the kernel's then makes up for.
        size = forward.abs().amax(1, keepdim=True)
        forward, kernel = forward / size, kernel * size
        packed = torch.einsum("au,bv,oiuv->abio", kernel, kernel, weight)
        return torch.kron(forward, forward), torch.kron(inverse, inverse), packed.flatten(0, 1)
