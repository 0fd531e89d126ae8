"""The parts of a codec of frames for `bench complexity`; each runs once on frames of noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from baselines.neural.latents import Estimator
from bench.interfaces.workload import Work

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.neural.codec import FrameModel
    from baselines.neural.entropy import Family, Prior


class ZeroDecoder:
    """A decoder without a stream: every symbol is zero, and networks compute what they compute when decoding."""

    def __init__(self, device: str) -> None:
        self.device = device

    def factorized(self, name: str, prior: Prior, z: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Return hyper-latents at their medians."""
        return torch.zeros(shape, device=self.device) + prior.medians

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Return symbols of zero."""
        return torch.zeros_like(sigma)


def codec_workload(model: FrameModel, size: tuple[int, int], channels: int, device: str) -> Iterator[Work]:
    """Encoder and decoder of an intra frame, and of the second inter frame after it.

    An encoder also runs the decoder's networks, since it needs the decoded frame: its part includes them.

    Parameters
    ----------
    size
        (H, W), multiples of the model's `multiple`.
    channels
        Channels of the model's frames, 1 or 3.
    """
    modules = tuple(getattr(model, name) for name in ("image", "video"))
    frame = torch.rand((1, channels, *size), device="cpu").to(device)
    _, after_intra = model.code(Estimator(), frame, 0, size, None)
    _, state = model.code(Estimator(), frame, 1, size, after_intra)

    def coded(coder: Any, frame: Tensor | None, index: int, state: Any) -> Callable[[], object]:
        return lambda: model.code(coder, frame, index, size, state)

    for name, index, known in (("I", 0, None), ("P", 2, state)):
        yield Work("encoder", "camera", name, coded(Estimator(), frame, index, known), modules)
        yield Work("decoder", "cloud", name, coded(ZeroDecoder(device), None, index, known), modules)
