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
from baselines.sci.training import laplacian
from bench.interfaces import Analyzer, Codec, CodingCondition, Content, Dataset, Extractor
from bench.metrics.quality import psnr_per_frame
from bench.registry import create
from bench.report.pictures import Tile, draw_tiles, matched_sheets
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
    return float(psnr_per_frame(found[None], truth[None])[0])


def sheet(tiles: Sequence[Tile], columns: int, path: Path, title: str) -> None:
    """Draw pictures side by side."""
    draw_tiles(tiles, path, title, columns)
    print(path)


def constraint(ablations: Path, out: Path) -> None:
    """Fig. 8: features with and without the smoothness constraint, as they are and decoded at two rates."""
    found, tiles = scene("low-1"), []
    codec = create(Codec, "vvenc")
    for label, name in (("with constraint", "pfu3"), ("without", "free")):
        features = found.features(f"sci:weights={ablations}/{name}/1/extraction.safetensors")
        rough = float(laplacian(torch.from_numpy(features)[:, None]).abs().mean())
        tiles.append(Tile(f"feature {label}", f"L1 norm of the Laplacian {rough:.3f}", features[SHOWN]))
        for point in (42, 27):
            stream = codec.encode(features, point, CodingCondition(), Content.FEATURES).stream
            decoded = codec.decode(stream).frames[SHOWN]
            bpf = 8 * len(stream) / features.size
            words = f"{psnr(decoded, features[SHOWN]):.2f} dB"
            tiles.append(Tile(f"QP {point}: {bpf:.3f} bits a pixel", words, decoded))
    sheet(tiles, 3, out / "constraint.png", "s-motion low-1: features, and decoded by libvvenc")


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
    for found in matched_sheets(own, runs.documents):
        print(found.draw(out))


def motion_picture(motion: np.ndarray, largest: float) -> np.ndarray:
    """2 x H x W motion as H x W x 3 colours: direction as hue, length as saturation."""
    x, y = motion
    hue = (np.arctan2(y, x) / (2 * math.pi)) % 1
    length = np.clip(np.hypot(x, y) / largest, 0, 1)
    colours: np.ndarray = hsv_to_rgb(np.stack((hue, length, np.ones_like(hue)), -1))
    return colours


def refinement(out: Path) -> None:
    """Fig. 16: decoded motion before and after FMVR, and what each leaves unexplained."""
    tiles: list[Tile] = []
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
        tiles.append(Tile(f"{name}: decoded feature, rate point 2", "", decoded.frames[k]))
        for label, field in (("motion as decoded", motion), ("refined by FMVR", refined)):
            left = psnr(warp(received[:, k - 1 : k], field[:, k])[0, 0].numpy(), decoded.frames[k])
            picture = motion_picture(field[0, k].numpy(), largest)
            tiles.append(Tile(f"{label}, to {largest:.1f} pixels", f"last feature moved: {left:.2f} dB", picture))
        change = (refined - motion)[0, k].norm(dim=0).numpy()
        tiles.append(Tile("change", f"mean {change.mean():.2f} pixels", np.clip(change / 2, 0, 1)))
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
    results = {}
    for name in ("dcn", "warp", "afr"):
        analyzer = create(Analyzer, f"sci:weights={ablations}/{name}/2/analysis.safetensors,align={name}")
        results[name] = analyzer.analyze(features)[k]

    def tile(title: str, whole: np.ndarray) -> Tile:
        return Tile(title, f"{psnr(whole, truth[k]):.2f} dB", whole[cut])

    errors = np.abs(results["warp"] - truth[k])
    row, column = _busiest(errors, 96)
    cut = np.s_[row : row + 96, column : column + 96]
    tiles = [
        Tile("truth", "", truth[k][cut]),
        Tile("feature two instants later", "", features[k + 2][cut]),
        tile("the same warped here", neighbour),
        tile("feature here", features[k]),
        tile("deformable alone", results["dcn"]),
        tile("warping alone", results["warp"]),
        tile("AFR", results["afr"]),
        Tile("AFR: ten times the error", "", np.clip(10 * np.abs(results["afr"] - truth[k]), 0, 1)[cut]),
    ]
    title = "s-motion high-1, uncompressed, short trainings: alignment (PSNR of the whole frame)"
    sheet(tiles, 4, out / "alignment.png", title)


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
