"""The extractor interface: spikes to features, on the camera (CAAS, ATC) or in the cloud (CTA)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from bench.interfaces.component import Component


class Extractor(Component):
    """Turns a spike segment into one feature frame per coding instant.

    Subclass it, set `name`, write `extract`, and name it in the entry points, group ``bench.extractors``.

    Attributes
    ----------
    analyzers
        By task, the analyzer that was made for these features; a task's own default serves where none is named.
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
            K spike indices t_k, increasing.
        rate
            Spikes per frame that unit luminance fires (alpha / theta); turns firing rates into luminance.

        Returns
        -------
        numpy.ndarray
            K x H x W float32 in [0, 1]. At the segment's ends only the spikes that exist are used.
        """

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the learned weights in hex, empty where there are none."""
        return ""
