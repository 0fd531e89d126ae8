"""Training of `dcvc-dc:preset=small`."""

from __future__ import annotations

from baselines.dcvc_dc.small import SmallDcvcDcModel, SmallImageNetwork, SmallVideoNetwork
from baselines.neural.training import SmallRecipe


class DcvcDcRecipe(SmallRecipe):
    """Distortion is weighted by the frame's place in groups of four, as in DCVC-DC's paper (section 3.2)."""

    quality = (0.5, 1.2, 0.5, 0.9)
    pace = 8.0

    def __init__(self) -> None:
        super().__init__(SmallImageNetwork(), SmallVideoNetwork(), SmallDcvcDcModel)
