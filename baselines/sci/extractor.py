"""The extractor `sci`: the paper's dual-pathway feature extraction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from baselines.sci.part import PartOptions, SciPart
from bench.interfaces import Extractor

if TYPE_CHECKING:
    from baselines.sci.extraction import Extraction


class SciExtractor(SciPart, Extractor):
    """One feature frame from 40 spike frames around each instant (paper section IV-A)."""

    name = "sci"

    class Options(PartOptions):
        """Options for ablations: a shipped variant, or the number of fusion units (0: only the ventral pathway)."""

        ablation: Literal["", "dual", "ventral", "deep", "free"] = ""
        """A shipped variant of the network."""
        fusions: int | None = Field(default=None, ge=0, le=32)
        """Number of fusion units; 0: only the ventral pathway, None: the preset's number."""

    file, stage = "extraction.safetensors", "1"

    def __init__(self, /, **options: object) -> None:
        super().__init__(**options)
        name = self.options.ablation
        self.analyzers = {
            "reconstruction": f"sci:ablation={name}" if name else "sci",
            "classification": "classifier:on=sci,stage=3",
        }

    def extract(self, spikes: np.ndarray, instants: np.ndarray, rate: float) -> np.ndarray:
        """K x H x W float32 features in [0, 1]; spikes that an instant needs beyond the segment's ends are mirrored."""
        import torch

        from baselines.neural.layers import pad_to
        from baselines.sci.extraction import REACH

        network = self._network()
        features = np.empty((len(instants), *spikes.shape[1:]), np.float32)
        around = np.arange(-REACH, REACH)
        with torch.inference_mode():
            for feature, instant in zip(features, instants, strict=True):
                frames = spikes[_mirrored(instant + around, len(spikes))]
                window = torch.from_numpy(frames.astype(np.float32))[None].to(self.options.device)
                output = network(pad_to(window, 4), rate)[0, 0, : spikes.shape[1], : spikes.shape[2]]
                feature[:] = output.clamp(0, 1).cpu().numpy()
        return features

    def _network(self) -> Extraction:
        from baselines.sci.extraction import Extraction
        from baselines.sci.presets import extraction_size

        return self.restored(Extraction, extraction_size(self.options.preset, self.variant.fusions))


def _mirrored(index: np.ndarray, count: int) -> np.ndarray:
    """Indices within `count` frames, mirrored at both ends as often as needed."""
    period = max(1, 2 * (count - 1))
    inside = index % period
    return np.minimum(inside, period - inside)
