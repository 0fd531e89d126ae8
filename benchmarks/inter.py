"""Where an intra period's bits go in SCI's codec, frame by frame, beside libvvenc in causal low delay.

    python benchmarks/inter.py [--dataset s-motion] [--sequence low-1] [--preset faster]

Four tables of one sequence's first sixteen coding instants, in bits a frame and dB before analysis, against the feature
(F) and against the true luminance (T): where the bits of a rate point go; how each frame fares beside libvvenc; how
the picture holds without any coefficient after the intra frame; which kinds of motion the encoder took.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.neural.coding import StreamEncoder
from baselines.neural.entropy import Family
from baselines.sci.codec import Sci
from baselines.sci.global_motion import MotionKind
from bench.interfaces import Codec, CodingCondition, Content, Dataset, Extractor, from_uint8, to_uint8, unpack_stream
from bench.registry import create
from bench.sampling import Sampling
from bench.tools import ffmpeg_binary, run_tool

_FRAMES = 16
_LIMIT_SECONDS = 60.0


class Meter(StreamEncoder):
    """Keeps the bits of every frame by component, and the kinds of motion; without y where asked."""

    def __init__(self, silent: bool = False) -> None:
        super().__init__()
        self.frames: list[dict[str, float]] = []
        self.kinds: list[MotionKind] = []
        self._silent, self._before = silent, Counter[str]()

    def conditional(
        self, name: str, family: Family, residual: Tensor | None, sigma: Tensor, worth: Tensor | None = None
    ) -> Tensor:
        """Code, or where silent code zeros in place of an inter frame's coefficients."""
        if self._silent and name == "y" and len(self.frames):
            residual = torch.zeros_like(sigma)
        symbols = super().conditional(name, family, residual, sigma, worth)
        if name == "mv_whole" and symbols.numel() == 1:
            self.kinds.append(MotionKind(int(symbols)))
        return symbols

    def end_frame(self) -> None:
        """Note what the frame took."""
        super().end_frame()
        now = Counter({name: float(bits) for name, bits in self.bits.items()})
        self.frames.append({name: now[name] - self._before[name] for name in now})
        self._before = now


def walked(rate: int, frames: np.ndarray, silent: bool = False) -> tuple[Meter, np.ndarray, np.ndarray]:
    """SCI's encoder over the frames: bits, decoded frames, and predictions of the inter frames."""
    codec, meter, predicted = Sci(), Meter(silent), []
    model: Any = codec._model([rate])
    predict: Callable[..., tuple[Tensor, Tensor]] = model.video._predict

    def noted(*arguments: Any) -> tuple[Tensor, Tensor]:
        prediction = predict(*arguments)
        predicted.append(prediction[0][0, 0].numpy())
        return prediction

    model.video._predict = noted
    try:
        decoded = np.concatenate(
            [now for now, _ in codec._walk(model, [meter], frames.shape, len(frames), frames[None])]
        )
    finally:
        del model.video._predict
    return meter, decoded, np.stack(predicted)


def vvc(qp: int, preset: str, frames: np.ndarray) -> tuple[list[int], np.ndarray]:
    """libvvenc's bits of every frame, and its decoded frames."""
    codec = create(Codec, f"vvenc:preset={preset}")
    stream = codec.encode(frames, qp, CodingCondition(intra_period=len(frames)), Content.FEATURES).stream
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.266"
        path.write_bytes(unpack_stream(stream)[1])
        packets, _ = run_tool(
            [str(ffmpeg_binary()), "-v", "error", "-f", "vvc", "-i", str(path), "-c", "copy", "-f", "framecrc", "-"],
            limit_seconds=_LIMIT_SECONDS,
        )
    sizes = re.findall(r"^0,[^,]*,[^,]*,[^,]*,\s*(\d+),", packets.decode(), re.MULTILINE)
    return [8 * int(size) for size in sizes][: len(frames)], codec.decode(stream).frames


def decibels(frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """PSNR of every frame."""
    return np.asarray(-10 * np.log10(np.square(frames - reference).mean((1, 2))))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="s-motion")
    parser.add_argument("--sequence", default="low-1")
    parser.add_argument("--preset", default="faster")
    options = parser.parse_args()
    dataset = create(Dataset, options.dataset)
    info = next(info for info in dataset.sequences() if info.name == options.sequence)
    recording = dataset.open(info.name)
    num_spikes = Sampling().num_spikes(_FRAMES)
    instants = Sampling().instants(num_spikes)
    spikes = recording.spikes(0, num_spikes)
    features = from_uint8(to_uint8(create(Extractor, "sci").extract(spikes, instants, info.rate)))
    truth = recording.truth([int(instant) for instant in instants])

    coded = {qp: vvc(qp, options.preset, features) for qp in (42, 37, 32, 27)}
    print("point     intra: bits, F   inter: motion, y, all       decoded F, T   prediction F, T   kinds of motion")
    sent = {rate: walked(rate, features) for rate in (0, 2, 4, 6)}
    for rate, (meter, decoded, predicted) in sent.items():
        inter = meter.frames[1:]
        motion = np.mean([sum(bits for name, bits in frame.items() if name.startswith("mv")) for frame in inter])
        whole = np.mean([sum(frame.values()) for frame in inter])
        kinds = ", ".join(f"{kind.name.lower()} {count}" for kind, count in Counter(meter.kinds).most_common())
        print(
            f"sci {rate:5} {sum(meter.frames[0].values()):8,.0f} {decibels(decoded[:1], features[:1])[0]:5.1f}"
            f"   {motion:6,.0f} {whole - motion:8,.0f} {whole:8,.0f}"
            f"   {decibels(decoded[1:], features[1:]).mean():5.1f} {decibels(decoded[1:], truth[1:]).mean():5.1f}"
            f"   {decibels(predicted, features[1:]).mean():5.1f} {decibels(predicted, truth[1:]).mean():5.1f}   {kinds}"
        )

    for qp, (bits, decoded) in coded.items():
        print(
            f"vvenc {qp:3} {bits[0]:8,.0f} {decibels(decoded[:1], features[:1])[0]:5.1f}"
            f"   {'':15} {np.mean(bits[1:]):8,.0f}"
            f"   {decibels(decoded[1:], features[1:]).mean():5.1f} {decibels(decoded[1:], truth[1:]).mean():5.1f}"
        )

    print(f"\nBits and dB (T) of each frame: sci at rate points, libvvenc {options.preset} at QPs")
    for rate, (meter, decoded, _) in sent.items():
        line(f"sci {rate}", [sum(frame.values()) for frame in meter.frames], decibels(decoded, truth))
    for qp, (bits, decoded) in coded.items():
        line(f"vvenc {qp}", bits, decibels(decoded, truth))

    print("\nWithout any y after an intra frame of rate point 1, dB (T); bits that this takes but motion")
    meter, decoded, _ = walked(1, features, silent=True)
    line("no y", [frame["y"] for frame in meter.frames], decibels(decoded, truth))


def line(name: str, bits: list[float] | list[int], quality: np.ndarray) -> None:
    """Print a frame's figures in a column of their own."""
    print(f"{name:9} bits {' '.join(f'{value:7,.0f}' for value in bits)}   mean {np.mean(bits):7,.0f}")
    print(f"{'':9} dB   {' '.join(f'{value:7.1f}' for value in quality)}   mean {quality.mean():7.1f}")


if __name__ == "__main__":
    main()
