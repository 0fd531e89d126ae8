"""The serial spatial prior of the small codecs: hyperprior and 5x5 context, in fixed point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.neural.autoregressive import code_autoregressive
from baselines.neural.fixed import STEP, FixedConv, FixedLayer, FixedMasked, FixedSubpel, snap
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv, pad_to
from baselines.neural.small import SCALES, STEPS, FixedPrior, latent_gain, scale_of, starting_outputs


class SerialPrior(FixedLayer):
    """Hyperprior and serial spatial prior of one latent, conditioned on what else is known.

    Parameters
    ----------
    channels, hidden, hyper
        Channels of the latent, inside the prior, and of the hyper-latent.
    known
        Channels of the conditions (0 for none).
    """

    def __init__(self, channels: int, hidden: int, hyper: int, known: int) -> None:
        super().__init__()
        self.register_buffer("gain", latent_gain(channels))
        self.prior = FixedPrior(hyper)
        self.hyper_encoder = nn.Sequential(
            conv(channels, hidden), nn.LeakyReLU(), conv(hidden, hidden, 5, 2), nn.LeakyReLU(),
            conv(hidden, hyper, 5, 2),
        )  # fmt: skip
        self.hyper_decoder = nn.Sequential(
            FixedSubpel(hyper, hidden, 3, "leaky"), FixedSubpel(hidden, hidden, 3, "leaky"),
            FixedConv(hidden, hidden),
        )  # fmt: skip
        self.context = FixedMasked(channels, hidden)
        self.parameters_net = nn.Sequential(
            FixedConv(2 * hidden + known, 2 * hidden, 1, activation="leaky"),
            FixedConv(2 * hidden, 2 * hidden, 1, activation="leaky"),
            FixedConv(2 * hidden, 2 * channels, 1, zero=True),
        )
        self.rate_bias = nn.Parameter(torch.zeros(len(STEPS), 2 * channels, 1, 1))
        self.hyper = hyper

    def code(
        self, coder: LatentCoder, name: str, latent: Tensor | None, known: Sequence[Tensor], rate: Tensor,
        shape: tuple[int, int, int], worth: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Code a latent; see `baselines.neural.quadtree.QuadPrior.code`. N is 1, except in training."""
        batch, height, width = shape
        gain = self.get_buffer("gain")
        z = None if latent is None else self.hyper_encoder(pad_to(latent / gain, 4))
        z_hat = coder.factorized(f"{name}_z", self.prior, z, (batch, self.hyper, -(-height // 4), -(-width // 4)))
        hyper = self.hyper_decoder(snap(z_hat, self.frozen))[:, :, :height, :width]
        hints, bias = torch.cat((hyper, *known), 1), self.rate_bias[rate]
        if self.training and latent is not None:
            # All places at once: the context reads the latent rounded without subtracting the means.
            rounded = latent + (torch.round(latent) - latent).detach()
            seen = self.context(snap(rounded / gain, self.frozen))
            out = self.parameters_net(torch.cat((hints, seen), 1)) + bias
            scales, means = out.chunk(2, 1)
            means = means * gain
            symbols = coder.conditional(name, SCALES, latent - means, scale_of(scales, self.frozen), worth)
            return symbols + means
        flat_gain, flat_bias = gain.flatten(), bias.flatten()

        def parameters(x: Tensor) -> tuple[Tensor, Tensor]:
            # The context comes unrounded from the serial scan; values that are on the grid stay as they are.
            x = snap(x, self.frozen)
            for layer in self.parameters_net:
                assert isinstance(layer, FixedConv)  # noqa: S101 -- as made above
                x = layer.pointwise(x)
            scales, means = (x + flat_bias).chunk(2, 1)
            return scale_of(scales, self.frozen), means * flat_gain

        def view(values: Tensor) -> Tensor:
            return snap(values / flat_gain, self.frozen)

        channels = None if worth is None else worth.flatten()
        return code_autoregressive(coder, name, SCALES, latent, hints, self.context, parameters, view, channels)

    def calibrate(self, latents: Tensor, steps: Sequence[float]) -> None:
        """Set the starting Laplace scales; see `starting_outputs`."""
        with torch.no_grad():
            self.rate_bias[:, : latents.shape[1], 0, 0] = starting_outputs(latents, steps)

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.rate_bias.copy_(torch.round(self.rate_bias / STEP) * STEP)
