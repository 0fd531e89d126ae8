"""The paper's tables: measured figures next to the published ones, which enter no measured figure."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.measure.networks import NETWORKS_FILE, NetworkRow
from bench.measure.profile import CONDITION, PROFILE_FILE, ProfileRow
from bench.measure.suite import SMOOTHNESS_FILE, SmoothnessRow
from bench.metrics.iqa import METRICS
from bench.published import stated
from bench.report.bd_table import table_iv
from bench.report.iqa_table import iqa_command, iqa_scores, table_v
from bench.report.rows import Runs, judged, mean_points, of_count
from bench.report.sections import TableSection
from bench.results.shell import flag

# The paper's limit for the camera, multiply-accumulates a result. Under ATC and CAAS that is one coded frame. Under CTA
# the spike frames of a result count together, since the camera must code them in the same time.
CAMERA_BUDGET = 10e9
# The paper's name (or a name of ours) for the features of each extractor in Table II.
_FEATURES = {"sci:ablation=free": "without constraint", "sci:ablation=dual": "with constraint", "sci": "shipped model"}
# The codec of the paper's Table III that each codec is compared with.
_TABLE_III = {"dcvc": "DCVC", "dcvc-dc": "DCVC-DC", "vvenc": "VTM", "vtm": "VTM"}
# The columns of profile.csv that name a chain.
_CHAIN = ("paradigm", "codec", "rate_point", "dataset", "sequence", "extractor", "analyzer")
# The ablations: title, variant with the part, variant without it, and the paper's name of the part (empty: none).
_PARTS = (
    ("dual pathway, against the ventral one alone", "dual", "ventral", "dual pathway"),
    ("6 PFU, against 3", "deep", "dual", ""),
    ("smoothness constraint", "dual", "free", ""),
    ("AFR, against deformable convolution alone", "afr", "dcn", "AFR"),
    ("AFR, against warping alone", "afr", "warp", ""),
    ("FMVR", "afr", "nofmvr", "FMVR"),
)


def table_ii(runs: Runs) -> pd.DataFrame:
    """The paper's Table II: Laplacian norms of features (`bench.metrics.smoothness`), means over sequences."""
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
    """The paper's Table III: bits per spike and PSNR of each codec under CTA.

    A line has a measured point and a published one of the same place in the order of rates.
    """
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
        for measured, published in itertools.zip_longest(part.to_dict("records"), paper.get(codec, [])):
            line = {"dataset": dataset, "codec": label}
            if measured:
                line |= {
                    "rate point": measured["rate_point"], "sequences": str(measured["sequences"]),
                    "bpp": f"{measured['bpp']:.3f}", "PSNR [dB]": f"{measured['psnr']:.2f}",
                    "smaller than raw": "yes" if measured["bpp"] < 1 else "no",
                }  # fmt: skip
            point, bpp, psnr = published or ("", "", "")
            line["published"] = f"{codec} {point}" if point else ""
            line |= {"published bpp": bpp, "published PSNR [dB]": psnr}
            line["command"] = runs.command(runs.point(measured)) if measured else ""
            lines.append(line)
    return pd.DataFrame(lines).fillna("")


def networks_table(runs: Runs, table: str) -> pd.DataFrame:
    """The paper's Table IX or X (`table`): parameters and multiply-accumulates of the paper's networks at 256x256."""
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
    # Several runs may have counted the same networks.
    return pd.DataFrame(lines).drop_duplicates()


def counting(row: Mapping[Any, Any]) -> str:
    """The command that counts a row of networks.csv again."""
    return f"bench complexity {shlex.quote(row['codec'])} --size {row['width']}x{row['height']}"


