"""Training that begins from the weights of a smaller network, with fewer coefficients, channels or rate points."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.neural.fixed import train_in_bfloat16
from baselines.neural.small import STEPS
from bench.interfaces.recipe import Recipe

# Number of groups in the outputs of priors' last layers; each group has all channels of the latent.
_GROUPS = {"prior.head.": 3, "prior.trunk_head.": 2, "prior.parameters_net.2.": 2}


class GrowingRecipe(Recipe):
    """A recipe whose network may begin from the weights of a smaller one."""

    def use_bfloat16(self) -> bool:
        """See `Recipe` and `train_in_bfloat16`."""
        train_in_bfloat16(self.network)
        return True

    def fitted(self, name: str, given: Tensor, own: Tensor) -> Tensor | None:
        """The initial value of a tensor from a network of the same or a smaller size; None where it does not fit.

        Tables by rate point grow by repetition. New channels keep their own initial values, and the given channels take
        nothing from them.
        """
        smaller = given.ndim == own.ndim and all(a <= b for a, b in zip(given.shape, own.shape, strict=True))
        if given.shape == own.shape or not smaller or name not in dict(self.network.named_parameters()):
            return super().fitted(name, given, own)
        if name.endswith(("rates.scale", "rate_bias")) and len(given) == len(STEPS):
            times, more = divmod(len(own), len(given))
            finer = (own[len(own) - more :] - own[-more - 1]).mean((1, 2, 3), keepdim=True)
            given = torch.cat([given.repeat_interleave(times, 0), given[-1:] + finer])
        if name.endswith("prior.rate_bias"):
            more = own.shape[1] // 2 - given.shape[1] // 2
            halves = [torch.cat([half, half[:, -1:].expand(-1, more, -1, -1)], 1) for half in given.chunk(2, 1)]
            return torch.cat(halves, 1)
        groups = next((count for layer, count in _GROUPS.items() if layer in name), 1)
        return given if given.shape == own.shape else _widened(given, own, groups)


def _widened(given: Tensor, own: Tensor, groups: int) -> Tensor | None:
    """`own` with `given` as the first rows of each group of rows; these rows have zeros at inputs that are new."""
    if given.shape[2:] != own.shape[2:] or len(given) % groups:
        return None
    widened = own.clone()
    for rows, old in zip(widened.chunk(groups), given.chunk(groups), strict=True):
        first = rows[: len(old)]
        if given.ndim > 1:
            first.zero_()
            first = first[:, : old.shape[1]]
        first.copy_(old)
    return widened
