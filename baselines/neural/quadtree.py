"""The four-step prior of DCVC-DC in fixed point, and the depthwise block that it is built from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.neural.fixed import STEP, FixedConv, FixedLayer, FixedSubpel, add, snap
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv, pad_to
from baselines.neural.small import SCALES, FixedPrior, latent_gain, scale_of, starting_outputs

# Channel group g is coded at step s where the pixel's place in its 2x2 block is g XOR _ORDER[s].
_ORDER = (0, 3, 2, 1)


class Block(nn.Module):
    """Depthwise block and feed-forward block, see `baselines.dcvc_dc.blocks.DepthConvBlock`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = FixedConv(inputs, inputs, 1, activation="leaky")
        self.depth_conv = FixedConv(inputs, inputs, groups=inputs)
        self.conv2 = FixedConv(inputs, outputs, 1)
        self.adaptor = FixedConv(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.wide = FixedConv(outputs, 2 * outputs, 1, activation="leaky")
        self.narrow = FixedConv(2 * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = add(self.conv2(self.depth_conv(self.conv1(x))), self.adaptor(x))
        return add(x, self.narrow(self.wide(x)))


class QuadPrior(FixedLayer):
    """Hyperprior and four-step spatial prior of one latent, conditioned on what else is known.

    Parameters
    ----------
    channels, hidden, hyper
        Channels of the latent, inside the prior, and of the hyper-latent.
    known
        Channels of the conditions (temporal context, the previous frame's latent).
    rates
        Number of rate points: each has its own starting scales, means and steps.
    """

    def __init__(self, channels: int, hidden: int, hyper: int, known: int, rates: int) -> None:
        super().__init__()
        self.register_buffer("gain", latent_gain(channels))
        self.prior = FixedPrior(hyper)
        self.hyper_encoder = nn.Sequential(
            conv(channels, hidden),
            nn.LeakyReLU(),
            conv(hidden, hidden, 3, 2),
            nn.LeakyReLU(),
            conv(hidden, hyper, 3, 2),
        )
        self.hyper_decoder = nn.Sequential(
            FixedSubpel(hyper, hidden, 1, "leaky"), FixedConv(hidden, hidden, activation="leaky"),
            FixedSubpel(hidden, hidden, 1, "leaky"),
        )  # fmt: skip
        self.fusion = nn.Sequential(Block(hidden + known, hidden), Block(hidden, hidden))
        self.head = FixedConv(hidden, 3 * channels, 1, zero=True)
        self.adaptors = nn.ModuleList(FixedConv(hidden + channels, hidden, 1) for _ in range(3))
        self.trunk = nn.Sequential(Block(hidden, hidden), Block(hidden, hidden))
        self.trunk_head = FixedConv(hidden, 2 * channels, 1, zero=True)
        self.rate_bias = nn.Parameter(torch.zeros(rates, 2 * channels, 1, 1))
        self.channels, self.hyper = channels, hyper

    def code(
        self, coder: LatentCoder, name: str, latent: Tensor | None, known: Sequence[Tensor], rate: Tensor,
        shape: tuple[int, int, int], worth: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Code a latent.

        Parameters
        ----------
        name
            Component whose bits are counted; those of its hyper-latent are counted as ``<name>_z``.
        latent
            N x C x h x w in units of its rate point's steps; None when decoding.
        known
            Conditions on the latent's grid, N x ... x h x w each.
        rate
            Rate point of each of the N items.
        shape
            (N, h, w).
        worth
            Bits that a squared unit of a coefficient's error is worth, of a shape that expands to the latent's; for the
            encoder's choice of symbols (`baselines.neural.latents.symbols_of`).

        Returns
        -------
        Tensor
            The decoded latent, in float64 where frozen.
        """
        batch, height, width = shape
        gain = self.get_buffer("gain")
        z = None if latent is None else self.hyper_encoder(pad_to(latent / gain, 4))
        z_hat = coder.factorized(f"{name}_z", self.prior, z, (batch, self.hyper, -(-height // 4), -(-width // 4)))
        hyper = self.hyper_decoder(snap(z_hat, self.frozen))[:, :, :height, :width]
        fused = self.fusion(torch.cat((hyper, *known), 1))
        bias = self.rate_bias[rate]
        steps, scales, means = self._split(self.head(fused), bias)
        steps = (1 + steps / 4).clamp(0.5, 4)
        scaled = None if latent is None else latent / steps
        decoded = torch.zeros_like(means)
        for i, mask in enumerate(_masks(self.channels, height, width, fused)):
            if i:
                seen = snap(decoded / gain, self.frozen)
                out = self.trunk_head(self.trunk(self.adaptors[i - 1](torch.cat((fused, seen), 1))))
                scales, means = (out + bias).chunk(2, 1)
            mean = means * gain
            residual = None if scaled is None else _gather(scaled - mean, mask)
            weighed = None if worth is None or residual is None else _gather(worth * steps.square(), mask)
            symbols = coder.conditional(name, SCALES, residual, _gather(scale_of(scales, self.frozen), mask), weighed)
            decoded = decoded + (symbols.repeat(1, 4, 1, 1) + mean) * mask
        return decoded.double() * steps.double() if self.frozen else decoded * steps

    def _split(self, out: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        steps, rest = out[:, : self.channels], out[:, self.channels :]
        scales, means = (rest + bias).chunk(2, 1)
        return steps, scales, means

    def calibrate(self, latents: Tensor, steps: Sequence[float]) -> None:
        """Set the starting Laplace scales; see `starting_outputs`."""
        with torch.no_grad():
            self.rate_bias[:, : self.channels, 0, 0] = starting_outputs(latents, steps)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.rate_bias.copy_(torch.round(self.rate_bias / STEP) * STEP)


def _masks(channels: int, height: int, width: int, like: Tensor) -> list[Tensor]:
    rows = torch.arange(height, device=like.device)[:, None] % 2
    columns = torch.arange(width, device=like.device)[None, :] % 2
    groups = torch.arange(4, device=like.device).repeat_interleave(channels // 4)
    return [((groups[:, None, None] ^ order) == 2 * rows + columns).to(like)[None] for order in _ORDER]


def _gather(x: Tensor, mask: Tensor) -> Tensor:
    first, second, third, fourth = (x * mask).chunk(4, 1)
    return first + second + third + fourth
