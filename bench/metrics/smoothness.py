"""How smooth features are: norms of their Laplacian (paper section V-B, Fig. 9a)."""

from __future__ import annotations

import numpy as np


def laplacian_norms(features: np.ndarray) -> tuple[float, float]:
    """L1 and L2 norm of the Laplacian of K x H x W features in [0, 1]: means of its magnitude and of its square.

    The Laplacian is the sum of second differences along both directions, inside the border.
    """
    inside = features[:, 1:-1, 1:-1]
    around = features[:, :-2, 1:-1] + features[:, 2:, 1:-1] + features[:, 1:-1, :-2] + features[:, 1:-1, 2:]
    rough = around.astype(np.float64) - 4.0 * inside
    return float(np.abs(rough).mean()), float(np.square(rough).mean())
