"""The analyzer `sci`: the paper's long-term feature analysis, which computes luminance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from baselines.sci.part import PartOptions, SciPart
from bench.interfaces import Analyzer

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.sci.analysis import Analysis


class SciAnalyzer(SciPart, Analyzer):
    """Luminance from each feature and up to two on each side, aligned by AFR (paper section IV-C)."""

    name = "sci"
    task = "reconstruction"

    class Options(PartOptions):
        """Options for ablations: a shipped variant, or how neighbours are aligned and whether motion is refined."""

        ablation: Literal["", "dual", "ventral", "deep", "free", "afr", "nofmvr", "dcn", "warp"] = ""
        """A shipped variant of the networks."""
        align: Literal["afr", "dcn", "warp"] = "afr"
        """How neighbours are aligned."""
        refine: bool = True
        """Whether motion is refined by FMVR."""

    file, stage = "analysis.safetensors", "2"

    def analyze(self, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """K x H x W float32 luminance in [0, 1]; where `motion` is None or NaN, it is estimated from the features."""
        import torch

        network = self._network()
        height, width = features.shape[1:]
        results = np.empty_like(features)
        with torch.inference_mode():
            padded, moved = self._prepared(network, features, motion)
            moved = network.refined(padded, moved)
            for k in range(len(features)):
                result = network(padded, moved, k)[0, 0, :height, :width]
                results[k] = result.clamp(0, 1).cpu().numpy()
        return results

    def motion(self, features: np.ndarray, motion: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Motion of each feature from the one before, without and with FMVR (paper Fig. 16).

        Returns
        -------
        tuple
            Decoded or estimated motion, and refined motion; K x 2 x H x W float32 in pixels each.
        """
        import torch

        network = self._network()
        height, width = features.shape[1:]
        with torch.inference_mode():
            padded, moved = self._prepared(network, features, motion)
            refined = network.refined(padded, moved)
        return tuple(field[0, ..., :height, :width].cpu().numpy() for field in (moved, refined))  # type: ignore[return-value]

    def warped(self, features: np.ndarray, k: int, offset: int) -> np.ndarray:
        """The H x W feature at instant k + offset, warped to instant k along refined motion (paper Fig. 17c)."""
        import torch

        from baselines.neural.layers import warp
        from baselines.sci.analysis import chain

        _, refined = self.motion(features)
        neighbour = torch.from_numpy(features[k + offset])[None, None]
        feature: np.ndarray = warp(neighbour, chain(torch.from_numpy(refined)[None], k, offset))[0, 0].numpy()
        return feature

    def _network(self) -> Analysis:
        from baselines.sci.analysis import Analysis
        from baselines.sci.presets import ANALYSIS

        variant = self.variant
        return self.restored(Analysis, ANALYSIS[self.options.preset], variant.align, variant.refine)

    def _prepared(self, network: Analysis, features: np.ndarray, motion: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """Padded features 1 x K x H x W and motion 1 x K x 2 x H x W, estimated where none was decoded."""
        import torch

        from baselines.neural.layers import pad_to

        padded = pad_to(torch.from_numpy(features)[None].to(self.options.device), 16)
        moved = torch.zeros(1, len(features), 2, *padded.shape[2:], device=padded.device)
        if motion is not None:
            moved[0] = pad_to(torch.from_numpy(motion).to(padded.device), 16)
        for k in range(1, len(features)):
            if motion is None or np.isnan(motion[k]).any():
                moved[:, k] = network.estimate(padded[:, k - 1 : k + 1])[:, 1]
        moved[:, 0] = 0
        return padded, moved
