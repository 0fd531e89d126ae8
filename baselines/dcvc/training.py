"""How `dcvc:preset=small` is trained."""

from __future__ import annotations

from torch import Tensor, nn

from baselines.dcvc.codec import SmallDcvcModel
from baselines.dcvc.small import SmallImageNetwork, SmallVideoNetwork
from baselines.neural.training import SmallRecipe


class DcvcRecipe(SmallRecipe):
    """As the paper's: every inter frame counts the same."""

    pace = 105.0

    def __init__(self) -> None:
        super().__init__(SmallImageNetwork(), SmallVideoNetwork())

    def model(self, network: nn.Module, rate: Tensor) -> SmallDcvcModel:
        """The networks at the rate point of each item."""
        return SmallDcvcModel(network, rate)
