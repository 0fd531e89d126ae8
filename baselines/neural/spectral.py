"""Convolution with a tall kernel by a Fourier transform over rows, for motion estimation in published networks.

A 7x7 convolution takes 49 products per place. By the transform of blocks of 32 rows it takes 12.5, and rounds less.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Output rows of a block, and the fewest rows of a map for which the transforms are faster.
_ROWS, _FEWEST = 32, 64


class SpectralConv(nn.Conv2d):
    """Convolution of stride 1 that keeps H x W; with gradients, on small maps and off the CPU, the ordinary one."""

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
        rows = padded.unfold(1, forward.shape[1], _ROWS).permute(1, 3, 0, 2).flatten(2)
        # The channels of a frequency are a group; along W it is a convolution. Each block is a separate product: CPUs
        # compute many small ones twice as fast as one wide one.
        spectrum = (forward @ rows).view(blocks, -1, 1, width)
        product = F.conv2d(spectrum, weight, None, 1, (0, half), 1, len(forward))
        out = (inverse @ product.view(blocks, len(forward), -1)).view(-1, self.out_channels, width)
        out = out.transpose(0, 1)[None, :, :height]
        return out if self.bias is None else out.add_(self.bias[:, None, None])

    def _transforms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Forward transform, inverse transform and transformed kernel, computed again when the weights change."""
        state = (self.weight.data_ptr(), self.weight._version, self.weight.dtype)
        if self._packed is None or self._packed[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                self._packed = state, _pack(self.weight.detach())
        return self._packed[1]


def _pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Forward and inverse transform of a block's rows, F x rows and rows x F, and the kernel, (F C') x C x 1 x k.

    A frequency of the rows is a - ib, one of the kernel c - id, and correlation multiplies by the conjugate:
    (a - ib)(c + id) takes three real products (Gauss), c (a - b), a (d - c) and b (c + d). The real part is the sum of
    the first and the third, the imaginary part that of the first and the second. The transforms do these sums.
    """
    kernel = weight.shape[2]
    size = _ROWS + kernel - 1
    frequencies = torch.arange(size // 2 + 1)
    angle = 2 * torch.pi / size * frequencies.double()[:, None] * torch.arange(size)
    cos, sin = angle.cos(), angle.sin()
    c, d = (torch.einsum("fk,oikx->foix", wave[:, :kernel], weight.double()) for wave in (cos, sin))
    real = (frequencies == 0) | (2 * frequencies == size)  # these have no imaginary part
    forward = torch.cat((cos[real], (cos - sin)[~real], cos[~real], sin[~real]))
    product = torch.cat((c[real], c[~real], (d - c)[~real], (c + d)[~real]))
    # The spectrum of a real signal is half redundant: all other frequencies count twice.
    waves = torch.cat((cos[real], 2 * (cos - sin)[~real], -2 * sin[~real], 2 * cos[~real]))
    inverse = waves[:, :_ROWS].T / size
    packed = product.flatten(0, 1)[:, :, None]
    return tuple(t.to(weight.dtype).contiguous() for t in (forward, inverse, packed))  # type: ignore[return-value]
