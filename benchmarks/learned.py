"""How fast are the learned codecs? Frames a second, time by part, the entropy coder's share, variants of the decoder.

    python benchmarks/learned.py [--codecs dcvc,dcvc-dc] [--size 256] [--frames 32] [--weights FOLDER]

The small presets code features of s-motion. `--weights` names a folder of DCVC-DC's official checkpoints: the forward
pass of these networks is then compared with a straightforward one (plain convolutions, contiguous tensors).
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from baselines.dcvc_dc.blocks import DepthConvBlock, FeedForward, GatedFeedForward
from baselines.dcvc_dc.video import OffsetDiversity
from baselines.neural import motion
from baselines.neural.coding import StreamDecoder, StreamEncoder
from baselines.neural.fixed import exact_arithmetic
from baselines.neural.latents import Estimator
from baselines.neural.layers import Pointwise, double, warp
from baselines.neural.spectral import SpectralConv
from bench.interfaces import Codec, Dataset, Extractor
from bench.registry import create
from bench.tools import claim_process

# The part of the codec to which the time of each method is booked. Time within another method of this table is booked
# to that method alone.
PARTS = {
    "mv_encoder": "motion search", "mv_prior.code": "motion's prior",
    "mv_decoder": "motion's decoder", "mv_out": "motion's decoder", "mv_refine": "motion's decoder",
    "_contexts": "contexts", "extract": "contexts", "refine": "contexts", "predict": "contexts",
    "encoder": "analysis", "_encode": "analysis",
    "transform": "analysis", "temporal": "frame's prior", "prior.code": "frame's prior", "decoder": "synthesis",
}  # fmt: skip
CODER = ("conditional", "factorized", "end_frame")


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--codecs", default="dcvc,dcvc-dc")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--weights", default="")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.size}x{options.size}")
    frames = features(options.size, options.frames)
    for name in options.codecs.split(","):
        small(name, frames)
    if options.weights:
        official(options.weights, frames[:8])


def features(size: int, count: int) -> torch.Tensor:
    """TFP features of a sequence of s-motion, K x 1 x 1 x H x W float32 in [0, 1]."""
    dataset = create(Dataset, f"s-motion:size={size}")
    recording = dataset.open(dataset.sequences()[0].name)
    frames = create(Extractor, "tfp").extract(recording.spikes(0, 40 + 8 * count), 20 + 8 * np.arange(count), 0.6)
    return torch.from_numpy(frames)[:, None, None]


class Clock:
    """Seconds by part; time within a nested part is booked to that part alone."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[float] = []

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Replace a method of `owner` by one that books its time to a part."""
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self._open.append(0.0)
            try:
                return inner(*args, **kwargs)
            finally:
                took, within = time.perf_counter() - began, self._open.pop()
                self.seconds[part] += took - within
                if self._open:
                    self._open[-1] += took

        object.__setattr__(owner, name, timed)


@contextmanager
def inference() -> Iterator[None]:
    """Run without gradients and with the arithmetic that streams are coded with."""
    with torch.inference_mode(), exact_arithmetic():
        yield


def walk(model: Any, coder: Any, frames: torch.Tensor, decoding: bool) -> list[float]:
    """Seconds of each frame, coded or decoded in turn with an intra period of 16."""
    state, seconds, size = None, [], tuple(frames.shape[3:])
    with inference():
        for k, frame in enumerate(frames):
            began = time.perf_counter()
            _, state = model.code(coder, None if decoding else frame, k, size, state if k % 16 else None)
            coder.end_frame()
            seconds.append(time.perf_counter() - began)
    return seconds


def small(name: str, frames: torch.Tensor) -> None:
    """Print the speed of a small preset over all frames, its time by part, and variants of its decoder."""
    codec: Any = create(Codec, name)
    point = 3

    def load() -> Any:
        return codec.network_preset.load(point, "cpu")

    plain = load()
    walk(plain, StreamEncoder(), frames[:4], False)
    encoder = StreamEncoder()
    encoding = walk(plain, encoder, frames, False)
    decoding = walk(plain, StreamDecoder(encoder.payload()), frames, True)
    for label, seconds in (("encodes", encoding), ("decodes", decoding)):
        inter = [took for k, took in enumerate(seconds) if k % 16]
        print(
            f"{name} {label}: {len(seconds) / sum(seconds):.1f} frames a second; median inter frame "
            f"{1000 * statistics.median(inter):.0f} ms, first intra frame {1000 * seconds[0]:.0f} ms"
        )
    shares(name, load, frames)
    variants(name, load, frames)


def shares(name: str, load: Callable[[], Any], frames: torch.Tensor) -> None:
    """Print the time by part for encoding and for decoding, and the entropy coder's share of both."""
    clocks, totals, payload = [], [], b""
    for decoding in (False, True):
        model, clock = load(), Clock()
        coder: Any = StreamDecoder(payload) if decoding else StreamEncoder()
        for method in CODER:
            clock.wrap(coder, method, "entropy coding")
        if not decoding:
            clock.wrap(coder, "_estimate", "estimated bits")
        for path, part in PARTS.items():
            *owners, last = path.split(".")
            owner = model.video
            for step in owners:
                owner = getattr(owner, step)
            if isinstance(method := getattr(owner, last, None), nn.Module):
                clock.wrap(method, "forward", part)
            elif method is not None:
                clock.wrap(owner, last, part)
        searches = {name: getattr(motion, name) for name in ("search_motion", "search_quarters")}
        for search in searches:
            clock.wrap(motion, search, "motion search")
        totals.append(sum(walk(model, coder, frames, decoding)))
        vars(motion).update(searches)
        payload = payload if decoding else coder.payload()
        clocks.append(clock)
    for label, clock, total in zip(("encoding", "decoding"), clocks, totals, strict=True):
        parts = sorted(clock.seconds.items(), key=lambda item: -item[1])
        rest = total - sum(clock.seconds.values())
        print(
            f"{name} {label}: " + ", ".join(f"{part} {100 * s / total:.0f} %" for part, s in [*parts, ("rest", rest)])
        )
    coder_share = sum(clock.seconds["entropy coding"] for clock in clocks) / sum(totals)
    print(f"{name}: entropy coding and decoding take {100 * coder_share:.1f} % of both")