def uncompressed_table(runs: Runs) -> pd.DataFrame:
    """The quality of the pictures of each extractor and analyzer, with features that are sent losslessly."""
    rows = runs.uncompressed.dropna(subset="psnr")
    scores = iqa_scores(runs)
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
        part_scores = scores[scores["job"].isin(part["job"])]
        for metric, values in part_scores.groupby("metric", sort=False):
            line[str(metric).upper()] = _mean(part.merge(values[["job", "value"]], "left", "job"), "value", 2)
        line["command"] = runs.command(runs.table["job"].isin(part["job"])) + iqa_command(part_scores)
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def parts_table(runs: Runs) -> pd.DataFrame:
    """The paper's ablations (section V-E): the gain of each part of the model, with lossless features.

    Each part is the difference between two variants that were trained alike, one with the part and one without.
    """
    rows, scores, paper = runs.uncompressed, iqa_scores(runs), stated("V-E")
    rows = rows.assign(variant=(rows["analyzer"].str.extract(r"ablation=(\w+)")[0]))
    lines = []
    for dataset, part in rows.groupby("dataset", sort=False):
        variants = dict(iter(part.groupby("variant")))
        for title, name, other, word in _PARTS:
            if name not in variants or other not in variants:
                continue
            # Only segments that both variants have are compared: one of them may have failed somewhere.
            pairs = variants[name].merge(
                variants[other], on=["sequence", "segment", "speed_class"], suffixes=("", "_without")
            )
            pairs["gain"] = pairs["psnr"] - pairs["psnr_without"]
            line: dict[str, Any] = {"part": title, "dataset": dataset, "sequences": pairs["sequence"].nunique()}
            for speed, rows_of_speed in _by_speed(pairs).items():
                line[f"gain {speed} [dB]"] = _mean(rows_of_speed, "gain", 2, "+")
                key = (word, "gain" if speed == "all" else f"gain {speed}")
                line[f"published {speed}"] = f"+{paper[key]}" if key in paper else ""
            for metric in METRICS:
                values = scores[scores["metric"] == metric].set_index("job")["value"]
                pairs[metric] = pairs["job"].map(values) - pairs["job_without"].map(values)
                if pairs[metric].notna().any():
                    line[metric.upper()] = _mean(pairs, metric, 2, "+")
                    line[f"published {metric.upper()}"] = paper.get((word, metric.upper()), "")
            jobs = [*pairs["job"], *pairs["job_without"]]
            line["command"] = runs.command(runs.table["job"].isin(jobs)) + iqa_command(scores[scores["job"].isin(jobs)])
            lines.append(line)
    return pd.DataFrame(lines).fillna("")


def profiling(row: pd.Series) -> str:
    """The command that profiles the chain of a row of profile.csv again."""
    return "bench profile " + " ".join(flag(f"--{name.removesuffix('_point')}", row[name]) for name in _CHAIN)


