"""The paper's tables, measured beside published. Published figures are set beside; none enters a computation."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.measure.iqa import IQA_FILE, IqaRow
from bench.measure.networks import NETWORKS_FILE, NetworkRow
from bench.measure.profile import CONDITION, PROFILE_FILE, ProfileRow
from bench.measure.suite import SMOOTHNESS_FILE, SmoothnessRow
from bench.metrics.iqa import METRICS
from bench.published import stated
from bench.report.bd_table import table_iv
from bench.report.iqa_table import table_v
from bench.report.rows import Runs, judged, mean_points, of_count
from bench.report.sections import TableSection
from bench.results.shell import flag

# What the paper asks of a camera, multiply-accumulates a frame.
CAMERA_BUDGET = 10e9
_FEATURES = {"sci:ablation=free": "without constraint", "sci:ablation=dual": "with constraint", "sci": "shipped model"}
# Codecs that stand beside those of the paper's Table III.
_TABLE_III = {"dcvc": "DCVC", "dcvc-dc": "DCVC-DC", "vvenc": "VTM", "vtm": "VTM"}
# What is compared in the ablations: part, with, without, and the paper's word for it.
_PARTS = (
    ("dual pathway, against the ventral one alone", "dual", "ventral", "dual pathway"),
    ("6 PFU, against 3", "deep", "dual", ""),
    ("smoothness constraint", "dual", "free", ""),
    ("AFR, against deformable convolution alone", "afr", "dcn", "AFR"),
    ("AFR, against warping alone", "afr", "warp", ""),
    ("FMVR", "afr", "nofmvr", "FMVR"),
)


def table_ii(runs: Runs) -> pd.DataFrame:
    """Laplacian norms of features, means over sequences."""
    rows = runs.beside(SMOOTHNESS_FILE, SmoothnessRow)
    rows = rows[rows["extractor"].isin(list(_FEATURES))]
    paper = stated("II")
    lines = []
    for (dataset, extractor), part in rows.groupby(["dataset", "extractor"], sort=False):
        name = _FEATURES[str(extractor)]
        cells: dict[str, Any] = {"dataset": dataset, "features": name, "extractor": extractor}
        cells["sequences"] = part["sequence"].nunique()
        for norm, key in (("L1", "laplacian_l1"), ("L2", "laplacian_l2")):
            cells[f"{norm}, measured"] = _mean(part, key, 4)
            cells[f"{norm}, published"] = paper.get((f"{norm} norm of the Laplacian", name), "")
        cells["command"] = runs.command(runs.table["job"].isin(part["job"])) + " --smoothness"
        lines.append(cells)
    return pd.DataFrame(lines)


def table_iii(runs: Runs) -> pd.DataFrame:
    """CTA: bits per spike and PSNR of each codec, beside the paper's points in the order of their rates."""
    points = runs.points
    means = mean_points(judged(points[points["paradigm"].eq("cta")]))
    paper: dict[str, list[tuple[str, str, str]]] = {}
    values = stated("III")
    for row, column in values:
        if column == "bpp":
            codec, _, point = row.partition(" ")
            paper.setdefault(codec, []).append((point, values[row, "bpp"], values[row, "psnr"]))
    lines = []
    for (dataset, label), part in means.groupby(["dataset", "label"], sort=False):
        codec = _TABLE_III.get(str(label).partition(" ")[0], "")
        for measured, beside in itertools.zip_longest(part.to_dict("records"), paper.get(codec, [])):
            line = {"dataset": dataset, "codec": label}
            if measured:
                line |= {
                    "rate point": measured["rate_point"], "sequences": str(measured["sequences"]),
                    "bpp": f"{measured['bpp']:.3f}", "PSNR [dB]": f"{measured['psnr']:.2f}",
                    "smaller than raw": "yes" if measured["bpp"] < 1 else "no",
                }  # fmt: skip
            point, bpp, psnr = beside or ("", "", "")
            line["published"] = f"{codec} {point}" if point else ""
            line |= {"published bpp": bpp, "published PSNR [dB]": psnr}
            line["command"] = runs.command(runs.point(measured)) if measured else ""
            lines.append(line)
    return pd.DataFrame(lines).fillna("")


def networks_table(runs: Runs, table: str) -> pd.DataFrame:
    """Table IX or X: parameters and multiply-accumulates of the networks at the paper's size."""
    rows = runs.beside(NETWORKS_FILE, NetworkRow)
    rows = rows[rows["table"] == table]
    lines = []
    for row in rows.to_dict("records"):
        name = f"{row['part']} ({row['frame']})" if row["frame"] else row["part"]
        line = {"codec": row["codec"], "part": name, "side": row["side"]}
        for title, key, unit in (("parameters [M]", "parameters", 1e6), ("GMAC", "macs", 1e9)):
            paper = row[f"published_{key}"]
            line[title] = f"{row[key] / unit:.3f}"
            line[f"{title}, published"] = "" if pd.isna(paper) else f"{paper / unit:.2f}"
            line[f"{title}, difference"] = "" if pd.isna(paper) else f"{100 * (row[key] / paper - 1):+.1f} %"
        lines.append(line | {"command": counting(row)})
    return pd.DataFrame(lines)


