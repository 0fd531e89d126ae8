"""SCI's alignment before its classifier: features are warped to one instant (paper section IV-C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Representations that are aligned before the classifier.
ALIGNED = ("sci",)


def aligned(features: np.ndarray | Tensor) -> Tensor:
    """Warp features to the middle instant, along motion estimated from them.

    What moves then stands still, so the classifier need not learn motion. Motion that a stream carries is not used, so
    that all codecs are treated alike.

    Parameters
    ----------
    features
        N x K x H x W float32 in [0, 1].

    Returns
    -------
    Tensor
        N x K x H x W float32 in [0, 1].
    """
    import torch

    from baselines.neural.layers import pad_to, warp
    from baselines.sci.analysis import Analysis, chain

    frames = torch.as_tensor(features)
    height, width = frames.shape[2:]
    frames = pad_to(frames, 16)
    middle = frames.shape[1] // 2
    with torch.inference_mode():
        motion = Analysis.estimate(frames)
        moved = [
            frames[:, k : k + 1] if k == middle else warp(frames[:, k : k + 1], chain(motion, middle, k - middle))
            for k in range(frames.shape[1])
        ]
        return torch.cat(moved, 1)[..., :height, :width].clamp(0, 1)
