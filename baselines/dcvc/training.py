"""Training of `dcvc:preset=small`."""

from __future__ import annotations

from baselines.dcvc.small import SmallDcvcModel, SmallImageNetwork, SmallVideoNetwork
from baselines.neural.training import SmallRecipe


class DcvcRecipe(SmallRecipe):
    """Every inter frame has the same weight, as in DCVC's paper."""

    pace = 18.0

    def __init__(self) -> None:
        super().__init__(SmallImageNetwork(), SmallVideoNetwork(), SmallDcvcModel)
