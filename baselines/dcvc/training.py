"""How `dcvc:preset=small` is trained."""

from __future__ import annotations

from baselines.dcvc.small import SmallDcvcModel, SmallImageNetwork, SmallVideoNetwork
from baselines.neural.training import SmallRecipe


class DcvcRecipe(SmallRecipe):
    """As the paper's: every inter frame counts the same."""

    pace = 18.0

    def __init__(self) -> None:
        super().__init__(SmallImageNetwork(), SmallVideoNetwork(), SmallDcvcModel)
