"""How do reports scale? Seconds and memory of the report of a run with very many rows.

    python benchmarks/scale.py report --rows 1000000 [--folder FOLDER] [--parquet]

The rows are synthetic, with figures like those of real runs: recordings of 100 segments, and ten curves (CTA, ATC and
CAAS with several codecs) of four rate points. Run and report are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bench.interfaces import CodingCondition
from bench.interfaces.condition import ConditionCard
from bench.report.build import build_report
from bench.results.dataframes import write_parquet
from bench.results.rows import COLUMNS, RD_FILE, RUN_FILE, SCHEMA, RDRow

SEGMENTS = 100
# Paradigm, codec, preset, digit of the weights' SHA-256 (empty: none), rate points, bits per spike at the lowest rate,
# and PSNR gain in dB.
CURVES = (
    ("cta", "vvenc", "faster", "", (52, 48, 44, 40), 0.12, -4.0),
    ("cta", "x265", "medium", "", (51, 49, 47, 44), 0.2, -4.5),
    ("atc", "vvenc", "faster", "", (47, 42, 37, 32), 0.0021, 2.0),
    ("atc", "x265", "medium", "", (49, 45, 41, 37), 0.0025, 1.2),
    ("atc", "dcvc-dc", "small", "d", (0, 1, 2, 3), 0.0019, 1.6),
    ("caas", "vvenc", "faster", "", (47, 42, 37, 32), 0.002, 2.2),
    ("caas", "x265", "medium", "", (49, 45, 41, 37), 0.0024, 1.4),
    ("caas", "dcvc", "small", "e", (0, 1, 2, 3), 0.0022, 1.5),
    ("caas", "dcvc-dc", "small", "d", (0, 1, 2, 3), 0.0018, 1.8),
    ("caas", "sci", "small", "f", (0, 2, 4, 6), 0.0015, 2.6),
)
SIZE = 256


def make_large_run(folder: Path, rows: int) -> Path:
    """Write a finished run of synthetic rows, about `rows` of them, in whole recordings; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    card = ConditionCard(
        task="reconstruction", num_spikes=289, stride=8, num_frames=32, margin=20,
        coding=CodingCondition(), extractor="sci", analyzer="sci",
    )  # fmt: skip
    recordings = max(1, round(rows / (SEGMENTS * sum(len(curve[4]) for curve in CURVES))))
    random = np.random.default_rng(0)
    with (folder / RD_FILE).open("w", encoding="utf-8", newline="") as file:
        for number in range(recordings):
            _recording(number, card, random).to_csv(file, index=False, header=number == 0, lineterminator="\n")
    document = {
        "schema": SCHEMA, "plan": "0" * 12, "status": "finished",
        "provenance": [{"suite": "0", "git_commit": "", "processor": "made up", "command": "bench run"}],
        "grids": [{"segments": SEGMENTS, "limit": recordings, "sequences": []}],
        "conditions": {card.digest: card.model_dump(mode="json")}, "origins": {},
    }  # fmt: skip
    (folder / RUN_FILE).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return folder


def _recording(number: int, card: ConditionCard, random: np.random.Generator) -> pd.DataFrame:
    """All rows of one recording. Figures vary by recording and segment, and quality rises with the rate."""
    speed = ("low", "high")[number % 2]
    scene_rate, scene_quality = random.lognormal(0, 0.3), random.normal(0, 1.5)
    parts = []
    for paradigm, codec, preset, weights, points, bpp, gain in CURVES:
        for index, point in enumerate(points):
            rate = bpp * scene_rate * 1.9**index * random.lognormal(0, 0.02, SEGMENTS)
            bits = (8 * np.ceil(rate * card.num_spikes * SIZE * SIZE / 8)).astype(int)
            psnr = 25 + gain + scene_quality + 2.1 * index + random.normal(0, 0.05, SEGMENTS)
            parts.append(
                pd.DataFrame(
                    {
                        "paradigm": paradigm, "codec": codec, "options": f"preset={preset}" if weights else "",
                        "preset": preset, "weights_sha256": weights * 64, "rate_point": str(point),
                        "chroma": "" if weights else "400", "segment": np.arange(SEGMENTS) * 256, "bits": bits,
                        "bpp": bits / (card.num_spikes * SIZE * SIZE), "bpf": bits / (card.num_frames * SIZE * SIZE),
                        "estimated_bits": bits * 0.995 if weights else np.nan, "psnr": psnr, "psnr_of_mse": psnr,
                        "capped_frames": 0,
                        "ssim": 1 - 10 ** (-psnr / 25), "ms_ssim": 1 - 10 ** (-psnr / 22),
                        "spike_error": 0.01 * random.random(SEGMENTS) if paradigm == "cta" else np.nan,
                        "rate_error": 0.1 * random.random(SEGMENTS) if paradigm == "cta" else np.nan,
                    }
                )
            )  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    names = [hashlib.sha256(f"{number} {line}".encode()).hexdigest() for line in range(len(table))]
    return table.assign(
        schema_version=SCHEMA, job=[name[:12] for name in names], dataset="made-up", sequence=f"recording-{number:04}",
        speed_class=speed, task="reconstruction", extractor="sci", analyzer="sci", codec_version="1.0",
        codec_sha256="", condition=card.digest, height=SIZE, width=SIZE, num_spikes=card.num_spikes,
        num_frames=card.num_frames, evaluated="all", accuracy=np.nan, decoded_sha256=names, encode_seconds=np.nan,
        encode_spread=np.nan, decode_seconds=np.nan, decode_spread=np.nan, status="ok", reason="", seed=0,
    )[list(COLUMNS)]  # fmt: skip


def peak_memory() -> float:
    """Peak memory of this process, GB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # the system counts in KiB


def report(rows: int, folder: Path, parquet: bool) -> None:
    """Print seconds and memory of the report of a run of so many rows, with its page."""
    run = make_large_run(folder / "run", rows)
    size = (run / RD_FILE).stat().st_size
    print(f"{rows} rows, rd.csv of {size / 1e6:.0f} MB; making them took {peak_memory():.2f} GB", flush=True)
    if parquet:
        began = time.perf_counter()
        written = write_parquet(run / RD_FILE, RDRow)
        print(
            f"{written}: {written.stat().st_size / 1e6 if written else 0:.0f} MB, {time.perf_counter() - began:.1f} s"
        )
    began, used = time.perf_counter(), time.process_time()
    page = folder / "report" / "index.html"
    build_report([run], folder / "report", lambda done, total, label: print(f"  {label}", flush=True), page)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    print(f"bench report --page: {seconds:.1f} s, {used:.1f} s of processors, peak {peak_memory():.2f} GB")
    print(f"page of {page.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Run the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["report"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--parquet", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report(options.rows, folder, options.parquet)


if __name__ == "__main__":
    main()