def variants(name: str, load: Callable[[], Any], frames: torch.Tensor) -> None:
    """Print the speed of variants of the decoder, all of which must decode the same frames."""
    model = load()
    encoder = StreamEncoder()
    walk(model, encoder, frames, False)
    payload = encoder.payload()

    def median(model: Any) -> str:
        try:
            walk(model, StreamDecoder(payload), frames[:8], True)
            seconds = walk(model, StreamDecoder(payload), frames, True)
        except Exception as error:  # the compiler may be missing, or frames may differ
            return " ".join(str(error).split())[:80]
        return f"{1000 * statistics.median(seconds):.0f} ms a frame"

    print(f"{name} decoding, as it is: {median(model)}")
    other = load()
    for network in (other.image, other.video):
        network.to(memory_format=torch.contiguous_format)
    print(f"{name} decoding, weights not channels-last: {median(other)}")
    compiled = load()
    compiled.video.decoder.compile()
    print(f"{name} decoding, synthesis by torch.compile: {median(compiled)}")


class PlainDepthConvBlock(DepthConvBlock):
    """As it is written in the paper."""

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        depth, feed_forward = self.block
        x = torch.cat(maps, 1)
        return feed_forward(depth.conv2(depth.depth_conv(depth.conv1(x))) + depth.adaptor(x))


class PlainFeedForward(FeedForward):
    """As it is written in the paper."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.conv.values()
        return x + F.leaky_relu(second(F.leaky_relu(first(x), 0.1)), 0.1)


class PlainGatedFeedForward(GatedFeedForward):
    """As it is written in the paper."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.conv(x).chunk(2, 1)
        return x + self.conv_out(value * F.leaky_relu(gate, 0.1))


