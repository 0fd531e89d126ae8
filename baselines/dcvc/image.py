"""DCVC's intra networks: CompressAI's cheng2020-anchor (for PSNR) and bmshj2018-hyperprior (for MS-SSIM).

Parameter names are those of the checkpoints that DCVC points to, which are older than the current CompressAI.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.autoregressive import code_autoregressive, on_places
from baselines.neural.entropy import GAUSSIAN, Prior
from baselines.neural.latents import Estimator, LatentCoder
from baselines.neural.layers import Gdn, MaskedConv, conv, subpel, upconv

_SMALLEST_SCALE = 0.11


class _Bound(nn.Module):
    """A bound that checkpoints carry as a buffer, in float32 whatever the precision of the rest."""

    bound: Tensor

    def __init__(self, bound: float, pedestal: bool = False) -> None:
        super().__init__()
        if pedestal:
            self.register_buffer("pedestal", torch.tensor([2.0**-36]))
            self.lower_bound = _Bound(bound)
        else:
            self.register_buffer("bound", torch.tensor([bound]))


class CheckpointGdn(Gdn):
    """GDN with the bookkeeping buffers of CompressAI's checkpoints."""

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__(channels, inverse)
        self.beta_reparam = _Bound((1e-6 + 2.0**-36) ** 0.5, pedestal=True)
        self.gamma_reparam = _Bound(2.0**-18, pedestal=True)


class EntropyBottleneck(Prior):
    """Factorised prior of hyper-latents (Balle et al. 2018, appendix 6.1), with learned medians."""

    quantiles: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = (1, 3, 3, 3, 3, 1)
        self.quantiles = nn.Parameter(torch.tensor([-10.0, 0.0, 10.0]).repeat(channels, 1, 1))
        for name in ("_offset", "_quantized_cdf", "_cdf_length"):
            self.register_buffer(name, torch.IntTensor())
        self.register_buffer("target", torch.zeros(3))
        self.likelihood_lower_bound = _Bound(1e-9)
        self._biases = nn.ParameterList(torch.zeros(channels, size, 1) for size in sizes[1:])
        self._factors = nn.ParameterList(torch.zeros(channels, size, 1) for size in sizes[1:-1])
        self._matrices = nn.ParameterList(
            torch.zeros(channels, outputs, inputs) for inputs, outputs in itertools.pairwise(sizes)
        )

    @property
    def medians(self) -> Tensor:
        """Centre of each channel's symbols, 1 x C x 1 x 1."""
        return self.quantiles[:, 0, 1].view(1, -1, 1, 1)

    def probability(self, z_hat: Tensor) -> Tensor:
        """Probability of each rounded hyper-latent, N x C x h x w."""
        x = z_hat.transpose(0, 1).flatten(1)[:, None]
        lower, upper = self._logits(x - 0.5), self._logits(x + 0.5)
        # Subtract on the side where both sigmoids are small, so that their difference keeps its precision.
        side = -(lower + upper).sign().detach()
        mass = (torch.sigmoid(side * upper) - torch.sigmoid(side * lower)).abs()
        return mass.view(z_hat.shape[1], z_hat.shape[0], *z_hat.shape[2:]).transpose(0, 1)

    def _logits(self, x: Tensor) -> Tensor:
        for i, (matrix, bias) in enumerate(zip(self._matrices, self._biases, strict=True)):
            x = F.softplus(matrix) @ x + bias
            if i < len(self._factors):
                x = x + torch.tanh(self._factors[i]) * torch.tanh(x)
        return x


class _GaussianBuffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("_offset", "_quantized_cdf", "_cdf_length"):
            self.register_buffer(name, torch.IntTensor())
        self.register_buffer("scale_table", torch.Tensor())
        self.register_buffer("scale_bound", torch.tensor([_SMALLEST_SCALE]))
        self.likelihood_lower_bound = _Bound(1e-9)
        self.lower_bound_scale = _Bound(_SMALLEST_SCALE)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x)))) + x


