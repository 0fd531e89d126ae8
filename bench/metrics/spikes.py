"""Distortion of the spikes that CTA decodes."""

from __future__ import annotations

import numpy as np


def evaluate_spikes(decoded: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """Compare decoded with original spikes, both T x H x W in {0, 1}.

    Returns
    -------
    dict
        ``spike_error``: share of wrong spikes in [0, 1]. ``rate_error``: mean over pixels of the absolute
        difference of firing rates over the segment, in spikes per frame.
    """
    wrong = np.count_nonzero(decoded != original) / original.size
    rates = [spikes.sum(axis=0, dtype=np.int64) / len(spikes) for spikes in (decoded, original)]
    return {"spike_error": float(wrong), "rate_error": float(np.mean(np.abs(rates[0] - rates[1])))}
