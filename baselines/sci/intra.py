"""Intra frames of the feature codec."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.neural.fixed import FixedLayer, snap
from baselines.neural.latents import LatentCoder
from baselines.neural.quadtree import QuadPrior
from baselines.neural.small import BLOCK, FRAME_GAIN, STEPS, DctTransform, Rates, to_frame, to_network
from baselines.sci.refinement import Refinement, encoder_branch, lifting
from baselines.sci.sizes import CodecSize

# Starting quantisation steps of the rate points that only intra frames have.
_FINEST = (0.055, 0.04)


class ImageNetwork(FixedLayer):
    """Codes intra frames."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        pixels, intra = size.unshuffle**2, size.intra
        self.size = size
        self.unshuffle = nn.PixelUnshuffle(size.unshuffle)
        self.transform = DctTransform(size.latent)
        self.steps = (*STEPS, *_FINEST[: size.finest])
        self.rates = Rates(size.latent, self.steps)
        self.encoder = encoder_branch(pixels, intra.encoder, size.halvings, size.latent)
        self.prior = QuadPrior(size.latent, intra.hidden, intra.hyper, 0, len(self.steps))
        self.lift = lifting(size.latent, intra.hidden, intra.lift, size.halvings) if intra.lift else None
        self.refine = Refinement(size.unshuffle, pixels + intra.lift, intra.width, intra.reconstruct, len(self.steps))

    def code(self, coder: LatentCoder, frame: Tensor | None, rate: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Code frames N x 1 x H x W; see `SmallModel.code_intra`."""
        steps = self.rates(rate, self.frozen)
        latent = None
        if frame is not None:
            latent = (self.transform(frame - 0.5) + self.encoder(4 * self.unshuffle(frame - 0.5))) / steps
        batch, height, width = shape
        decoded = self.prior.code(coder, "y", latent, (), rate, (batch, height // BLOCK, width // BLOCK))
        coefficients = decoded * steps
        plain = to_frame(self.transform.invert(coefficients), self.frozen)
        known = self.unshuffle(to_network(plain))
        if self.lift is not None:
            lifted = self.lift(snap((coefficients * FRAME_GAIN / self.prior.get_buffer("gain")).to(known), self.frozen))
            known = torch.cat((known, lifted), 1)
        detail, _ = self.refine(known, rate)
        return to_frame(plain - 0.5 + detail, self.frozen)

    def calibrate(self, frames: Tensor) -> None:
        """Set the prior's starting scales from the transform of these frames, N x 1 x H x W."""
        self.prior.calibrate(self.transform(frames - 0.5), self.steps)
