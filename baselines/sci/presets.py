"""Sizes of the presets: ``small``, for a small camera, and ``paper``, with the complexity of the paper's Table IX."""

from __future__ import annotations

from dataclasses import replace

from baselines.sci.analysis import AnalysisSize
from baselines.sci.extraction import ExtractionSize
from baselines.sci.sizes import CodecSize, IntraSize

EXTRACTION = {
    "small": ExtractionSize(
        filters=16, stride=2, kernel=4, ventral=32, dorsal=16, blocks=2, fusions=3, fused=32, shrink=False
    ),
    "paper": ExtractionSize(
        filters=16, stride=1, kernel=3, ventral=64, dorsal=16, blocks=15, fusions=10, fused=32, shrink=True
    ),
}


def extraction_size(preset: str, fusions: int | None) -> ExtractionSize:
    """Size of a preset's extraction, with another number of fusion units if one is given."""
    return EXTRACTION[preset] if fusions is None else replace(EXTRACTION[preset], fusions=fusions)


ANALYSIS = {
    "small": AnalysisSize(unshuffle=4, width=32, trunk=64, hints=1, groups=2, warped=1, blocks=4, fmvr=(12, 12)),
    "paper": AnalysisSize(unshuffle=1, width=96, trunk=112, hints=2, groups=12, warped=4, blocks=9, fmvr=(16, 24)),
}
CODEC = {
    "small": CodecSize(
        unshuffle=4, width=64, maps=24, predict=2, reconstruct=3, encoder=64, hidden=128, hyper=16, motion=32,
        intra=IntraSize(width=96, reconstruct=3, encoder=64, hidden=96, hyper=16, lift=16),
        latent=192, lift=16, long_term=True, places=2, cubic=True, finest=2, global_motion=True,
    ),
    "paper": CodecSize(
        unshuffle=1, width=128, maps=64, predict=13, reconstruct=16, encoder=160, hidden=428, hyper=128, motion=64,
        intra=IntraSize(width=128, reconstruct=16, encoder=160, hidden=428, hyper=128),
        latent=96,
    ),
}  # fmt: skip
