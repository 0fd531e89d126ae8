"""The parts of SCI for `bench complexity`: the variants of the paper's Table IX, encoder and decoder of its Table X."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from baselines.neural.latents import Estimator
from baselines.neural.layers import pad_to
from baselines.neural.motion import quartered_latent
from baselines.neural.workload import codec_workload
from baselines.sci.analysis import Align, Analysis, Fmvr
from baselines.sci.extraction import REACH, Extraction
from baselines.sci.inter import SciModel, State, VideoNetwork
from baselines.sci.intra import ImageNetwork
from baselines.sci.presets import ANALYSIS, CODEC, EXTRACTION
from bench.interfaces.workload import Work

# Tensors on this device have shapes but no values, so nothing is computed.
_DEVICE = "meta"


def workload(preset: str, size: tuple[int, int]) -> Iterator[Work]:
    """All parts for features of H x W; parts of the preset ``paper`` name the paper's rows that they are compared with.

    The sizes of that preset were chosen to match Table IX, not Table X.
    """
    height, width = size[0] + -size[0] % 16, size[1] + -size[1] % 16

    def row(name: str) -> str:
        return f"IX/{name}" if preset == "paper" else ""

    def table_x(name: str) -> str:
        return f"X/SCI {name}" if preset == "paper" else ""

    with torch.device(_DEVICE):
        spikes, frame = torch.empty(1, 2 * REACH, height, width), torch.empty(1, 1, height, width)
        features, motion = torch.empty(1, 5, height, width), torch.empty(1, 5, 2, height, width)
        ventral = Extraction(replace(EXTRACTION[preset], fusions=0))
        dual = Extraction(EXTRACTION[preset])
        image, video = ImageNetwork(CODEC[preset]).eval(), VideoNetwork(CODEC[preset]).eval()
        fmvr = Fmvr(ANALYSIS[preset].fmvr)
        aligns: tuple[Align, ...] = ("dcn", "warp", "afr")
        analyses = {align: Analysis(ANALYSIS[preset], align, refine=False) for align in aligns}
    depth = EXTRACTION[preset].fusions
    yield Work(
        "extraction, ventral only", "camera", "", _call(ventral, spikes), (ventral,), row("extraction ventral only")
    )
    yield Work(
        f"extraction, dual, {depth} PFU", "camera", "", _call(dual, spikes), (dual,), row("extraction dual with PFU10")
    )

    codec_size, shape = CODEC[preset], (height // 16, width // 16)
    side = codec_size.unshuffle
    state = State(
        frame, frame.new_empty(1, codec_size.maps, height // side, width // side),
        frame.new_empty(1, codec_size.latent, *shape), frame.new_empty(1, 16, *shape), place=1,
    )  # fmt: skip
    if codec_size.long_term:
        moved = motion[:, 0]
        state = replace(state, motion=moved, long_term=frame, path=moved)
    rate = torch.zeros(1, dtype=torch.long, device=_DEVICE)

    def inter() -> object:
        return video.code(Estimator(), frame, state, rate)

    def refined() -> object:
        return inter(), fmvr(motion[:, 0], frame, frame)

    yield Work("codec, without FMVR", "both", "P", inter, (video,), row("codec without FMVR"))
    yield Work("codec, with FMVR", "both", "P", refined, (video, fmvr), row("codec with FMVR"))
    model = SciModel(nn.ModuleDict({"image": image, "video": video}), rate)
    for work in codec_workload(model, (height, width), 1, _DEVICE):
        # The paper counts as the encoder only what the decoder does not compute; this part includes the decoder's.
        yield replace(work, published=table_x(f"{work.frame}-dec")) if work.part == "decoder" else work
    yield Work("encoder alone", "camera", "I", _intra_alone(image, frame), (image,), table_x("I-enc"))
    yield Work("encoder alone", "camera", "P", _inter_alone(video, frame, state), (video,), table_x("P-enc"))

    rows = {"dcn": "analysis DCN only", "afr": "analysis with AFR"}
    labels = {"dcn": "DCN only", "warp": "warping only", "afr": "AFR"}
    for align, analysis in analyses.items():
        label = labels[align]
        yield Work(
            f"analysis, {label}",
            "cloud",
            "",
            _call(analysis, features, motion, 2),
            (analysis,),
            row(rows.get(align, "")),
        )


def _intra_alone(network: ImageNetwork, frame: Tensor) -> Callable[[], object]:
    """What the encoder of an intra frame computes and its decoder does not."""

    def run() -> object:
        latent = network.transform(frame) + network.encoder(network.unshuffle(frame))
        return network.prior.hyper_encoder(pad_to(latent, 4))

    return run


def _inter_alone(network: VideoNetwork, frame: Tensor, state: State) -> Callable[[], object]:
    """What the encoder of an inter frame computes and its decoder does not."""
    blocks, size = network.unshuffle(frame), network.size
    seen = frame.new_empty(1, 2 * blocks.shape[1] + size.width, *blocks.shape[2:])

    def run() -> object:
        channels, rate = network.mv_prior.channels, torch.tensor([0])
        motion, _ = quartered_latent(frame, frame, rate, network.mv_encoder, channels, network.known(state))
        latent = network.transform(frame) + network.encoder(seen)
        return network.mv_prior.hyper_encoder(pad_to(motion, 4)), network.prior.hyper_encoder(pad_to(latent, 4))

    return run


def _call(module: nn.Module, *arguments: Tensor | int) -> Callable[[], Any]:
    return lambda: module(*arguments)