def counting(row: Mapping[Any, Any]) -> str:
    """The command that counts a row of networks.csv again."""
    return f"bench complexity {shlex.quote(row['codec'])} --size {row['width']}x{row['height']}"


def uncompressed_table(runs: Runs) -> pd.DataFrame:
    """What each extractor and analyzer give of features that are sent whole."""
    rows = runs.uncompressed
    scores = _scores(runs)
    lines = []
    for (dataset, extractor, analyzer), part in rows.groupby(["dataset", "extractor", "analyzer"], sort=False):
        line = {
            "dataset": dataset,
            "extractor": extractor,
            "analyzer": analyzer,
            "sequences": part["sequence"].nunique(),
        }
        line |= {f"PSNR {name} [dB]": _mean(rows, "psnr", 2) for name, rows in _by_speed(part).items()}
        line["SSIM"] = _mean(part, "ssim", 4)
        found = scores[scores["job"].isin(part["job"])]
        for metric, values in found.groupby("metric", sort=False):
            line[str(metric).upper()] = _mean(part.merge(values[["job", "value"]], "left", "job"), "value", 2)
        line["command"] = runs.command(runs.table["job"].isin(part["job"])) + _scored(found)
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def parts_table(runs: Runs) -> pd.DataFrame:
    """What each part of the paper's model is worth: variants trained alike with and without it, features sent whole."""
    rows, scores, paper = runs.uncompressed, _scores(runs), stated("V-E")
    rows = rows.assign(variant=(rows["analyzer"].str.extract(r"ablation=(\w+)")[0]))
    lines = []
    for dataset, part in rows.groupby("dataset", sort=False):
        variants = dict(iter(part.groupby("variant")))
        for title, name, other, word in _PARTS:
            if name not in variants or other not in variants:
                continue
            # Pairs of the same sequences, should one variant have failed somewhere.
            both = variants[name].merge(
                variants[other], on=["sequence", "segment", "speed_class"], suffixes=("", "_without")
            )
            both["gain"] = both["psnr"] - both["psnr_without"]
            line: dict[str, Any] = {"part": title, "dataset": dataset, "sequences": both["sequence"].nunique()}
            for speed, rows_of_speed in _by_speed(both).items():
                line[f"gain {speed} [dB]"] = _mean(rows_of_speed, "gain", 2, "+")
                key = (word, "gain" if speed == "all" else f"gain {speed}")
                line[f"published {speed}"] = f"+{paper[key]}" if key in paper else ""
            for metric in METRICS:
                values = scores[scores["metric"] == metric].set_index("job")["value"]
                both[metric] = both["job"].map(values) - both["job_without"].map(values)
                if both[metric].notna().any():
                    line[metric.upper()] = _mean(both, metric, 2, "+")
                    line[f"published {metric.upper()}"] = paper.get((word, metric.upper()), "")
            jobs = [*both["job"], *both["job_without"]]
            line["command"] = runs.command(runs.table["job"].isin(jobs)) + _scored(scores[scores["job"].isin(jobs)])
            lines.append(line)
    return pd.DataFrame(lines).fillna("")


def _profiled(row: pd.Series) -> str:
    columns = ("paradigm", "codec", "rate_point", "dataset", "sequence", "extractor", "analyzer")
    return "bench profile " + " ".join(flag(f"--{name.removesuffix('_point')}", row[name]) for name in columns)


def _scored(scores: pd.DataFrame) -> str:
    return f" && bench iqa RUN --metrics {','.join(scores['metric'].unique())}" if len(scores) else ""


def _scores(runs: Runs) -> pd.DataFrame:
    scores = runs.beside(IQA_FILE, IqaRow)
    return scores[scores["value"].notna()]


