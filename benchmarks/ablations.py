"""What each part of SCI's extraction and analysis is worth: all variants trained with one short budget, then measured.

    python benchmarks/ablations.py --data photographs/ --validation others/ [--out runs/ablations] [--only ventral,dcn]

Variants of extraction go through stages 1 and 2, those of analysis through stage 2 on the shipped extraction. Each is
measured without compression (`bench run --codec ffv1`) into results/ablations/NAME, some through libvvenc as well;
ablations.csv beside them has one line a variant. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

EXTRACTION = {
    "pfu3": "fusions=3", "ventral": "fusions=0", "pfu1": "fusions=1", "pfu6": "fusions=6", "free": "smooth=0",
    "shrunk": "smooth=0.02,anchor=0",
}  # fmt: skip
ANALYSIS = {"afr": "align=afr", "nofmvr": "refine=false", "dcn": "align=dcn", "warp": "align=warp"}
# Of these RD curves are measured too.
CURVES = {"pfu3", "free", "shrunk"}
STEPS = {"1": 1500, "2": 800}


def bench(*arguments: str | Path) -> None:
    """Run the command line, with what it prints."""
    subprocess.run([sys.executable, "-c", "from bench.cli import main; main()", *map(str, arguments)], check=True)


def measure(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Train and measure a variant; gives its line of the table."""
    variant = (EXTRACTION | ANALYSIS)[name]
    folder, results = options.out / name, options.results / name
    stages = "12" if name in EXTRACTION else "2"
    for stage in stages:
        if not (folder / stage / "card.json").exists():
            bench(
                "train", "sci", "--stage", stage, "--variant", variant, "--steps", str(STEPS[stage]), "--out", folder,
                "--data", options.data, "--validation", options.validation,
            )  # fmt: skip
    cards = {stage: json.loads((folder / stage / "card.json").read_text()) for stage in stages}
    extractor, analyzer = "sci", f"sci:weights={folder}/2/analysis.safetensors"
    if name in EXTRACTION:
        extractor += f":weights={folder}/1/extraction.safetensors"
        extractor += f",{variant}" if variant.startswith("fusions") else ""
    else:
        analyzer += f",{variant}"
    runs = {results: ("ffv1", "s-motion,s-reds")}
    if name in CURVES:
        runs[results.with_name(f"{name}-vvenc")] = ("vvenc", "s-motion")
    for run, (codec, datasets) in runs.items():
        if not (run / "rd.csv").exists():
            bench(
                "run", "--paradigm", "caas", "--codec", codec, "--dataset", datasets, "--extractor", extractor,
                "--analyzer", analyzer, "--out", run, "--no-figures", "--jobs", str(options.jobs),
            )  # fmt: skip
    rows = pd.read_csv(results / "rd.csv")
    motion = rows[rows["dataset"] == "s-motion"]
    first = cards["1"]["validation"][0] if "1" in cards else {}
    return {
        "name": name,
        "variant": variant,
        **{f"steps_{stage}": card["steps"] for stage, card in cards.items()},
        **{f"minutes_{stage}": card["minutes"] for stage, card in cards.items()},
        "held_out_psnr": cards["2"]["validation"][0]["psnr"],
        "laplacian_l1": first.get("laplacian_l1"),
        "laplacian_l2": first.get("laplacian_l2"),
        "s_motion": motion["psnr"].mean(),
        **{f"s_motion_{kind}": part["psnr"].mean() for kind, part in motion.groupby("speed_class")},
        "s_reds": rows.loc[rows["dataset"] == "s-reds", "psnr"].mean(),
    }


def main() -> None:
    """Make and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--results", type=Path, default=Path("results/ablations"))
    parser.add_argument("--only", default=",".join(EXTRACTION | ANALYSIS), help="names of variants")
    parser.add_argument("--jobs", type=int, default=0)
    options = parser.parse_args()
    table = pd.DataFrame([measure(name, options) for name in options.only.split(",")])
    table.to_csv(options.results / "ablations.csv", index=False, float_format="%.4f")
    print(table.to_markdown(index=False, floatfmt=".4f"))


if __name__ == "__main__":
    main()
