"""Measures that need spikes: distortion of those that CTA decodes, and whether a picture agrees with a recording's."""

from __future__ import annotations

import itertools
import math

import numpy as np

# Upper limit of `rate_psnr`, dB.
RATE_CEILING = 100.0
_STEPS = 4  # from instant to instant, in a window of `evaluate_rates`


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


def firing_rates(spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
    """Firing rates between successive instants, in units of luminance.

    Parameters
    ----------
    spikes
        T x H x W in {0, 1}.
    instants
        K increasing indices of spike frames.
    rate
        Spikes per frame of a pixel at unit luminance.

    Returns
    -------
    numpy.ndarray
        K - 1 x H x W float64. The spikes at both instants count half, so that luminance which changes linearly between
        the instants has the mean of its values there.
    """
    rates = np.empty((len(instants) - 1, *spikes.shape[1:]))
    for mean, (first, last) in zip(rates, itertools.pairwise(instants), strict=True):
        ends = spikes[first].astype(float) + spikes[last]
        mean[:] = (spikes[first : last + 1].sum(axis=0, dtype=np.int64) - ends / 2) / ((last - first) * rate)
    return rates


def evaluate_rates(result: np.ndarray, rates: np.ndarray) -> dict[str, float | None]:
    """Compare the luminance of a result with the firing rates of the recording that it was made from.

    Between two instants the luminance is taken to change linearly. An ideal camera that sees it fires at its mean, give
    or take a spike, so it is compared over windows of four steps from instant to instant. The part of a spike that such
    a window cannot tell limits the measure, as does the camera's noise: the truth of low-1 of s-motion has 36.9 dB.

    Parameters
    ----------
    result
        Luminance at K instants, K x H x W in [0, 1].
    rates
        Firing rates between them, as `firing_rates` gives them.

    Returns
    -------
    dict
        ``rate_psnr``: PSNR in dB, for a peak of 1.0 and of the mean squared error of all windows, at most
        `RATE_CEILING`. ``brightness``: mean of the luminance less that of the rates. None for a single instant.
    """
    if len(result) < 2:
        return {"rate_psnr": None, "brightness": None}
    difference = (result[:-1].astype(float) + result[1:]) / 2 - rates
    count = min(_STEPS, len(difference))
    sums = np.cumsum(np.concatenate((np.zeros_like(difference[:1]), difference)), axis=0)
    windows = (sums[count:] - sums[:-count]) / count
    error = max(float(np.mean(windows**2)), 10 ** (-RATE_CEILING / 10))
    return {"rate_psnr": -10 * math.log10(error), "brightness": float(difference.mean())}
