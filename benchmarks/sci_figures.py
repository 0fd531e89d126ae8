"""What SCI's parts do, in pictures: the paper's Figs. 8, 9c, 12, 15, 16 and 17 in kind.

    python benchmarks/sci_figures.py [--ablations runs/ablations] [--results results/ablations] [--grid results/sci]
        [--out reports/sci]

Takes the weights and rows that `ablations.py` left, and the rows and kept pictures of a grid with SCI under CAAS.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from baselines.neural.layers import warp
from baselines.sci.analysis import Analysis, chain
from baselines.sci.presets import ANALYSIS
from bench.interfaces import Analyzer, Codec, CodingCondition, Content, Dataset, Extractor
from bench.registry import create
from bench.report.pictures import picture_sheets
from bench.report.rows import load_runs

K, SHOWN = 16, 8


@dataclass(frozen=True)
class Scene:
    """A sequence of s-motion: what extraction gives of it, and the truth."""

    name: str
    spikes: np.ndarray
    truth: np.ndarray
    rate: float

    def features(self, extractor: str = "sci") -> np.ndarray:
        """K x H x W by an extractor."""
        return create(Extractor, extractor).extract(self.spikes, 20 + 8 * np.arange(K), self.rate)


def scene(name: str) -> Scene:
    """Open a sequence."""
    dataset = create(Dataset, "s-motion")
    info = next(info for info in dataset.sequences() if info.name == name)
    recording = dataset.open(name)
    return Scene(name, recording.spikes(0, 41 + 8 * (K - 1)), recording.truth(range(20, 20 + 8 * K, 8)), info.rate)


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Of one frame, dB."""
    return -10 * math.log10(float(np.square(found.astype(float) - truth).mean()))