def _by_speed(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    groups = {"all": rows, "slow": rows[rows["speed_class"] == "low"], "fast": rows[rows["speed_class"] == "high"]}
    return {name: part for name, part in groups.items() if name == "all" or len(part)}


def _mean(rows: pd.DataFrame, column: str, digits: int, sign: str = "") -> str:
    """Mean over sequences of means over their segments; says over how many where some have no value."""
    means = rows.groupby("sequence", sort=False, observed=True)[column].mean()
    count = int(means.count())
    return of_count(f"{means.mean():{sign}.{digits}f}", count, len(means)) if count else ""


def chains_table(runs: Runs) -> pd.DataFrame:
    """What each chain costs a result, by side.

    Break-even: the link on which coding and sending the bits take as long as sending the raw spikes of a result's
    stride. On slower links coding is the faster way; on faster ones it is not.
    """
    rows = runs.beside(PROFILE_FILE, ProfileRow)
    lines = []
    for (paradigm, codec), part in rows.groupby(["paradigm", "codec"], sort=False):
        failed = part[part["status"] != "ok"]
        first = part.iloc[0]
        line = {"paradigm": str(paradigm).upper(), "codec": codec, "point": first["rate_point"]}
        again = {"command": _profiled(first)}
        if len(failed):
            lines.append(line | {"camera [ms]": f"({failed['reason'].iloc[0]})"} | again)
            continue
        camera, cloud = (side_cost(part[part["side"] == side]) for side in ("camera", "cloud"))
        bits = float((part["bits"] * part["frames_per_result"]).sum())
        raw = CONDITION.stride * int(first["height"]) * int(first["width"])
        link = (raw - bits) / camera["seconds"] if camera["seconds"] else np.inf
        line |= {
            "camera [GMAC]": _macs(camera), "camera [ms]": f"{1000 * camera['seconds']:.1f}",
            "camera peak [MB]": f"{camera['memory'] / 1e6:.0f}", "kbit a result": f"{bits / 1000:.1f}",
            "break-even link [Mbit/s]": f"{link / 1e6:.1f}" if link > 0 else "none: more bits than raw",
            "within 10 GMAC": _within(camera),
            "cloud [GMAC]": _macs(cloud), "cloud [ms]": f"{1000 * cloud['seconds']:.1f}",
            "cloud peak [MB]": f"{cloud['memory'] / 1e6:.0f}",
        }  # fmt: skip
        lines.append(line | again)
    return pd.DataFrame(lines).fillna("")


def side_cost(rows: pd.DataFrame) -> dict[str, float]:
    """What a result costs on one side: macs, seconds, peak bytes, and whether some of it is not counted (external)."""
    times = rows["frames_per_result"]
    codec = rows["stage"].isin(["encode", "decode"])
    return {
        "macs": float((rows["macs"].astype(float) * times).sum()),
        "seconds": float((rows["seconds"].astype(float) * times).sum()),
        "memory": float(rows["peak_memory"].max()) if len(rows) else 0.0,
        "external": float((codec & rows["macs"].isna()).any()),
    }


def _within(cost: dict[str, float]) -> str:
    if cost["external"]:
        return "not counted"
    return "yes" if cost["macs"] <= CAMERA_BUDGET else "no"


def _macs(cost: dict[str, float]) -> str:
    return f"{cost['macs'] / 1e9:.2f}" + (" + codec" if cost["external"] else "")


_SMALL = "the shipped small preset; its trainings are short ones for the ablation variants (docs/sci.md)"
SECTIONS = (
    TableSection(
        "table_ii", "Table II, smoothness of features", f"Measured: {_SMALL}.", 2, lambda given: table_ii(given.every)
    ),
    TableSection(
        "table_iii", "Table III, CTA",
        "Points in the order of their rates; the paper's VTM has more bits at higher QP, the wrong way round. "
        "libvvenc stands beside VTM.",
        3, lambda given: table_iii(given.runs),
    ),
    TableSection(
        "table_iv", "Table IV, BD-rate under CAAS", "libvvenc stands beside the paper's VTM.", 4,
        lambda given: pd.DataFrame() if given.bd.empty else table_iv(given.runs, given.bd),
    ),
    TableSection(
        "table_v", "Table V, scores without a reference", "At matched rates (docs/protocol.md).", 5,
        lambda given: table_v(given.runs),
    ),
    TableSection(
        "table_ix", "Table IX, what each contribution costs",
        "Counted at 256x256 at the paper's size, which has no weights and is not run, so no time stands beside the "
        "paper's; its Flops are multiply-accumulates.",
        20, lambda given: networks_table(given.every, "IX"),
    ),
    TableSection(
        "table_x", "Table X, encoder and decoder", "Counted likewise.", 21,
        lambda given: networks_table(given.every, "X"),
    ),
    TableSection(
        "complexity", "What a result costs, by chain",
        "Measured on one machine, each stage alone. Break-even: on a slower link than this, coding is faster than "
        "sending raw spikes; camera and link are taken one after the other.",
        22, lambda given: chains_table(given.every),
    ),
    TableSection(
        "uncompressed", "Without compression", "Features sent whole.", 23, lambda given: uncompressed_table(given.every)
    ),
    TableSection(
        "ablations", "What each part is worth", "Trained alike with and without it, features sent whole.", 24,
        lambda given: parts_table(given.every),
    ),
)  # fmt: skip
