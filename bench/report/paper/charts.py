"""The paper's curves as charts of the page: accuracy, several tasks, smoothness constraint, cost of chains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.metrics.accuracy import interval
from bench.names import file_name
from bench.report.charts import Chart, Point, Series
from bench.report.paper.classification import accuracy_means, recognition_rows, used_backbone
from bench.report.paper.figures import profiled_label
from bench.report.paper.tables import CAMERA_BUDGET, profiled_chains, profiling, side_cost
from bench.report.rows import CURVE, Runs, curve_names, judged, mean_points, per_sequence, sequence_range
from bench.report.sections import ChartSection, Material

_RATE = "bits per spike (raw = 1)"


def accuracy_charts(runs: Runs) -> Iterator[Chart]:
    """Accuracy over the rate, a chart for each dataset, beside the accuracy of uncompressed features."""
    uncompressed = recognition_rows(runs)
    for dataset, means in accuracy_means(runs).groupby("dataset", sort=False):
        known = uncompressed[uncompressed["dataset"].eq(dataset) & uncompressed["backbone"].eq(used_backbone(means))]
        levels = []
        for row, words in (("sci", "SCI's features, not compressed"), ("tfp", "firing rate, not compressed")):
            part = known[known["representation"].eq(row)]
            if len(part):
                levels.append((100 * part["correct"].mean(), f"{words} (n = {len(part)})"))
        yield Chart(
            f"accuracy_{file_name(str(dataset))}", f"{dataset}: accuracy over rate", "With 95 % intervals.", (_RATE,),
            "accuracy [%]",
            tuple(_series(str(name), part, _accuracy(part, runs)) for name, part in means.groupby("curve", sort=False)),
            levels=tuple(levels), instead_of=f"accuracy_{file_name(str(dataset))}",
        )  # fmt: skip


def _accuracy(means: pd.DataFrame, runs: Runs) -> tuple[Point, ...]:
    points = []
    for line in means.to_dict("records"):
        low, high = interval(line["accuracy"] * line["sequences"], line["sequences"])
        points.append(
            Point(
                (line["bpp"],), 100 * line["accuracy"], _words(line), 100 * low, 100 * high,
                runs.command(runs.point(line)),
            )
        )  # fmt: skip
    return tuple(points)


def constraint_charts(runs: Runs) -> Iterator[Chart]:
    """Fig. 9c: PSNR over the rate with and without the smoothness constraint, a chart for each dataset."""
    rows = runs.table[
        runs.table["codec"].eq("vvenc") & runs.table["extractor"].isin(["sci:ablation=dual", "sci:ablation=free"])
    ]
    for dataset, means in mean_points(judged(per_sequence(rows))).groupby("dataset", sort=False):
        series = []
        for _, part in means.groupby(CURVE, sort=False):
            first = part.iloc[0]
            with_it = str(first["extractor"]).endswith("dual")
            name = f"{'with' if with_it else 'without'} constraint, {first['paradigm'].upper()} {first['label']}"
            points = tuple(
                Point((line["bpp"],), line["psnr"], _words(line), command=runs.command(runs.point(line)))
                for line in part.to_dict("records")
            )
            series.append(_series(name, part, points))
        yield Chart(
            f"fig_09_{file_name(str(dataset))}", f"Fig. 9c, {dataset}: smoothness constraint", "Short trainings.",
            (_RATE,), "PSNR [dB]", tuple(series), instead_of="fig_09",
        )  # fmt: skip


def many_tasks_charts(material: Material) -> Iterator[Chart]:
    """PSNR over the bits of all tasks together, for one stream and for a stream each, from the table `many_tasks`."""
    cells = next((table.cells for table in material.tables if table.name == "many_tasks"), pd.DataFrame())
    for dataset, lines in cells.groupby("dataset", sort=False) if len(cells) else ():
        series = []
        for (codec, paradigm), part in lines.groupby(["codec", "paradigm"], sort=False):
            series.append(_streams(f"{paradigm} {codec}, one stream", paradigm, codec, part, "bpp, one stream"))
            if paradigm == "CAAS":
                series.append(_streams(f"ATC {codec}, a stream each", "atc", codec, part, "bpp, ATC"))
        yield Chart(
            f"many_tasks_{file_name(str(dataset))}", f"{dataset}: bits for all tasks",
            "CAAS and CTA send one stream for all tasks, ATC one for each.", (f"{_RATE}, all tasks",), "PSNR [dB]",
            tuple(one for one in series if one.points), instead_of=f"many_tasks_{file_name(str(dataset))}",
        )  # fmt: skip


def _streams(name: str, paradigm: str, codec: str, part: pd.DataFrame, column: str) -> Series:
    """A curve of the bits in one column of `many_tasks`; cells that give a reason in its place have no point."""
    rates = pd.to_numeric(part[column], errors="coerce")
    lines = part.assign(bits=rates)[rates.notna()].to_dict("records")
    points = tuple(
        Point(
            (line["bits"],), float(line["PSNR [dB]"]), f"point {line['rate point']}, n = {line['samples']}",
            command=line["command"],
        )
        for line in lines
    )  # fmt: skip
    counts = "/".join(dict.fromkeys(str(line["samples"]) for line in lines))
    return Series(name, paradigm.lower(), codec, points, counts)


def cost_charts(material: Material) -> Iterator[Chart]:
    """BD-rate over what a result costs, a chart for each dataset on which chains were profiled."""
    chains = [part for part in profiled_chains(material.every) if part["status"].eq("ok").all()]
    if not chains or material.bd.empty:
        return
    costs = pd.DataFrame([part.iloc[0] for part in chains]).reset_index(drop=True)
    costs = costs.assign(label=costs["codec"].map(profiled_label))
    curves = material.runs.points.assign(curve=curve_names(material.runs.points)).drop_duplicates(["dataset", "curve"])
    for dataset in material.bd["dataset"].unique():
        series = []
        for curve in curves[curves["dataset"].eq(dataset)].to_dict("records"):
            alike = ["dataset", "paradigm", "label", "extractor", "analyzer"]
            fitting = costs[costs[alike].eq([curve[name] for name in alike]).all(axis=1)]
            if len(fitting):
                point = _cost(chains[fitting.index[0]])
                series.append(Series(curve["curve"], curve["paradigm"], curve["label"], (point,)))
        if series:
            yield Chart(
                f"cost_{file_name(str(dataset))}", f"{dataset}: bits at equal quality over what a result costs",
                "Each chain at one rate point, measured alone on one machine. An arrow: the operations of an external "
                "encoder are not counted, so the camera computes more.",
                (
                    "camera [GMAC a result]", "camera [ms a result]", "link [kbit a result]", "cloud [GMAC a result]",
                    "cloud [ms a result]",
                ),
                "BD-rate [%]", tuple(series), against=str(dataset), instead_of="complexity",
                limit=(CAMERA_BUDGET / 1e9, "the paper's limit"),
            )  # fmt: skip


def _cost(part: pd.DataFrame) -> Point:
    """The cost of one result by the rows of profile.csv of one chain."""
    camera, cloud = (side_cost(part[part["side"] == side]) for side in ("camera", "cloud"))
    bits = float((part["bits"] * part["frames_per_result"]).sum())
    first = part.iloc[0]
    return Point(
        (
            camera["macs"] / 1e9, 1000 * camera["seconds"], bits / 1000, cloud["macs"] / 1e9, 1000 * cloud["seconds"],
        ),
        None, f"rate point {first['rate_point']}", at_least=bool(camera["external"]),
        command=profiling(first),
    )  # fmt: skip


def _series(name: str, means: pd.DataFrame, points: tuple[Point, ...]) -> Series:
    first = means.iloc[0]
    return Series(name, str(first["paradigm"]), str(first["label"]), points, sequence_range(means))


def _words(line: dict[Any, Any]) -> str:
    return f"point {line['rate_point']}, n = {line['sequences']}"


SECTIONS = (
    ChartSection(cost_charts),
    ChartSection(lambda material: accuracy_charts(material.runs)),
    ChartSection(many_tasks_charts),
    ChartSection(lambda material: constraint_charts(material.every)),
)
