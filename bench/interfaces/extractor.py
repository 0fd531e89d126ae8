"""The extractor interface.

An extractor computes features from spikes: on the camera (CAAS, ATC) or in the cloud (CTA).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from bench.interfaces.component import Component


class Extractor(Component):
    """Computes one feature frame per coding instant from a segment of spikes.

    To write one, subclass it, set `name`, and write `extract`. To publish it, register the class in the entry-point
    group ``bench.extractors``.

    Attributes
    ----------
    analyzers
        For each task, the spec of the default analyzer for these features. Other tasks use a default of their own.
    """

    analyzers: Mapping[str, str] = {}

    @abstractmethod
    def extract(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
        """Extract features.

        Parameters
        ----------
        spikes
            T x H x W uint8 in {0, 1}.
        instants
            K coding instants t_k, increasing, as indices of spike frames.
        rate
            Spikes per frame of a pixel at unit luminance (alpha / theta). A firing rate divided by it is a luminance.

        Returns
        -------
        numpy.ndarray
            K x H x W float32 in [0, 1]. Near the segment's ends, windows contain only the spikes that exist.
        """

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex; empty without weights."""
        return ""
