"""How smooth features are: norms of their Laplacian (paper section V-B, Fig. 9a)."""

from __future__ import annotations

import numpy as np


def laplacian_norms(features: np.ndarray) -> tuple[float, float]:
    """L1 and L2 norm of the Laplacian of K x H x W features in [0, 1].

    The Laplacian is the sum of the second differences along rows and columns, at all pixels that are not on the border.
    The norms are means over these pixels and all frames: of its magnitude (L1) and of its square (L2, without a root).
    """
    inside = features[:, 1:-1, 1:-1]
    around = features[:, :-2, 1:-1] + features[:, 2:, 1:-1] + features[:, 1:-1, :-2] + features[:, 1:-1, 2:]
    rough = around.astype(np.float64) - 4.0 * inside
    return float(np.abs(rough).mean()), float(np.square(rough).mean())