class _Down(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, outputs, 3, 2), conv(outputs, outputs)
        self.gdn = CheckpointGdn(outputs)
        self.downsample = conv(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.gdn(self.conv2(F.leaky_relu(self.conv1(x)))) + self.downsample(x)


class _Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.subpel_conv, self.conv = subpel(channels, channels), conv(channels, channels)
        self.igdn = CheckpointGdn(channels, inverse=True)
        self.upsample = subpel(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.igdn(self.conv(F.leaky_relu(self.subpel_conv(x)))) + self.upsample(x)


class Cheng2020Anchor(nn.Module):
    """Residual transforms, hyperprior and serial spatial prior (Cheng et al. 2020, without attention).

    Parameters
    ----------
    n
        Channels: 128 for quality 3, 192 for 4 to 6.
    """

    published_name = "CompressAI's cheng2020-anchor"

    def __init__(self, n: int = 192) -> None:
        super().__init__()
        self.n = n
        self.entropy_bottleneck = EntropyBottleneck(n)
        self.g_a = nn.Sequential(
            _Down(3, n), _Residual(n), _Down(n, n), _Residual(n), _Down(n, n), _Residual(n), conv(n, n, 3, 2)
        )
        self.g_s = nn.Sequential(
            _Residual(n), _Up(n), _Residual(n), _Up(n), _Residual(n), _Up(n), _Residual(n), subpel(n, 3)
        )
        self.h_a = nn.Sequential(
            conv(n, n), nn.LeakyReLU(), conv(n, n), nn.LeakyReLU(), conv(n, n, 3, 2), nn.LeakyReLU(), conv(n, n),
            nn.LeakyReLU(), conv(n, n, 3, 2),
        )  # fmt: skip
        self.h_s = nn.Sequential(
            conv(n, n), nn.LeakyReLU(), subpel(n, n), nn.LeakyReLU(), conv(n, n * 3 // 2), nn.LeakyReLU(),
            subpel(n * 3 // 2, n * 3 // 2), nn.LeakyReLU(), conv(n * 3 // 2, n * 2),
        )  # fmt: skip
        sizes = (n * 12 // 3, n * 10 // 3, n * 8 // 3, n * 6 // 3)
        self.entropy_parameters = nn.Sequential(
            conv(sizes[0], sizes[1], 1), nn.LeakyReLU(), conv(sizes[1], sizes[2], 1), nn.LeakyReLU(),
            conv(sizes[2], sizes[3], 1),
        )  # fmt: skip
        self.context_prediction = MaskedConv(n, 2 * n)
        self.gaussian_conditional = _GaussianBuffers()

    def code(self, coder: LatentCoder, frame: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Code one frame as a stream does: the mean is subtracted before rounding.

        Parameters
        ----------
        frame
            1 x 3 x H x W in [0, 1], H and W multiples of 64; None when decoding.
        size
            (H, W).

        Returns
        -------
        Tensor
            The decoded frame, not clamped.
        """
        y, hints = self._latent(coder, frame, size)
        return self.g_s(
            code_autoregressive(coder, "y", GAUSSIAN, y, hints, self.context_prediction, self._scales_and_means)
        )

    def estimate(self, coder: Estimator, frame: Tensor) -> Tensor:
        """Code one frame as the authors' estimates do: all places at once, rounded without subtracting the means.

        Same arguments and result as `code`.
        """
        y, hints = self._latent(coder, frame, (frame.shape[2], frame.shape[3]))
        assert y is not None  # noqa: S101 -- a frame was given
        y_hat = torch.round(y)
        scales, means = self._scales_and_means(torch.cat((hints, self.context_prediction(y_hat)), 1))
        coder.conditional("y", GAUSSIAN, y - means, scales)
        return self.g_s(y_hat)

    def _latent(self, coder: LatentCoder, frame: Tensor | None, size: tuple[int, int]) -> tuple[Tensor | None, Tensor]:
        y = z = None
        if frame is not None:
            y = self.g_a(frame)
            z = self.h_a(y)
        z_hat = coder.factorized("z", self.entropy_bottleneck, z, (1, self.n, size[0] // 64, size[1] // 64))
        return y, self.h_s(z_hat)

    def _scales_and_means(self, x: Tensor) -> tuple[Tensor, Tensor]:
        network = self.entropy_parameters if x.ndim == 4 else on_places(self.entropy_parameters)
        scales, means = network(x).chunk(2, 1)
        return torch.maximum(scales, self.gaussian_conditional.lower_bound_scale.bound), means


class ScaleHyperprior(nn.Module):
    """GDN transforms and a zero-mean scale hyperprior (Balle et al. 2018).

    Parameters
    ----------
    n, m
        Channels of the transforms and of y: 128 and 192 for quality 3 to 5, 192 and 320 for 6.
    """

    published_name = "CompressAI's bmshj2018-hyperprior"

    def __init__(self, n: int = 128, m: int = 192) -> None:
        super().__init__()
        self.n = n
        self.entropy_bottleneck = EntropyBottleneck(n)
        self.g_a = nn.Sequential(
            conv(3, n, 5, 2), CheckpointGdn(n), conv(n, n, 5, 2), CheckpointGdn(n), conv(n, n, 5, 2), CheckpointGdn(n),
            conv(n, m, 5, 2),
        )  # fmt: skip
        self.g_s = nn.Sequential(
            upconv(m, n, 5), CheckpointGdn(n, True), upconv(n, n, 5), CheckpointGdn(n, True), upconv(n, n, 5),
            CheckpointGdn(n, True), upconv(n, 3, 5),
        )  # fmt: skip
        self.h_a = nn.Sequential(conv(m, n), nn.ReLU(), conv(n, n, 5, 2), nn.ReLU(), conv(n, n, 5, 2))
        self.h_s = nn.Sequential(upconv(n, n, 5), nn.ReLU(), upconv(n, n, 5), nn.ReLU(), conv(n, m), nn.ReLU())
        self.gaussian_conditional = _GaussianBuffers()

    def code(self, coder: LatentCoder, frame: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Code one frame; see `Cheng2020Anchor.code`."""
        y = z = None
        if frame is not None:
            y = self.g_a(frame)
            z = self.h_a(y.abs())
        z_hat = coder.factorized("z", self.entropy_bottleneck, z, (1, self.n, size[0] // 64, size[1] // 64))
        scales = torch.maximum(self.h_s(z_hat), self.gaussian_conditional.lower_bound_scale.bound)
        return self.g_s(coder.conditional("y", GAUSSIAN, y, scales))

    def estimate(self, coder: Estimator, frame: Tensor) -> Tensor:
        """Same as `code`: without means both ways of rounding agree."""
        return self.code(coder, frame, (frame.shape[2], frame.shape[3]))