def _by_speed(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All rows, and those of slow and of fast sequences where there are any."""
    groups = {"all": rows, "slow": rows[rows["speed_class"] == "low"], "fast": rows[rows["speed_class"] == "high"]}
    return {name: part for name, part in groups.items() if name == "all" or len(part)}


def _mean(rows: pd.DataFrame, column: str, digits: int, sign: str = "") -> str:
    """Mean over sequences of the means over their segments, as text; with a count where sequences have no value."""
    means = rows.groupby("sequence", sort=False, observed=True)[column].mean()
    count = int(means.count())
    return of_count(f"{means.mean():{sign}.{digits}f}", count, len(means)) if count else ""


def profiled_chains(runs: Runs) -> list[pd.DataFrame]:
    """The rows of profile.csv of each chain.

    Of a chain that several runs profiled, they are those of the first run in which no stage failed, or else of the
    first run.
    """
    chains = []
    for _, part in runs.beside(PROFILE_FILE, ProfileRow).groupby(list(_CHAIN), sort=False):
        # One run may have profiled a chain twice.
        profiles = [rows.drop_duplicates(["stage", "frame"]) for _, rows in part.groupby("run", sort=False)]
        chains.append(next((rows for rows in profiles if rows["status"].eq("ok").all()), profiles[0]))
    return chains


def chains_table(runs: Runs) -> pd.DataFrame:
    """The cost of one result for each chain, on the camera side and on the cloud side.

    The break-even link is the bit rate at which coding and sending the bits of a result take as long as sending the raw
    spikes of a result, which are those of one stride. On slower links coding is faster than sending raw spikes.
    """
    chains = profiled_chains(runs)
    firsts = pd.DataFrame([part.iloc[0] for part in chains])
    varying = [name for name in _CHAIN[3:] if len(chains) and firsts[name].nunique() > 1]
    lines = []
    for part in chains:
        failed = part[part["status"] != "ok"]
        first = part.iloc[0]
        line = {"paradigm": first["paradigm"].upper(), "codec": first["codec"], "point": first["rate_point"]}
        line |= {name: first[name] for name in varying}
        command = {"command": profiling(first)}
        if len(failed):
            lines.append(line | {"camera [ms]": f"({failed['reason'].iloc[0]})"} | command)
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
        lines.append(line | command)
    return pd.DataFrame(lines).fillna("")


def side_cost(rows: pd.DataFrame) -> dict[str, float]:
    """The cost of one result on one side of the link.

    Parameters
    ----------
    rows
        Rows of profile.csv of one chain and one side.

    Returns
    -------
    dict
        ``macs``: multiply-accumulates. ``seconds``. ``memory``: bytes at the peak of the largest stage. ``external``: 1
        where the codec is an external program, whose operations are not counted, else 0.
    """
    times = rows["frames_per_result"]
    codec = rows["stage"].isin(["encode", "decode"])
    return {
        "macs": float((rows["macs"].astype(float) * times).sum()),
        "seconds": float((rows["seconds"].astype(float) * times).sum()),
        "memory": float(rows["peak_memory"].max()) if len(rows) else 0.0,
        "external": float((codec & rows["macs"].isna()).any()),
    }


def _within(cost: dict[str, float]) -> str:
    """Whether the cost of a camera side is within the paper's limit, as text."""
    if cost["external"]:
        return "not counted"
    return "yes" if cost["macs"] <= CAMERA_BUDGET else "no"


def _macs(cost: dict[str, float]) -> str:
    return f"{cost['macs'] / 1e9:.2f}" + (" + codec" if cost["external"] else "")


_SMALL = "the shipped small preset; the two variants of the ablation are trained for few steps (docs/sci.md)"
SECTIONS = (
    TableSection(
        "table_ii", "Table II, smoothness of features", f"Measured: {_SMALL}.", 2,
        lambda material: table_ii(material.every),
    ),
    TableSection(
        "table_iii", "Table III, CTA",
        "Measured and published points are paired by the order of their rates, not by QP: the paper's VTM has more "
        "bits at higher QPs, which contradicts what a QP is. libvvenc is compared with the paper's VTM.",
        3, lambda material: table_iii(material.runs),
    ),
    TableSection(
        "table_iv", "Table IV, BD-rate under CAAS", "libvvenc is compared with the paper's VTM.", 4,
        lambda material: pd.DataFrame() if material.bd.empty else table_iv(material.runs, material.bd), leading=True,
    ),
    TableSection(
        "table_v", "Table V, scores without a reference", "At matched rates (docs/protocol.md).", 5,
        lambda material: table_v(material.runs),
    ),
    TableSection(
        "table_ix", "Table IX, what each contribution costs",
        "Networks of the paper's size, counted at 256x256. They have no weights here and are not run, so the paper's "
        "times have no counterpart. The paper's Flops are multiply-accumulates.",
        20, lambda material: networks_table(material.every, "IX"),
    ),
    TableSection(
        "table_x", "Table X, encoder and decoder", "Counted as for Table IX.", 21,
        lambda material: networks_table(material.every, "X"),
    ),
    TableSection(
        "complexity", "What a result costs, by chain",
        "Measured on one machine, each stage alone. Break-even link: on a slower link, coding is faster than sending "
        "raw spikes, if the camera codes first and sends afterwards. Of a chain that several runs profiled, the "
        "figures are those of the first run in which no stage failed. The limit of 10 GMAC is for a result, under CTA "
        "too, where a result has several coded frames.",
        22, lambda material: chains_table(material.every),
    ),
    TableSection(
        "uncompressed", "Quality without compression", "Features are sent losslessly.", 23,
        lambda material: uncompressed_table(material.every),
        higher=("PSNR all [dB]", "PSNR slow [dB]", "PSNR fast [dB]", "SSIM"), lower=("NIQE", "BRISQUE"),
    ),
    TableSection(
        "ablations", "Gain of each part of the model",
        "Each line compares a variant with the part and one without it, trained alike; features are sent losslessly.",
        24,
        lambda material: parts_table(material.every),
    ),
)  # fmt: skip
