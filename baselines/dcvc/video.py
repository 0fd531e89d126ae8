"""DCVC's inter network (the authors' DCVC_net)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.autoregressive import code_autoregressive, on_places
from baselines.neural.entropy import LAPLACE, FactorizedPrior
from baselines.neural.latents import Estimator, LatentCoder
from baselines.neural.layers import Gdn, MaskedConv, SpyNet, conv, subpel, upconv, warp


class ResidualBlock(nn.Module):
    """x + conv2(relu(conv1(relu(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class LeakyBlock(nn.Module):
    """x + leaky(conv(leaky(conv(x)))), slope 0.1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv(channels, channels), nn.LeakyReLU(0.1), conv(channels, channels), nn.LeakyReLU(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def _entropy_parameters(sizes: tuple[int, int, int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [conv(inputs, outputs, 1), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])


class VideoNetwork(nn.Module):
    """Codes one RGB frame given the frame decoded before it.

    Motion is estimated, coded (mv_z, mv_y) and refined. Features of the reference, warped by this motion, are the
    context of the encoder, the decoder and the temporal prior of y. Both latents have hyperpriors and serial spatial
    priors.
    """

    published_name = "DCVC's inter network"

    def __init__(self) -> None:
        super().__init__()
        self.bitEstimator_z = FactorizedPrior(64)
        self.bitEstimator_z_mv = FactorizedPrior(64)
        self.feature_extract = nn.Sequential(conv(3, 64), ResidualBlock(64))
        self.context_refine = nn.Sequential(ResidualBlock(64), conv(64, 64))
        self.mvEncoder = nn.Sequential(
            conv(2, 128, 3, 2), Gdn(128), conv(128, 128, 3, 2), Gdn(128), conv(128, 128, 3, 2), Gdn(128),
            conv(128, 128, 3, 2),
        )  # fmt: skip
        self.mvDecoder_part1 = nn.Sequential(
            upconv(128, 128, 3), Gdn(128, inverse=True), upconv(128, 128, 3), Gdn(128, inverse=True),
            upconv(128, 128, 3), Gdn(128, inverse=True), upconv(128, 2, 3),
        )  # fmt: skip
        refine: list[nn.Module] = [conv(5, 64)]
        for _ in range(5):
            refine += [nn.LeakyReLU(0.1), conv(64, 64)]
        self.mvDecoder_part2 = nn.Sequential(*refine, nn.LeakyReLU(0.1), conv(64, 2))
        self.contextualEncoder = nn.Sequential(
            conv(67, 64, 5, 2), Gdn(64), LeakyBlock(64), conv(64, 64, 5, 2), Gdn(64), LeakyBlock(64),
            conv(64, 64, 5, 2), Gdn(64), conv(64, 96, 5, 2),
        )  # fmt: skip
        self.contextualDecoder_part1 = nn.Sequential(
            subpel(96, 64), Gdn(64, inverse=True), subpel(64, 64), Gdn(64, inverse=True), LeakyBlock(64),
            subpel(64, 64), Gdn(64, inverse=True), LeakyBlock(64), subpel(64, 64),
        )  # fmt: skip
        self.contextualDecoder_part2 = nn.Sequential(conv(128, 64), ResidualBlock(64), ResidualBlock(64), conv(64, 3))
        self.priorEncoder = nn.Sequential(
            conv(96, 64), nn.LeakyReLU(), conv(64, 64, 5, 2), nn.LeakyReLU(), conv(64, 64, 5, 2)
        )
        self.priorDecoder = nn.Sequential(
            upconv(64, 96, 5), nn.LeakyReLU(), upconv(96, 96, 5), nn.LeakyReLU(), nn.ConvTranspose2d(96, 96, 3, 1, 1)
        )
        self.mvpriorEncoder = nn.Sequential(
            conv(128, 64), nn.LeakyReLU(), conv(64, 64, 5, 2), nn.LeakyReLU(), conv(64, 64, 5, 2)
        )
        self.mvpriorDecoder = nn.Sequential(
            upconv(64, 64, 5), nn.LeakyReLU(), upconv(64, 96, 5), nn.LeakyReLU(), nn.ConvTranspose2d(96, 256, 3, 1, 1)
        )
        self.entropy_parameters = _entropy_parameters((384, 320, 256, 192))
        self.auto_regressive = MaskedConv(96, 192)
        self.auto_regressive_mv = MaskedConv(128, 256)
        self.entropy_parameters_mv = _entropy_parameters((512, 426, 341, 256))
        self.temporalPriorEncoder = nn.Sequential(
            conv(64, 64, 5, 2), Gdn(64), conv(64, 64, 5, 2), Gdn(64), conv(64, 64, 5, 2), Gdn(64), conv(64, 96, 5, 2)
        )
        self.opticFlow = SpyNet()

    def code(self, coder: LatentCoder, frame: Tensor | None, reference: Tensor) -> Tensor:
        """Code one frame as a stream does: each latent's mean is subtracted before rounding.

        Parameters
        ----------
        frame
            1 x 3 x H x W in [0, 1], H and W multiples of 64; None when decoding.
        reference
            The frame decoded before, 1 x 3 x H x W, clamped.

        Returns
        -------
        Tensor
            The decoded frame, not clamped.
        """
        mv_y, hints = self._motion_latent(coder, frame, reference)
        mv_y_hat = code_autoregressive(
            coder, "mv_y", LAPLACE, mv_y, hints, self.auto_regressive_mv, self._motion_parameters
        )
        context = self._context(mv_y_hat, reference)
        y, hints = self._frame_latent(coder, frame, context)
        y_hat = code_autoregressive(coder, "y", LAPLACE, y, hints, self.auto_regressive, self._frame_parameters)
        return self._reconstruct(y_hat, context)

    def estimate(self, coder: Estimator, frame: Tensor, reference: Tensor) -> Tensor:
        """Code one frame as the authors' estimates do: all places at once, rounded without subtracting the means.

        Same arguments and result as `code`, but other frames; the authors' code has both ways.
        """
        mv_y, hints = self._motion_latent(coder, frame, reference)
        assert mv_y is not None  # noqa: S101 -- a frame was given
        mv_y_hat = torch.round(mv_y)
        scales, means = self._motion_parameters(torch.cat((hints, self.auto_regressive_mv(mv_y_hat)), 1))
        coder.conditional("mv_y", LAPLACE, mv_y - means, scales)
        context = self._context(mv_y_hat, reference)
        y, hints = self._frame_latent(coder, frame, context)
        assert y is not None  # noqa: S101 -- a frame was given
        y_hat = torch.round(y)
        scales, means = self._frame_parameters(torch.cat((hints, self.auto_regressive(y_hat)), 1))
        coder.conditional("y", LAPLACE, y - means, scales)
        return self._reconstruct(y_hat, context)

    def _motion_latent(
        self, coder: LatentCoder, frame: Tensor | None, reference: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        y = z = None
        if frame is not None:
            y = self.mvEncoder(self.opticFlow(frame, reference))
            z = self.mvpriorEncoder(y)
        z_hat = coder.factorized("mv_z", self.bitEstimator_z_mv, z, _hyper_shape(reference))
        return y, self.mvpriorDecoder(z_hat)

    def _motion_parameters(self, x: Tensor) -> tuple[Tensor, Tensor]:
        network = self.entropy_parameters_mv if x.ndim == 4 else on_places(self.entropy_parameters_mv)
        means, scales = network(x).chunk(2, 1)
        return scales, means

    def _context(self, mv_y: Tensor, reference: Tensor) -> Tensor:
        motion = self.mvDecoder_part1(mv_y)
        motion = motion + self.mvDecoder_part2(torch.cat((motion, reference), 1))
        return self.context_refine(warp(self.feature_extract(reference), motion))

    def _frame_latent(self, coder: LatentCoder, frame: Tensor | None, context: Tensor) -> tuple[Tensor | None, Tensor]:
        y = z = None
        if frame is not None:
            y = self.contextualEncoder(torch.cat((frame, context), 1))
            z = self.priorEncoder(y)
        z_hat = coder.factorized("z", self.bitEstimator_z, z, _hyper_shape(context))
        return y, torch.cat((self.temporalPriorEncoder(context), self.priorDecoder(z_hat)), 1)

    def _frame_parameters(self, x: Tensor) -> tuple[Tensor, Tensor]:
        network = self.entropy_parameters if x.ndim == 4 else on_places(self.entropy_parameters)
        means, scales = network(x).chunk(2, 1)
        return scales, means

    def _reconstruct(self, y: Tensor, context: Tensor) -> Tensor:
        decoded = self.contextualDecoder_part1(y)
        return self.contextualDecoder_part2(torch.cat((decoded, context), 1))


def _hyper_shape(frame: Tensor) -> tuple[int, ...]:
    return (1, 64, frame.shape[2] // 64, frame.shape[3] // 64)
