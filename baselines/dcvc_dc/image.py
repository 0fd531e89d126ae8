"""DCVC-DC's intra network (the authors' IntraNoAR)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.dcvc_dc.blocks import DepthConvBlock, ResidualDown, ResidualUp, UNet
from baselines.dcvc_dc.prior import code_quadtree
from baselines.neural.entropy import GAUSSIAN, FactorizedPrior
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv, pad_to


def _block(inputs: int, outputs: int) -> DepthConvBlock:
    return DepthConvBlock(inputs, outputs, gated=True)


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc_1 = nn.Sequential(ResidualDown(3, 128), _block(128, 128))
        self.enc_2 = nn.Sequential(
            ResidualDown(128, 192), _block(192, 192), ResidualDown(192, 256), _block(256, 256), conv(256, 256, 3, 2)
        )

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        return self.enc_2(self.enc_1(x) * q)


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dec_1 = nn.Sequential(
            _block(256, 256), ResidualUp(256, 256), _block(256, 256), ResidualUp(256, 192), _block(192, 192),
            ResidualUp(192, 128),
        )  # fmt: skip
        self.dec_2 = nn.Sequential(_block(128, 128), ResidualUp(128, 16))

    def forward(self, y: Tensor, q: Tensor) -> Tensor:
        return self.dec_2(self.dec_1(y) * q)


class ImageNetwork(nn.Module):
    """Codes one RGB frame: y at 1/16 with a four-step Gaussian prior, z at 1/64.

    ::

        x -> enc -> y --------- quantise --------- y_hat -> dec -> refine -> x_hat
                    |            ^   scales, means, steps
                    hyper_enc    y_prior_fusion, y_spatial_prior
                    |            ^
                    z -> code -> hyper_dec
    """

    published_name = "DCVC-DC's intra network"

    def __init__(self) -> None:
        super().__init__()
        self.q_basic_enc = nn.Parameter(torch.ones(1, 128, 1, 1))
        self.q_scale_enc = nn.Parameter(torch.ones(4, 1, 1, 1))
        self.q_basic_dec = nn.Parameter(torch.ones(1, 128, 1, 1))
        self.q_scale_dec = nn.Parameter(torch.ones(4, 1, 1, 1))
        self.bit_estimator_z = FactorizedPrior(256)
        self.enc = _Encoder()
        self.hyper_enc = nn.Sequential(_block(256, 256), conv(256, 256, 3, 2), nn.LeakyReLU(), conv(256, 256, 3, 2))
        self.hyper_dec = nn.Sequential(ResidualUp(256, 256), ResidualUp(256, 256), _block(256, 256))
        self.y_prior_fusion = nn.Sequential(_block(256, 512), _block(512, 768))
        self.y_spatial_prior_adaptor_1 = conv(1024, 768, 1)
        self.y_spatial_prior_adaptor_2 = conv(1024, 768, 1)
        self.y_spatial_prior_adaptor_3 = conv(1024, 768, 1)
        self.y_spatial_prior = nn.Sequential(_block(768, 768), _block(768, 512), _block(512, 512))
        self.dec = _Decoder()
        self.refine = nn.Sequential(UNet(16, 16, gated=True), conv(16, 3))

    def code(
        self, coder: LatentCoder, frame: Tensor | None, scales: dict[str, Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Code one frame.

        Parameters
        ----------
        frame
            1 x 3 x H x W in [0, 1], H and W multiples of 16; None when decoding.
        scales
            The rate point's factor for each ``q_scale_*`` parameter.
        size
            (H, W).

        Returns
        -------
        Tensor
            The decoded frame, clamped to [0, 1].
        """
        height, width = size[0] // 16, size[1] // 16
        y = z = None
        if frame is not None:
            y = self.enc(frame, self.q_basic_enc * scales["q_scale_enc"])
            z = self.hyper_enc(pad_to(y, 4))
        z_hat = coder.factorized("z", self.bit_estimator_z, z, (1, 256, -(-height // 4), -(-width // 4)))
        common = self.y_prior_fusion(self.hyper_dec(z_hat))[:, :, :height, :width]
        adaptors = (self.y_spatial_prior_adaptor_1, self.y_spatial_prior_adaptor_2, self.y_spatial_prior_adaptor_3)
        y_hat = code_quadtree(coder, "y", GAUSSIAN, y, common, adaptors, self.y_spatial_prior)
        return self.refine(self.dec(y_hat, self.q_basic_dec * scales["q_scale_dec"])).clamp(0, 1)