def sheet(tiles: Sequence[tuple[str, np.ndarray]], columns: int, path: Path, title: str) -> None:
    """Pictures side by side, grey in [0, 1] or coloured."""
    lines = math.ceil(len(tiles) / columns)
    figure = Figure(figsize=(3.1 * columns, 3.5 * lines + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axis in figure.subplots(lines, columns, squeeze=False).flat:
        axis.axis("off")
    for axis, (name, image) in zip(figure.axes, tiles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(name, fontsize=8)
    figure.savefig(path, dpi=110)
    print(path)


def constraint(ablations: Path, out: Path) -> None:
    """Fig. 8: features with and without the smoothness constraint, as they are and decoded at two rates."""
    found, tiles = scene("low-1"), []
    codec = create(Codec, "vvenc")
    for label, name in (("with constraint", "pfu3"), ("without", "free")):
        features = found.features(f"sci:weights={ablations}/{name}/1/extraction.safetensors")
        rough = np.abs(_laplacian(features)).mean()
        tiles.append((f"feature {label}\nL1 norm of the Laplacian {rough:.3f}", features[SHOWN]))
        for point in (42, 27):
            stream = codec.encode(features, point, CodingCondition(), Content.FEATURES).stream
            decoded = codec.decode(stream).frames[SHOWN]
            bpf = 8 * len(stream) / features.size
            tiles.append((f"QP {point}: {bpf:.3f} bits a pixel\n{psnr(decoded, features[SHOWN]):.2f} dB", decoded))
    sheet(tiles, 3, out / "constraint.png", "s-motion low-1: features, and decoded by libvvenc")


def _laplacian(frames: np.ndarray) -> np.ndarray:
    inside = frames[:, 1:-1, 1:-1]
    return frames[:, :-2, 1:-1] + frames[:, 2:, 1:-1] + frames[:, 1:-1, :-2] + frames[:, 1:-1, 2:] - 4 * inside


def constraint_curve(results: Path, out: Path) -> None:
    """Fig. 9c: RD curves of the chain with and without the constraint, libvvenc between both."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    for label, name in (("with constraint", "pfu3"), ("without", "free")):
        rows = pd.read_csv(results / f"{name}-vvenc" / "rd.csv")
        means = rows.groupby("rate_point")[["bpp", "psnr"]].mean().sort_values("bpp")
        axis.plot(means["bpp"], means["psnr"], "o-", label=label)
    axis.set_title(f"s-motion ({rows['sequence'].nunique()} sequences), libvvenc, short trainings")
    axis.set_xscale("log")
    axis.set_xlabel("bits per spike (raw = 1)")
    axis.set_ylabel("PSNR [dB]")
    axis.grid(True, which="both", color="0.92", linewidth=0.6)
    axis.legend()
    figure.savefig(out / "constraint_rd.png", dpi=120)
    print(out / "constraint_rd.png")


def rates(grid: Path, out: Path) -> None:
    """Figs. 12 and 15: reconstructions at every rate point, of a slow and a fast sequence."""
    runs = load_runs([grid])
    rows = runs.table
    own = rows[(rows["codec"] == "sci") & (rows["paradigm"] == "caas") & (rows["dataset"] == "s-motion")]
    for path in picture_sheets(own, runs.documents, out):
        print(path)


def motion_picture(motion: np.ndarray, largest: float) -> np.ndarray:
    """2 x H x W motion as H x W x 3 colours: direction as hue, length as saturation."""
    x, y = motion
    hue = (np.arctan2(y, x) / (2 * math.pi)) % 1
    length = np.clip(np.hypot(x, y) / largest, 0, 1)
    colours: np.ndarray = hsv_to_rgb(np.stack((hue, length, np.ones_like(hue)), -1))
    return colours


def refinement(out: Path) -> None:
    """Fig. 16: decoded motion before and after FMVR, and what each leaves unexplained."""
    tiles: list[tuple[str, np.ndarray]] = []
    codec = create(Codec, "sci")
    network = _analysis("sci")
    for name in ("low-1", "high-1"):
        features = scene(name).features()
        stream = codec.encode(features, 2, CodingCondition(), Content.FEATURES).stream
        decoded = codec.decode(stream)
        assert decoded.motion is not None
        motion = torch.from_numpy(np.nan_to_num(decoded.motion))[None]
        received = torch.from_numpy(decoded.frames)[None]
        with torch.inference_mode():
            refined = network.refined(received, motion)
        k = SHOWN
        largest = float(motion[0, k].norm(dim=0).max())
        tiles.append((f"{name}: decoded feature, rate point 2", decoded.frames[k]))
        for label, field in (("motion as decoded", motion), ("refined by FMVR", refined)):
            left = psnr(warp(received[:, k - 1 : k], field[:, k])[0, 0].numpy(), decoded.frames[k])
            tiles.append(
                (
                    f"{label}, to {largest:.1f} pixels\nlast feature moved: {left:.2f} dB",
                    motion_picture(field[0, k].numpy(), largest),
                )
            )
        change = (refined - motion)[0, k].norm(dim=0).numpy()
        tiles.append((f"change, mean {change.mean():.2f} pixels", np.clip(change / 2, 0, 1)))
    sheet(tiles, 4, out / "fmvr.png", "s-motion: motion before and after FMVR (hue: direction; white: none)")


def alignment(ablations: Path, out: Path) -> None:
    """Fig. 17: a warped neighbour, and reconstructions by AFR, deformable convolution and warping alone."""
    found = scene("high-1")
    features, truth, k = found.features(), found.truth, SHOWN
    network = _analysis(f"sci:weights={ablations}/afr/2/analysis.safetensors")
    received = torch.from_numpy(features)[None]
    with torch.inference_mode():
        motion = network.refined(received, network.estimate(received))
        neighbour = warp(received[:, k + 2 : k + 3], chain(motion, k, 2))[0, 0].numpy()
    results = {
        name: create(
            Analyzer,
            f"sci:weights={ablations}/{name}/2/analysis.safetensors" + ("" if name == "afr" else f",align={name}"),
        ).analyze(features)[k]
        for name in ("dcn", "warp", "afr")
    }
    errors = np.abs(results["warp"] - truth[k])
    row, column = _busiest(errors, 96)
    cut = np.s_[row : row + 96, column : column + 96]
    tiles = [
        ("truth", truth[k][cut]),
        ("feature two instants later", features[k + 2][cut]),
        (f"the same warped here\n{psnr(neighbour, truth[k]):.2f} dB", neighbour[cut]),
        (f"feature here\n{psnr(features[k], truth[k]):.2f} dB", features[k][cut]),
    ]
    for name, label in (("dcn", "deformable alone"), ("warp", "warping alone"), ("afr", "AFR")):
        tiles.append((f"{label}\n{psnr(results[name], truth[k]):.2f} dB", results[name][cut]))
    tiles.append(("AFR: ten times the error", np.clip(10 * np.abs(results["afr"] - truth[k]), 0, 1)[cut]))
    sheet(
        tiles,
        4,
        out / "alignment.png",
        "s-motion high-1, uncompressed, short trainings: alignment (PSNR of the whole frame)",
    )


def _busiest(error: np.ndarray, side: int) -> tuple[int, int]:
    """Corner of the window in which the error is largest."""
    total = np.pad(error, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    return int(row), int(column)


def _analysis(spec: str) -> Analysis:
    """The network of an analyzer."""
    analyzer: Any = create(Analyzer, spec)
    network: Analysis = analyzer.loaded(Analysis(ANALYSIS["small"]))
    return network


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ablations", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--results", type=Path, default=Path("results/ablations"))
    parser.add_argument("--grid", type=Path, default=Path("results/sci"))
    parser.add_argument("--out", type=Path, default=Path("reports/sci"))
    options = parser.parse_args()
    mpl.rcParams["font.size"] = 9
    options.out.mkdir(parents=True, exist_ok=True)
    rates(options.grid, options.out)
    refinement(options.out)
    alignment(options.ablations, options.out)
    constraint(options.ablations, options.out)
    constraint_curve(options.results, options.out)


if __name__ == "__main__":
    main()
