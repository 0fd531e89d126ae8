"""Training that begins from the weights of a smaller network, with fewer coefficients, channels or rate points."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from baselines.neural.fixed import train_in_bfloat16
from baselines.neural.small import STEPS
from bench.interfaces.recipe import Recipe
from bench.weights import read_weights

# Number of groups in the outputs of priors' last layers; each group has all channels of the latent.
_GROUPS = {"prior.head.": 3, "prior.trunk_head.": 2, "prior.parameters_net.2.": 2}
# Layers of a prior whose inputs are its own maps and then what else is known; the first two keep this order.
_JOINED = re.compile(r"(.*prior\.)(?:fusion\.0\.(conv1|depth_conv|conv2|adaptor)|adaptors\.\d)\.")


class GrowingRecipe(Recipe):
    """A recipe whose network may begin from the weights of a smaller one."""

    def begin_from(self, path: Path) -> tuple[int, int]:
        """See `Recipe`; the network of the file may be smaller."""
        # Number of a prior's own maps in the file's network.
        self._maps = {
            name.removesuffix("head.conv.weight"): tensor.shape[1]
            for name, tensor in read_weights(path).items()
            if name.endswith("prior.head.conv.weight")
        }
        return super().begin_from(path)

    def use_bfloat16(self) -> bool:
        """See `Recipe` and `train_in_bfloat16`."""
        train_in_bfloat16(self.network)
        return True

    def fitted(self, name: str, tensor: Tensor, own: Tensor) -> Tensor | None:
        """The initial value of a tensor from a network of the same or a smaller size; None where it does not fit.

        Tables by rate point grow by repetition. New channels keep their own initial values, and the given channels take
        nothing from them.
        """
        smaller = tensor.ndim == own.ndim and all(a <= b for a, b in zip(tensor.shape, own.shape, strict=True))
        if tensor.shape == own.shape or not smaller or name not in dict(self.network.named_parameters()):
            return super().fitted(name, tensor, own)
        if name.endswith(("rates.scale", "rate_bias")) and len(tensor) == len(STEPS):
            times, more = divmod(len(own), len(tensor))
            finer = (own[len(own) - more :] - own[-more - 1]).mean((1, 2, 3), keepdim=True)
            tensor = torch.cat([tensor.repeat_interleave(times, 0), tensor[-1:] + finer])
        if name.endswith("prior.rate_bias"):
            more = own.shape[1] // 2 - tensor.shape[1] // 2
            halves = [torch.cat([half, half[:, -1:].expand(-1, more, -1, -1)], 1) for half in tensor.chunk(2, 1)]
            return torch.cat(halves, 1)
        if joined := _JOINED.match(name):
            return self._joined(tensor, own, joined[1], joined[2] in ("conv1", "depth_conv"))
        groups = next((count for layer, count in _GROUPS.items() if layer in name), 1)
        return tensor if tensor.shape == own.shape else _widened(tensor, own, groups)

    def _joined(self, tensor: Tensor, own: Tensor, prior: str, ordered: bool) -> Tensor:
        """A layer of `_JOINED`: what comes after a prior's own maps moves behind those that are new.

        Parameters
        ----------
        prior
            The prior's name, with a dot at its end.
        ordered
            Whether outputs are in the order of the inputs.
        """
        before, after = self._maps[prior], self.network.get_parameter(f"{prior}head.conv.weight").shape[1]

        def places(count: int) -> Tensor:
            numbers = torch.arange(count)
            return torch.where(numbers < before, numbers, numbers + after - before)

        rows = torch.zeros(len(tensor), *own.shape[1:])
        if tensor.ndim == 1 or tensor.shape[1] == own.shape[1]:  # a bias, or a kernel for each map alone
            rows.copy_(tensor)
        else:
            rows[:, places(tensor.shape[1])] = tensor
        grown = own.clone()
        grown[places(len(tensor)) if ordered else torch.arange(len(tensor))] = rows
        return grown


def _widened(tensor: Tensor, own: Tensor, groups: int) -> Tensor | None:
    """`own` with `tensor` as the first rows of each group of rows; these rows have zeros at inputs that are new."""
    if tensor.shape[2:] != own.shape[2:] or len(tensor) % groups:
        return None
    widened = own.clone()
    for rows, old in zip(widened.chunk(groups), tensor.chunk(groups), strict=True):
        first = rows[: len(old)]
        if tensor.ndim > 1:
            first.zero_()
            first = first[:, : old.shape[1]]
        first.copy_(old)
    return widened
