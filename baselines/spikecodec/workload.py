"""The parts of SpikeCodec for `bench complexity`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from baselines.neural.latents import Estimator
from baselines.neural.layers import pad_to
from baselines.neural.workload import ZeroDecoder
from baselines.spikecodec.network import FULL, SMALL, WINDOWS, SceneNetwork
from bench.interfaces.workload import Work

# Tensors on this device have shapes but no values, so nothing is computed.
_DEVICE = "meta"


def workload(preset: str, size: tuple[int, int]) -> Iterator[Work]:
    """All parts for one scene of H x W; the preset ``full`` names the rows of the SCI paper's Table X to compare with.

    The widths of that preset were chosen to match the published numbers of parameters, not the multiply-accumulates.
    The windows' firing rates and the spike simulator only add and compare, so they count no multiply-accumulates.
    """
    height, width = size[0] + -size[0] % 16, size[1] + -size[1] % 16
    with torch.device(_DEVICE):
        network = SceneNetwork({"small": SMALL, "full": FULL}[preset]).eval()
        rates, scene = torch.empty(1, len(WINDOWS), height, width), torch.empty(1, 1, height, width)
        rate = torch.zeros(1, dtype=torch.long)

    def recover() -> Tensor:
        return network.recovery(rates)

    def analyse() -> Tensor:
        return network.transform(scene) + network.encoder(scene)

    def encode() -> object:
        # Without synthesis: every scene is coded by itself, so the camera needs no decoded scene.
        latent = analyse() / network.rates(rate, network.frozen)
        return network.prior.code(Estimator(), "y", latent, (), rate, (1, height // 16, width // 16))

    def before_the_channel() -> object:
        return recover(), network.prior.hyper_encoder(pad_to(analyse(), 4))

    def decode() -> object:
        return network.code(ZeroDecoder(_DEVICE), None, rate, (1, height, width))

    def row(name: str) -> str:
        return f"X/SpikeCodec {name}" if preset == "full" else ""

    modules = (network,)
    yield Work("scene recovery", "camera", "", recover, modules)
    yield Work("encoder", "camera", "I", encode, modules)
    yield Work("before the channel", "camera", "I", before_the_channel, modules, row("I-enc"))
    yield Work("decoder", "cloud", "I", decode, modules, row("I-dec"))
