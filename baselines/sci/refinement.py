"""What the networks of intra and of inter frames share: the refinement, the latent's maps, the encoder's branch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.fixed import STEP, FixedConv, FixedLayer, FixedSubpel, add
from baselines.neural.layers import conv
from baselines.neural.quadtree import Block
from baselines.neural.small import FRAME_GAIN, Residual, zeroed


class Refinement(FixedLayer):
    """Predicts the detail that a frame lacks from maps of what is known of it, with a bias for every rate point.

    Parameters
    ----------
    unshuffle
        Side of the blocks of pixels that are channels.
    inputs, width
        Channels of the input maps, and inside.
    blocks
        Number of residual blocks.
    points
        Number of biases: rate points times `CodecSize.places`.
    """

    def __init__(self, unshuffle: int, inputs: int, width: int, blocks: int, points: int) -> None:
        super().__init__()
        self.first = FixedConv(inputs, width)
        self.rate_bias = nn.Parameter(torch.zeros(points, width, 1, 1))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.last = FixedConv(width, unshuffle**2, zero=True)
        self.shuffle = nn.PixelShuffle(unshuffle)

    def forward(self, x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Detail N x 1 x H x W to add to the frame, and maps N x width x h x w; x is N x inputs x h x w."""
        maps = self.blocks(F.leaky_relu(add(self.first(x), self.rate_bias[rate]), 1 / 8))
        return self.shuffle(self.last(maps)) / FRAME_GAIN, maps

    def freeze_weights(self) -> None:
        with torch.no_grad():
            self.rate_bias.copy_(torch.round(self.rate_bias / STEP) * STEP)


def lifting(latent: int, hidden: int, outputs: int, halvings: int) -> nn.Sequential:
    """Network that makes maps for a refinement from a latent: `outputs` channels, doubled in size `halvings` times."""
    channels = outputs * 2 ** (halvings - 1)
    layers: list[nn.Module] = [FixedConv(latent, hidden, 1, activation="leaky")]
    layers += [Block(hidden, hidden), FixedSubpel(hidden, channels, 3, "leaky")]
    while channels > outputs:
        layers.append(FixedSubpel(channels, channels // 2, 3, "leaky"))
        channels //= 2
    return nn.Sequential(*layers)


def encoder_branch(inputs: int, width: int, halvings: int, latent: int) -> nn.Sequential:
    """Branch of an encoder, from the refinements' grid to the latent's; its last layer starts at zero."""
    widths = [inputs, *(width for _ in range(halvings - 1))]
    layers: list[nn.Module] = []
    for channels in widths[:-1]:
        layers += [conv(channels, width, 3, 2), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, zeroed(conv(widths[-1], latent, 3, 2)))
