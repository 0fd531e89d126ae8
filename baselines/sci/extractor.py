"""The extractor `sci`: the paper's dual-pathway extraction, on the camera."""

from __future__ import annotations

import numpy as np

from baselines.sci.part import SciPart
from bench.interfaces import Extractor


class SciExtractor(SciPart, Extractor):
    """One feature frame from 40 spike frames around each instant (paper section IV-A)."""

    name = "sci"
    file, stage = "extraction.safetensors", "1"

    def extract(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
        """K x H x W features in [0, 1]; where a segment ends within an instant's reach, its spikes are mirrored."""
        import torch

        from baselines.neural.layers import pad_to
        from baselines.sci.extraction import REACH, Extraction
        from baselines.sci.presets import EXTRACTION

        network = self.loaded(Extraction(EXTRACTION[self.options.preset]))
        features = np.empty((len(instants), *spikes.shape[1:]), np.float32)
        last, around = len(spikes) - 1, np.arange(-REACH, REACH)
        with torch.inference_mode():
            for feature, instant in zip(features, instants, strict=True):
                frames = np.clip(last - np.abs(last - np.abs(instant + around)), 0, last)
                window = torch.from_numpy(spikes[frames].astype(np.float32))[None].to(self.options.device)
                found = network(pad_to(window, 4), rate)[0, 0, : spikes.shape[1], : spikes.shape[2]]
                feature[:] = found.clamp(0, 1).cpu().numpy()
        return features