class PlainOffsetDiversity(OffsetDiversity):
    """As it is written in the paper: one warp for all pairs of a channel group and an offset."""

    def forward(self, feature: torch.Tensor, hints: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        pairs = self.groups * self.repeats
        batch, channels, height, width = feature.shape
        out = double(self.conv_offset(hints))
        offsets = self.reach * torch.tanh(out[:, : 2 * pairs])
        masks = torch.sigmoid(out[:, 2 * pairs :]).reshape(batch * pairs, 1, height, width)
        flows = offsets.reshape(batch, pairs, 2, height, width) + flow[:, None]
        slices = feature.reshape(batch, self.groups, -1, height, width).repeat(1, self.repeats, 1, 1, 1)
        moved = warp(slices.flatten(0, 1), flows.flatten(0, 1)) * masks
        return self.fusion(moved.view(batch, self.repeats * channels, height, width))


_PLAIN = {
    DepthConvBlock: PlainDepthConvBlock, FeedForward: PlainFeedForward, GatedFeedForward: PlainGatedFeedForward,
    OffsetDiversity: PlainOffsetDiversity, Pointwise: nn.Conv2d, SpectralConv: nn.Conv2d,
}  # fmt: skip


@lru_cache
def published(folder: str, plain: bool) -> Any:
    """DCVC-DC's official networks, as this suite runs them or, with `plain`, as they are written in the paper."""
    if not plain:  # loading may change how the process allocates memory
        claim_process()
    model = create(Codec, f"dcvc-dc:preset=official,weights={folder}").load(2, "cpu")  # type: ignore[attr-defined]
    if plain:
        for network in (model.image, model.video):
            network.to(memory_format=torch.contiguous_format)
            for module in network.modules():
                module.__class__ = _PLAIN.get(type(module), type(module))
    return model


def forward(folder: str, plain: bool, frame: torch.Tensor, index: int, state: Any) -> tuple[float, torch.Tensor, Any]:
    """Code one frame; returns seconds, the decoded frame and the state for the next one."""
    model = published(folder, plain)
    with torch.inference_mode():
        began = time.perf_counter()
        out, state = model.code(Estimator(), frame, index, tuple(frame.shape[2:]), state)
        return time.perf_counter() - began, out, state


def official(folder: str, luma: torch.Tensor) -> None:
    """Print the speed of DCVC-DC's official networks: this suite's forward pass against a straightforward one.

    Each of the two has a process of its own, and they take turns at every frame. Both start each frame from the state
    that this suite's pass left: with states of their own, a single latent that is rounded differently would make all
    later frames differ.
    """
    frames = luma.expand(-1, 1, 3, -1, -1)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    differences = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as ours, ProcessPoolExecutor(1, context) as theirs:
        for _ in range(3):
            state = None
            for k, frame in enumerate(frames):
                results = {}
                for plain, process in ((False, ours), (True, theirs)):
                    results[plain] = process.submit(forward, folder, plain, frame, k, state).result()
                    time.sleep(0.3)  # until the idle threads of that process have stopped spinning
                    if k:
                        seconds[plain].append(results[plain][0])
                differences.append(float((results[False][1] - results[True][1]).abs().max()))
                state = results[False][2]
    fast, slow = (statistics.median(seconds[plain]) for plain in (False, True))
    ratios = sorted(b / a for a, b in zip(seconds[False], seconds[True], strict=True))
    print(
        f"official dcvc-dc, an inter frame: this suite's forward pass {fast:.2f} s, straightforward {slow:.2f} s: "
        f"{slow / fast:.2f} times (quartiles frame by frame {ratios[len(ratios) // 4]:.2f} and "
        f"{ratios[3 * len(ratios) // 4]:.2f}); largest difference {max(differences):.1e}"
    )


if __name__ == "__main__":
    main()
