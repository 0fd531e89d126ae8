"""Sizes of the feature codec's networks."""

from __future__ import annotations

from dataclasses import dataclass

from baselines.neural.small import BLOCK


@dataclass(frozen=True)
class IntraSize:
    """Size of the network of intra frames.

    Attributes
    ----------
    width, reconstruct
        Channels of the refinement, and its number of residual blocks.
    encoder
        Channels inside the encoder's branch.
    hidden, hyper
        Channels inside the prior, and of its hyper-latent.
    lift
        Channels that the refinement gets from the latent, in addition to the transform's picture.
    """

    width: int
    reconstruct: int
    encoder: int
    hidden: int
    hyper: int
    lift: int = 0


@dataclass(frozen=True)
class CodecSize:
    """Size and parts of the feature codec.

    Attributes
    ----------
    unshuffle
        Side of the blocks of pixels that are channels of the refinements.
    width, maps
        Channels of the refinements, and of the maps that they pass on to the next frame.
    predict, reconstruct
        Number of residual blocks of the two refinements.
    encoder
        Channels inside the encoder's branch.
    hidden, hyper, motion
        Channels inside the frame's prior, of its hyper-latent, and inside the motion's prior.
    intra
        Size of the network of intra frames.
    latent
        Number of the 256 coefficients of a 16x16 block that are coded.
    lift
        Channels that the last refinement gets from the latent, in addition to the transform's picture.
    long_term
        Whether inter frames are also predicted directly from the last key frame.
    places
        Number of kinds of inter frames that have their own steps and biases: 1, or 2 (key frames and the others).
    cubic
        Whether frames are warped by cubic instead of bilinear interpolation.
    finest
        Number of rate points that intra frames have beyond those of inter frames.
    global_motion
        Whether the motion of a frame may be that of the whole frame (`baselines.sci.global_motion`). This part has no
        weights, and only streams have it: in training all motion is that of blocks.
    """

    unshuffle: int
    width: int
    maps: int
    predict: int
    reconstruct: int
    encoder: int
    hidden: int
    hyper: int
    motion: int
    intra: IntraSize
    latent: int
    lift: int = 0
    long_term: bool = False
    places: int = 1
    cubic: bool = False
    finest: int = 0
    global_motion: bool = False

    @property
    def halvings(self) -> int:
        """Number of halvings from the refinements' grid to the latent's."""
        return (BLOCK // self.unshuffle).bit_length() - 1
