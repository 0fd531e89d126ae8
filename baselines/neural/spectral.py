"""Convolution with a tall kernel by the Fourier transform of its rows, for the motion search of published networks.

A 7x7 convolution is 49 products a place; over blocks of 32 rows their transform leaves 17.5, and rounds less.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of output to a block, and the fewest rows of a map for which the transforms pay.
_ROWS, _FEWEST = 32, 64


class SpectralConv(nn.Conv2d):
    """Convolution of stride 1 that keeps H x W; where gradients are wanted, or on small maps, the ordinary one."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self._packed: tuple[object, tuple[Tensor, Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        plain = torch.is_grad_enabled() or self.weight.is_inference() or x.device.type != "cpu"
        if plain or x.shape[2] < _FEWEST:
            return super().forward(x)
        return torch.cat([self._one(image) for image in x])

    def _one(self, x: Tensor) -> Tensor:
        """C x H x W to 1 x C' x H x W: overlap-save along H."""
        forward, inverse, weight = self._transforms()
        height, width = x.shape[1:]
        blocks = -(-height // _ROWS)
        half = self.kernel_size[0] // 2
        padded = F.pad(x, (0, 0, half, half + blocks * _ROWS - height))
        rows = padded.unfold(1, len(forward[0]), _ROWS).permute(3, 0, 1, 2).flatten(1)
        # Real and imaginary parts of one frequency are channels of one group; along W it stays a convolution.
        spectrum = (forward @ rows).view(1, -1, blocks, width)
        product = F.conv2d(spectrum, weight, None, 1, (0, half), 1, len(forward) // 2)
        out = (inverse @ product.view(len(forward), -1)).view(_ROWS, self.out_channels, blocks, width)
        out = out.permute(1, 2, 0, 3).reshape(1, self.out_channels, blocks * _ROWS, width)[:, :, :height]
        return out if self.bias is None else out.add_(self.bias[:, None, None])

    def _transforms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Forward transform, inverse transform and the kernel's, computed once for the weights as they are."""
        state = (self.weight.data_ptr(), self.weight._version, self.weight.dtype)
        if self._packed is None or self._packed[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                self._packed = state, _pack(self.weight.detach())
        return self._packed[1]


def _pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    kernel = weight.shape[2]
    size = _ROWS + kernel - 1
    count = size // 2 + 1
    angle = 2 * torch.pi / size * torch.arange(count, dtype=torch.float64)[:, None] * torch.arange(size)
    forward = torch.stack((angle.cos(), -angle.sin()), 1)
    # The spectrum of a real signal is half redundant: all frequencies but the first and the last count twice.
    twice = torch.full((count, 1, 1), 2.0, dtype=torch.float64)
    twice[0] = 1
    if size % 2 == 0:
        twice[-1] = 1
    inverse = (twice * forward / size).flatten(0, 1)[:, :_ROWS].T
    # Correlation: the product with the conjugate of the kernel's spectrum.
    spectrum = torch.einsum("fpk,oikx->pfoix", forward[:, :, :kernel], weight.double())
    real, imaginary = spectrum[0], -spectrum[1]
    product = torch.cat((torch.cat((real, -imaginary), 2), torch.cat((imaginary, real), 2)), 1)
    packed = product.flatten(0, 1)[:, :, None]
    return tuple(t.to(weight.dtype).contiguous() for t in (forward.flatten(0, 1), inverse, packed))  # type: ignore[return-value]
