"""Train the variants of SCI that the suite ships for the ablations, all with the same short budget.

    python benchmarks/ablations.py --data photographs/ --validation others/ [--out train/ablations] [--only ventral,dcn]

Variants of the extraction are trained in stages 1 and 2, variants of the analysis only in stage 2, on the shipped
extraction. Their weights are written at half precision into baselines/sci/weights/ablations/NAME, with the card of each
stage. A stage that has a card already is not trained again. `bench run --suite paper` measures the variants.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from baselines.sci.part import ABLATIONS, EXTRACTIONS, WEIGHTS

# Steps of each stage, and the file that its weights are written to.
STEPS = {"1": 1500, "2": 800}
FILES = {"1": "extraction.safetensors", "2": "analysis.safetensors"}


def train(name: str, options: argparse.Namespace) -> None:
    """Train a variant and write its weights into the package."""
    folder, packed = options.out / name, WEIGHTS / "ablations" / name
    packed.mkdir(parents=True, exist_ok=True)
    for stage in "12" if name in EXTRACTIONS else "2":
        if not (folder / stage / "card.json").exists():
            arguments = [
                "train", "sci", "--stage", stage, "--variant", ABLATIONS[name], "--steps", STEPS[stage],
                "--out", folder, "--data", options.data, "--validation", options.validation,
            ]  # fmt: skip
            verb = [sys.executable, "-m", "bench"]
            subprocess.run([*verb, *map(str, arguments)], check=True)
        tensors = load_file(folder / stage / FILES[stage])
        save_file({key: value.half() for key, value in tensors.items()}, packed / FILES[stage])
        shutil.copy(folder / stage / "card.json", packed / f"card-{stage}.json")


def main() -> None:
    """Train the variants that the command line names, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("train/ablations"))
    parser.add_argument("--only", default=",".join(ABLATIONS), help="names of variants")
    options = parser.parse_args()
    for name in options.only.split(","):
        train(name, options)


if __name__ == "__main__":
    main()
