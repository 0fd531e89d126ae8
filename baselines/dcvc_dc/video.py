"""DCVC-DC's inter network (the authors' DMC)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from baselines.dcvc_dc.blocks import DepthConvBlock, ResidualBlock, ResidualDown, ResidualUp, UNet
from baselines.dcvc_dc.prior import code_quadtree
from baselines.neural.entropy import LAPLACE, FactorizedPrior
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import SpyNet, conv, double, halve, pad_to, subpel, warp

# Which of the three feature adaptors a frame uses, by its number modulo 4: DCVC-DC's hierarchical quality structure.
_ADAPTOR = (0, 1, 0, 2)


@dataclass(frozen=True)
class State:
    """State after a decoded frame, from which the next one is coded; after an intra frame only `frame` is set.

    Attributes
    ----------
    frame
        The decoded frame, 1 x 3 x H x W, clamped to [0, 1].
    feature, mv_feature
        1 x 48 x H x W and 1 x 64 x H/4 x W/4.
    y, mv_y
        Decoded latents, 1 x 128 x H/16 x W/16 and 1 x 64 x H/16 x W/16.
    """

    frame: Tensor
    feature: Tensor | None = None
    mv_feature: Tensor | None = None
    y: Tensor | None = None
    mv_y: Tensor | None = None


class _MotionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc_1 = nn.Sequential(ResidualDown(2, 64), DepthConvBlock(64, 64))
        self.enc_2 = ResidualDown(64, 64)
        self.adaptor_0 = DepthConvBlock(64, 64)
        self.adaptor_1 = DepthConvBlock(128, 64)
        self.enc_3 = nn.Sequential(ResidualDown(64, 64), DepthConvBlock(64, 64), conv(64, 64, 3, 2))

    def forward(self, flow: Tensor, past: Tensor | None, q: Tensor) -> Tensor:
        out = self.enc_2(self.enc_1(flow) * q)
        out = self.adaptor_0(out) if past is None else self.adaptor_1(out, past)
        return self.enc_3(out)


class _MotionDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dec_1 = nn.Sequential(
            DepthConvBlock(64, 64), ResidualUp(64, 64), DepthConvBlock(64, 64), ResidualUp(64, 64),
            DepthConvBlock(64, 64),
        )  # fmt: skip
        self.dec_2 = ResidualUp(64, 64)
        self.dec_3 = nn.Sequential(DepthConvBlock(64, 64), subpel(64, 2, 1))

    def forward(self, mv_y: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.dec_1(mv_y)
        return self.dec_3(self.dec_2(feature) * q), feature


def _hyper_decoder(channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv(channels, channels), nn.LeakyReLU(), subpel(channels, channels, 1), nn.LeakyReLU(),
        conv(channels, channels), nn.LeakyReLU(), subpel(channels, channels, 1), nn.LeakyReLU(),
        conv(channels, channels),
    )  # fmt: skip


class OffsetDiversity(nn.Module):
    """Warp in 16 channel groups with two learned offsets each, weighted by masks, and fuse."""

    groups, repeats, reach = 16, 2, 40.0

    def __init__(self) -> None:
        super().__init__()
        self.conv_offset = nn.Sequential(
            conv(53, 64, 3, 2), nn.LeakyReLU(0.1), conv(64, 64), nn.LeakyReLU(0.1), conv(64, 96)
        )
        self.fusion = nn.Conv2d(96, 48, 1, groups=self.groups)

    def forward(self, feature: Tensor, hints: Tensor, flow: Tensor) -> Tensor:
        pairs = self.groups * self.repeats
        batch, channels, height, width = feature.shape
        # In place and one repeat at a time, since all of this is at full size; contiguous planes, for a fast warp.
        out = double(self.conv_offset(hints).contiguous())
        offsets = out[:, : 2 * pairs].tanh_().mul_(self.reach).view(batch, self.repeats, self.groups, 2, height, width)
        masks = out[:, 2 * pairs :].sigmoid_().view(batch, self.repeats, self.groups, 1, height, width)
        flows = offsets.add_(flow.contiguous()[:, None, None])
        slices = feature.contiguous().view(batch * self.groups, -1, height, width)
        moved = torch.stack(
            [
                warp(slices, flows[:, i].flatten(0, 1)).mul_(masks[:, i].flatten(0, 1)).view_as(feature)
                for i in range(self.repeats)
            ],
            1,
        )
        # A 1x1 convolution in 16 groups of channels.
        inside = moved.view(batch, self.groups, -1, height * width)
        weight = self.fusion.weight.view(self.groups, -1, inside.shape[2])
        fused = torch.matmul(weight, inside).view(batch, channels, height, width)
        return fused.add_(self.fusion.bias[:, None, None])  # type: ignore[index]


class _FeatureExtractor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.res_block1 = conv(48, 48), ResidualBlock(48)
        self.conv2, self.res_block2 = conv(48, 64, 3, 2), ResidualBlock(64)
        self.conv3, self.res_block3 = conv(64, 96, 3, 2), ResidualBlock(96)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        full = self.res_block1(self.conv1(feature))
        half = self.res_block2(self.conv2(full))
        return full, half, self.res_block3(self.conv3(half))


class _ContextFusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv3_up, self.res_block3_up = subpel(96, 64), ResidualBlock(64)
        self.conv3_out, self.res_block3_out = conv(96, 96), ResidualBlock(96)
        self.conv2_up, self.res_block2_up = subpel(128, 48), ResidualBlock(48)
        self.conv2_out, self.res_block2_out = conv(128, 64), ResidualBlock(64)
        self.conv1_out, self.res_block1_out = conv(96, 48), ResidualBlock(48)

    def forward(self, full: Tensor, half: Tensor, quarter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        up = self.res_block3_up(self.conv3_up(quarter))
        quarter_out = self.res_block3_out(self.conv3_out(quarter))
        joined = torch.cat((up, half), 1)
        up = self.res_block2_up(self.conv2_up(joined))
        half_out = self.res_block2_out(self.conv2_out(joined))
        full_out = self.res_block1_out(self.conv1_out(torch.cat((up, full), 1)))
        return full + full_out, half + half_out, quarter + quarter_out


class _ContextualEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(51, 64, 3, 2)
        self.res1 = ResidualBlock(128, 0.1, bottleneck=True, end=True)
        self.conv2 = conv(128, 96, 3, 2)
        self.res2 = ResidualBlock(192, 0.1, bottleneck=True, end=True)
        self.conv3 = conv(192, 96, 3, 2)
        self.conv4 = conv(96, 128, 3, 2)

    def forward(self, frame: Tensor, contexts: tuple[Tensor, Tensor, Tensor], q: Tensor) -> Tensor:
        full, half, quarter = contexts
        out = self.conv1(torch.cat((frame, full), 1))
        out = self.res1(torch.cat((out, half), 1)) * q
        out = self.res2(torch.cat((self.conv2(out), quarter), 1))
        return self.conv4(self.conv3(out))


class _ContextualDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up1, self.up2 = subpel(128, 96), subpel(96, 96)
        self.res1 = ResidualBlock(192, 0.1, bottleneck=True, end=True)
        self.up3 = subpel(192, 64)
        self.res2 = ResidualBlock(128, 0.1, bottleneck=True, end=True)
        self.up4 = subpel(128, 32)

    def forward(self, y: Tensor, half: Tensor, quarter: Tensor, q: Tensor) -> Tensor:
        out = self.res1(torch.cat((self.up2(self.up1(y)), quarter), 1))
        out = self.res2(torch.cat((self.up3(out) * q, half), 1))
        return self.up4(out)


class _Reconstruction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first_conv = conv(80, 48)
        self.unet_1, self.unet_2 = UNet(48, 48), UNet(48, 48)
        self.recon_conv = conv(48, 3)

    def forward(self, decoded: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.unet_2(self.unet_1(self.first_conv(torch.cat((decoded, full), 1))))
        return self.recon_conv(feature), feature


class VideoNetwork(nn.Module):
    """Codes one RGB frame given the state after the previous one.

    Motion is coded first (mv_z, mv_y). Contexts at three scales are mined from the previous frame's feature, and the
    frame is coded conditioned on them (z, y). Both latents have four-step Laplace priors, conditioned on the previous
    frame's latents.
    """

    published_name = "DCVC-DC's inter network"

    def __init__(self) -> None:
        super().__init__()
        for name, channels in (("mv_y_q_basic_enc", 64), ("mv_y_q_basic_dec", 64), ("y_q_basic_enc", 128),
                               ("y_q_basic_dec", 64)):  # fmt: skip
            self.register_parameter(name, nn.Parameter(torch.ones(1, channels, 1, 1)))
            self.register_parameter(name.replace("basic", "scale"), nn.Parameter(torch.ones(4, 1, 1, 1)))
        self.bit_estimator_z = FactorizedPrior(128)
        self.bit_estimator_z_mv = FactorizedPrior(64)
        self.optic_flow = SpyNet()
        self.align = OffsetDiversity()
        self.mv_encoder = _MotionEncoder()
        self.mv_hyper_prior_encoder = nn.Sequential(
            conv(64, 64), nn.LeakyReLU(), conv(64, 64), nn.LeakyReLU(), conv(64, 64, 3, 2), nn.LeakyReLU(),
            conv(64, 64), nn.LeakyReLU(), conv(64, 64, 3, 2),
        )  # fmt: skip
        self.mv_hyper_prior_decoder = _hyper_decoder(64)
        self.mv_y_prior_fusion_adaptor_0 = DepthConvBlock(64, 128)
        self.mv_y_prior_fusion_adaptor_1 = DepthConvBlock(128, 128)
        self.mv_y_prior_fusion = nn.Sequential(DepthConvBlock(128, 192), DepthConvBlock(192, 192))
        self.mv_y_spatial_prior_adaptor_1 = conv(256, 192, 1)
        self.mv_y_spatial_prior_adaptor_2 = conv(256, 192, 1)
        self.mv_y_spatial_prior_adaptor_3 = conv(256, 192, 1)
        self.mv_y_spatial_prior = nn.Sequential(
            DepthConvBlock(192, 192), DepthConvBlock(192, 192), DepthConvBlock(192, 128)
        )
        self.mv_decoder = _MotionDecoder()
        self.feature_adaptor_I = conv(3, 48)
        self.feature_adaptor = nn.ModuleList(conv(48, 48, 1) for _ in range(3))
        self.feature_extractor = _FeatureExtractor()
        self.context_fusion_net = _ContextFusion()
        self.contextual_encoder = _ContextualEncoder()
        self.contextual_hyper_prior_encoder = nn.Sequential(
            conv(128, 128), nn.LeakyReLU(), conv(128, 128, 3, 2), nn.LeakyReLU(), conv(128, 128, 3, 2)
        )
        self.contextual_hyper_prior_decoder = _hyper_decoder(128)
        self.temporal_prior_encoder = nn.Sequential(conv(96, 96, 3, 2), nn.LeakyReLU(0.1), conv(96, 128, 3, 2))
        self.y_prior_fusion_adaptor_0 = DepthConvBlock(256, 384)
        self.y_prior_fusion_adaptor_1 = DepthConvBlock(384, 384)
        self.y_prior_fusion = nn.Sequential(DepthConvBlock(384, 384), DepthConvBlock(384, 384))
        self.y_spatial_prior_adaptor_1 = conv(512, 384, 1)
        self.y_spatial_prior_adaptor_2 = conv(512, 384, 1)
        self.y_spatial_prior_adaptor_3 = conv(512, 384, 1)
        self.y_spatial_prior = nn.Sequential(
            DepthConvBlock(384, 384), DepthConvBlock(384, 384), DepthConvBlock(384, 256)
        )
        self.contextual_decoder = _ContextualDecoder()
        self.recon_generation_net = _Reconstruction()

    def code(
        self, coder: LatentCoder, frame: Tensor | None, state: State, scales: dict[str, Tensor], index: int
    ) -> State:
        """Code one frame.

        Parameters
        ----------
        frame
            1 x 3 x H x W in [0, 1], H and W multiples of 16; None when decoding.
        state
            State after the previous frame.
        scales
            The rate point's factor for each ``*_q_scale_*`` parameter.
        index
            Number of the frame in the sequence: modulo 4 it selects the feature adaptor.

        Returns
        -------
        State
            State after this frame, with the decoded frame.
        """
        q = {name: getattr(self, name.replace("scale", "basic")) * scale for name, scale in scales.items()}
        motion, state_after_motion = self._code_motion(coder, frame, state, q)
        contexts = self._mine(state, motion, index)
        y_hat = self._code_latent(coder, frame, state, contexts, q)
        full, half, quarter = contexts
        decoded = self.contextual_decoder(y_hat, half, quarter, q["y_q_scale_dec"])
        image, feature = self.recon_generation_net(decoded, full)
        return replace(state_after_motion, frame=image.clamp(0, 1), feature=feature, y=y_hat)

    def _code_motion(
        self, coder: LatentCoder, frame: Tensor | None, state: State, q: dict[str, Tensor]
    ) -> tuple[Tensor, State]:
        height, width = state.frame.shape[2] // 16, state.frame.shape[3] // 16
        y = z = None
        if frame is not None:
            flow = self.optic_flow(frame, state.frame)
            y = self.mv_encoder(flow, state.mv_feature, q["mv_y_q_scale_enc"])
            z = self.mv_hyper_prior_encoder(pad_to(y, 4))
        z_hat = coder.factorized("mv_z", self.bit_estimator_z_mv, z, (1, 64, -(-height // 4), -(-width // 4)))
        hyper = self.mv_hyper_prior_decoder(z_hat)[:, :, :height, :width]
        if state.mv_y is None:
            common = self.mv_y_prior_fusion_adaptor_0(hyper)
        else:
            common = self.mv_y_prior_fusion_adaptor_1(hyper, state.mv_y)
        adaptors = (
            self.mv_y_spatial_prior_adaptor_1, self.mv_y_spatial_prior_adaptor_2, self.mv_y_spatial_prior_adaptor_3,
        )  # fmt: skip
        y_hat = code_quadtree(
            coder, "mv_y", LAPLACE, y, self.mv_y_prior_fusion(common), adaptors, self.mv_y_spatial_prior
        )
        motion, feature = self.mv_decoder(y_hat, q["mv_y_q_scale_dec"])
        return motion, replace(state, mv_feature=feature, mv_y=y_hat)

    def _mine(self, state: State, motion: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts at full, half and quarter size."""
        if state.feature is None:
            feature = self.feature_adaptor_I(state.frame)
        else:
            feature = self.feature_adaptor[_ADAPTOR[index % 4]](state.feature)
        full, half, quarter = self.feature_extractor(feature)
        half_motion = halve(motion) / 2
        hints = torch.cat((warp(full, motion), warp(state.frame, motion), motion), 1)
        return self.context_fusion_net(
            self.align(full, hints, motion), warp(half, half_motion), warp(quarter, halve(half_motion) / 2)
        )

    def _code_latent(
        self,
        coder: LatentCoder,
        frame: Tensor | None,
        state: State,
        contexts: tuple[Tensor, Tensor, Tensor],
        q: dict[str, Tensor],
    ) -> Tensor:
        height, width = state.frame.shape[2] // 16, state.frame.shape[3] // 16
        y = z = None
        if frame is not None:
            y = self.contextual_encoder(frame, contexts, q["y_q_scale_enc"])
            z = self.contextual_hyper_prior_encoder(pad_to(y, 4))
        z_hat = coder.factorized("z", self.bit_estimator_z, z, (1, 128, -(-height // 4), -(-width // 4)))
        priors = [
            self.temporal_prior_encoder(contexts[2]),
            self.contextual_hyper_prior_decoder(z_hat)[:, :, :height, :width],
        ]
        if state.y is None:
            common = self.y_prior_fusion_adaptor_0(*priors)
        else:
            common = self.y_prior_fusion_adaptor_1(*priors, state.y)
        adaptors = (self.y_spatial_prior_adaptor_1, self.y_spatial_prior_adaptor_2, self.y_spatial_prior_adaptor_3)
        return code_quadtree(coder, "y", LAPLACE, y, self.y_prior_fusion(common), adaptors, self.y_spatial_prior)
