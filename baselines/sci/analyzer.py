"""The analyzer `sci`: the paper's long-term analysis towards luminance, in the cloud."""

from __future__ import annotations

from typing import Literal

import numpy as np

from baselines.sci.part import SciOptions, SciPart
from bench.interfaces import Analyzer


class SciAnalyzer(SciPart, Analyzer):
    """Luminance from each feature and up to two on either side, aligned by AFR (paper section IV-C)."""

    name = "sci"
    task = "reconstruction"

    class Options(SciOptions):
        """Options: for ablation, what aligns neighbours, and whether motion is refined."""

        align: Literal["afr", "dcn", "warp"] = "afr"
        refine: bool = True

    file, stage = "analysis.safetensors", "2"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """K x H x W luminance in [0, 1]; motion that no codec decoded is estimated from the features."""
        import torch

        from baselines.neural.layers import pad_to
        from baselines.sci.analysis import Analysis
        from baselines.sci.presets import ANALYSIS

        options = self.options
        network = self.loaded(Analysis(ANALYSIS[options.preset], options.align, options.refine))
        height, width = features.shape[1:]
        results = np.empty_like(features)
        with torch.inference_mode():
            padded = pad_to(torch.from_numpy(features)[None].to(self.options.device), 16)
            moved = torch.zeros(1, len(features), 2, *padded.shape[2:], device=padded.device)
            if motion is not None:
                moved[0] = pad_to(torch.from_numpy(motion).to(padded.device), 16)
            for k in range(1, len(features)):
                if motion is None or np.isnan(motion[k]).any():
                    moved[:, k] = network.estimate(padded[:, k - 1 : k + 1])[:, 1]
            moved[:, 0] = 0
            moved = network.refined(padded, moved)
            for k in range(len(features)):
                found = network(padded, moved, k)[0, 0, :height, :width]
                results[k] = found.clamp(0, 1).cpu().numpy()
        return results
