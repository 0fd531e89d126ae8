"""Classification in reports: Tables VI to VIII, Fig. 14, and rate-accuracy curves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap

from bench.interfaces.component import parse_spec
from bench.measure.recognition import RECOGNITION_FILE, RecognitionRow
from bench.metrics.accuracy import interval
from bench.metrics.bd import Curve, bd_rate
from bench.names import file_name, shortened
from bench.published import stated
from bench.report.plots import LEGEND_WIDTH, add_legend, bits_axis, curve_styles, figure_title, literal
from bench.report.rows import Runs, average, curve_names, judged, mean_points, of_count, sequence_range
from bench.report.sections import Material, PlotSection, TableSection
from bench.report.style import COLOURS, panels, save
from bench.results.document import origin
from bench.results.rows import CLASSES_FILE, ClassRow
from bench.results.shell import flag

# The paper's name of each dataset; s-mnist-10k, which is MNIST's test images alone, is compared with S-MNIST.
_PAPER = {"s-mnist": "S-MNIST", "s-mnist-10k": "S-MNIST", "s-cifar": "S-CIFAR", "s-caltech": "S-CALTECH"}
_TSNE_SAMPLES = 400


def table_vi(runs: Runs) -> pd.DataFrame:
    """The paper's Table VI: accuracy without compression, one line per run, dataset, backbone and representation."""
    from baselines.recognition.representations import TABLE_VI

    paper = stated("VI")
    lines = []
    cells = recognition_rows(runs).groupby(["run", "dataset", "backbone", "representation"], sort=False)
    for (run, dataset, backbone, name), part in cells:
        accuracy, bounds = _accuracy(part["correct"])
        spec = origin(runs.documents[str(run)], "datasets", str(dataset))
        lines.append(
            {
                "dataset": dataset,
                "camera": TABLE_VI[str(name)].camera,
                "representation": TABLE_VI[str(name)].title,
                "backbone": backbone,
                "samples": len(part),
                "accuracy [%]": accuracy,
                "95 % interval": bounds,
                "published [%]": paper.get((TABLE_VI[str(name)].title, _PAPER.get(_bare_name(dataset), "")), ""),
                "command": f"bench run --task classification {flag('--dataset', spec)} --codec ffv1 --limit 1 "
                "--recognition",
            }
        )
    return pd.DataFrame(lines)


def table_vii(runs: Runs) -> pd.DataFrame:
    """The paper's Table VII: bits saved (BS) against raw spikes, accuracy lost (AD) against uncompressed features."""
    paper = stated("VII")
    columns = sorted({column for _, column in paper}, key=_bpp)
    uncompressed = recognition_rows(runs)
    uncompressed = uncompressed[uncompressed["representation"] == "sci"]
    lines = []
    for (dataset, _), rows in _sci_rows(runs).groupby(["dataset", "condition"], sort=False):
        same = uncompressed["dataset"].eq(dataset) & uncompressed["backbone"].eq(used_backbone(rows))
        whole = uncompressed[same & uncompressed["sequence"].isin(rows["sequence"])]
        for line in average(rows).to_dict("records"):
            point = rows[rows["rate_point"] == line["rate_point"]]
            accuracy, bounds = _accuracy(point["accuracy"])
            both = whole[whole["sequence"].isin(point["sequence"])]
            same = point[point["sequence"].isin(both["sequence"])]
            lost = (
                of_count(f"{100 * (both['correct'].mean() - same['accuracy'].mean()):.1f}", len(same), len(point))
                if len(same)
                else ""
            )
            cells = {
                "dataset": dataset, "rate point": line["rate_point"], "samples": line["sequences"],
                "bpp": f"{line['bpp']:.4f}", "BS [%]": f"{100 * (1 - line['bpp']):.2f}",
                "accuracy [%]": accuracy, "95 % interval": bounds,
                "AD [points]": lost,
            }  # fmt: skip
            name = _PAPER.get(_bare_name(dataset), "")
            distances = [abs(np.log(_bpp(column) / line["bpp"])) for column in columns]
            nearest = columns[int(np.argmin(distances))]
            cells["nearest published"] = nearest if name else ""
            for key in ("BS", "AD"):
                cells[f"{key}, published"] = paper.get((f"{name} {key}", nearest), "")
            command = runs.command(runs.point(line))
            cells["command"] = f"{command} --recognition" if len(whole) else command
            lines.append(cells)
    return pd.DataFrame(lines)


def table_viii(runs: Runs) -> pd.DataFrame:
    """The paper's Table VIII: precision, recall and F1 of each class at the highest rate of SCI under CAAS."""
    from sklearn.metrics import classification_report

    paper = stated("VIII")
    lines = []
    for (dataset, _), rows in _answers(runs).groupby(["dataset", "condition"], sort=False):
        line = average(rows).iloc[-1].to_dict()
        answers = rows[rows["rate_point"] == line["rate_point"]]
        truth, predicted = answers["truth"], answers["predicted"]
        scores = classification_report(truth, predicted, output_dict=True, zero_division=np.nan)
        overall = scores.pop("accuracy")
        common = {"dataset": dataset, "bpp": f"{line['bpp']:.4f}"}
        command = {"command": runs.command(runs.point(line))}
        names = {"macro avg": "macro average", "weighted avg": "weighted average"}
        for label, figures in scores.items():
            name = names.get(label, label)
            cells = {**common, "class": name}
            for key, title in (("precision", "precision"), ("recall", "recall"), ("f1-score", "F1")):
                cells[title] = f"{figures[key]:.4f}"
                cells[f"{title}, published"] = _published(paper, dataset, name, title.lower())
            lines.append({**cells, "samples": str(int(figures["support"])), **command})
        lines.append(
            {
                **common, "class": "accuracy", "precision": f"{overall:.4f}",
                "precision, published": _published(paper, dataset, "all", "accuracy"),
                "samples": str(len(answers)), **command,
            }
        )  # fmt: skip
    return pd.DataFrame(lines).fillna("")


def bd_accuracy(runs: Runs) -> pd.DataFrame:
    """BD-rate over accuracy between the mean curves of every pair, or why there is none."""
    lines = []
    for dataset, means in accuracy_means(runs).groupby("dataset", sort=False):
        curves = dict(iter(means.groupby("curve", sort=False)))
        for anchor, first in curves.items():
            for test, second in curves.items():
                if anchor == test or min(len(first), len(second)) < 2:
                    continue
                verdict = bd_rate(_curve(first), _curve(second))
                counts = {sequence_range(curve) for curve in (first, second)}
                uneven = len(counts) > 1 or " to " in min(counts)
                mask = runs.curve(first.iloc[0].to_dict()) | runs.curve(second.iloc[0].to_dict())
                lines.append(
                    {
                        "dataset": dataset, "test": test, "against": anchor,
                        "BD-rate [%]": verdict.text(1)
                        + (f" [{sequence_range(second)} against {sequence_range(first)} samples]" if uneven else ""),
                        "command": f"{runs.command(mask)} && bench report RUN RUN",
                    }
                )  # fmt: skip
    return pd.DataFrame(lines)


def accuracy_plots(runs: Runs, folder: Path) -> Iterator[Path]:
    """Draw the rate-accuracy curves of each dataset, with the accuracy of uncompressed features; gives the files."""
    uncompressed = recognition_rows(runs)
    for dataset, means in accuracy_means(runs).groupby("dataset", sort=False):
        figure, (axis,) = panels(1, (6.4, 4.4))
        curves = means.drop_duplicates("curve")[["curve", "paradigm", "label"]]
        styles = curve_styles(curves.itertuples(index=False, name=None), list(runs.table["label"].unique()))
        names = shortened(styles, LEGEND_WIDTH)
        for name, curve in means.groupby("curve", sort=False):
            bounds = np.array([interval(c * n, n) for c, n in zip(curve["accuracy"], curve["sequences"], strict=True)])
            axis.errorbar(
                curve["bpp"], 100 * curve["accuracy"],
                100 * np.abs(bounds.T - curve["accuracy"].to_numpy()), label=literal(names[str(name)]), capsize=2,
                elinewidth=0.6, **styles[str(name)].plot(),
            )  # fmt: skip
        known = uncompressed[uncompressed["dataset"].eq(dataset) & uncompressed["backbone"].eq(used_backbone(means))]
        for row, style in (("sci", "-"), ("tfp", ":")):
            part = known[known["representation"].eq(row)]
            if len(part):
                text = "SCI's features, not compressed" if row == "sci" else "firing rate, not compressed"
                level = 100 * part["correct"].mean()
                axis.axhline(level, color="0.5", linestyle=style, linewidth=1, label=f"{text} ({len(part)} samples)")
        figure_title(figure, f"{dataset}: accuracy over rate, 95 % intervals")
        axis.set_ylabel("accuracy [%]")
        bits_axis(axis)
        add_legend(figure, axis)
        yield from save(figure, folder, f"accuracy_{file_name(str(dataset))}")


def confusion_plots(runs: Runs, folder: Path) -> Iterator[Path]:
    """Draw confusion matrices of SCI under CAAS at its lowest and its highest rate; gives the files."""
    from sklearn.metrics import confusion_matrix

    for dataset, points in _by_rate(runs, 2):
        figure, axes = panels(len(points), (4.6, 4.4))
        for axis, (line, answers) in zip(axes, points, strict=True):
            cells = confusion_matrix(answers["truth"], answers["predicted"])
            axis.imshow(np.sqrt(cells), cmap="Blues")
            if len(cells) <= 12:
                for (i, j), value in np.ndenumerate(cells):
                    if value:
                        dark = value > cells.max() / 3
                        axis.text(
                            j, i, str(value), ha="center", va="center", fontsize="small", color="w" if dark else "k"
                        )
            axis.set(xlabel="predicted", ylabel="true", title=f"{line['bpp']:.4f} bpp")
        figure_title(figure, f"{dataset}: confusion, SCI under CAAS")
        yield from save(figure, folder, f"confusion_{file_name(dataset)}")


def tsne_plots(runs: Runs, folder: Path) -> Iterator[Path]:
    """Draw Fig. 14: t-SNE of the log-probabilities at four rates of SCI under CAAS; gives the files."""
    from sklearn.manifold import TSNE

    for dataset, points in _by_rate(runs, 4):
        figure, axes = panels(len(points), (3.6, 3.7))
        for axis, (line, every) in zip(axes, points, strict=True):
            answers = every.iloc[:_TSNE_SAMPLES]
            probabilities = np.array([np.array(text.split(), float) for text in answers["probabilities"]])
            places = TSNE(2, perplexity=min(30, max(2, len(answers) // 4)), init="pca", random_state=0).fit_transform(
                np.log(probabilities + 1e-6)
            )
            colours = ListedColormap(COLOURS) if probabilities.shape[1] <= len(COLOURS) else "nipy_spectral"
            scatter = axis.scatter(places[:, 0], places[:, 1], c=answers["truth"], cmap=colours, s=9)
            axis.set_title(f"{line['bpp']:.4f} bpp, {100 * line['accuracy']:.1f} %", fontsize="medium")
            axis.set_xticks([])
            axis.set_yticks([])
        figure_title(figure, f"Fig. 14, {dataset}: t-SNE of decoded classes, SCI under CAAS")
        figure.colorbar(scatter, ax=figure.axes, fraction=0.02, label="class")
        yield from save(figure, folder, f"fig_14_{file_name(dataset)}")


def recognition_rows(runs: Runs) -> pd.DataFrame:
    """Rows of recognition.csv (classification without compression), with ``correct``, 1 or 0."""
    rows = runs.beside(RECOGNITION_FILE, RecognitionRow)
    return rows.assign(correct=rows["label"].eq(rows["predicted"]).astype(float))


def used_backbone(rows: pd.DataFrame) -> str:
    """The backbone of the rows' classifier; of several, that of the first."""
    options = parse_spec(str(rows["analyzer"].iloc[0]))[1]
    return str(options.get("backbone", "small"))


def _sci_rows(runs: Runs) -> pd.DataFrame:
    """Classification rows of the paper's model under CAAS."""
    rows = runs.table[runs.table["status"].eq("ok") & runs.table["accuracy"].notna()]
    criteria = {"paradigm": "caas", "extractor": "sci", "codec": "sci"}
    return rows[rows[list(criteria)].eq(list(criteria.values())).all(axis=1)]


def accuracy_means(runs: Runs) -> pd.DataFrame:
    """Points of the mean curves that have an accuracy, with ``curve``, the curve's name."""
    means = mean_points(judged(runs.points, "accuracy"))
    return means.assign(curve=curve_names(means))


def _answers(runs: Runs) -> pd.DataFrame:
    """`_sci_rows` with the classifier's answers: ``truth``, ``predicted``, ``probabilities``."""
    classes = runs.beside(CLASSES_FILE, ClassRow).rename(columns={"label": "truth"})
    return _sci_rows(runs).merge(classes.drop(columns="schema_version"), on=["run", "job"])


def _by_rate(runs: Runs, count: int) -> Iterator[tuple[str, list[tuple[dict[str, Any], pd.DataFrame]]]]:
    """For each dataset, `count` rate points from the lowest to the highest: means and classifier's answers."""
    for dataset, rows in _answers(runs).groupby("dataset", sort=False):
        means = average(rows)
        places = np.unique(np.linspace(0, len(means) - 1, count).round().astype(int))
        lines = means.iloc[places].to_dict("records")
        yield str(dataset), [(line, rows[rows["rate_point"] == line["rate_point"]]) for line in lines]


def _accuracy(correct: pd.Series) -> tuple[str, str]:
    """Accuracy and its 95 % interval as texts, in percent."""
    low, high = interval(correct.sum(), len(correct))
    return f"{100 * correct.mean():.2f}", f"{100 * low:.2f} .. {100 * high:.2f}"


def _published(paper: dict[tuple[str, str], str], dataset: str, row: str, column: str) -> str:
    """The paper's figure of Table VIII, which is of S-MNIST alone; empty for other datasets."""
    return paper.get((row, column), "") if _PAPER.get(_bare_name(dataset)) == "S-MNIST" else ""


def _bare_name(dataset: object) -> str:
    """A dataset's name without its options."""
    return str(dataset).partition(":")[0]


def _bpp(column: str) -> float:
    """The rate that a column of the paper's Table VII names."""
    return float(column.removesuffix(" bpp"))


def _curve(points: pd.DataFrame) -> Curve:
    return Curve(tuple(points["bpp"]), tuple(points["accuracy"]), points["condition"].iloc[0])


def _draw_plots(material: Material, folder: Path) -> Iterator[Path]:
    """Draw all plots of classification, where any row has an accuracy; gives the files."""
    if material.runs.table["accuracy"].notna().any():
        for draw in (accuracy_plots, confusion_plots, tsne_plots):
            yield from draw(material.runs, folder)


SECTIONS = (
    TableSection(
        "table_vi", "Table VI, accuracy without compression",
        "All classifiers have the same backbone and training budget. The event camera is simulated on the same scenes. "
        "SpiReco is rebuilt in its main parts: TFI with learned denoising and motion enhancement. Ours has these two "
        "parts as well, after an alignment of its features (docs/classification.md).",
        6, lambda material: table_vi(material.runs),
    ),
    TableSection(
        "table_vii", "Table VII, bits saved and accuracy lost",
        "SCI under CAAS. BS: bits saved against raw spikes (1 bpp). AD: accuracy lost against that of the same samples "
        "in Table VI.",
        7, lambda material: table_vii(material.runs),
    ),
    TableSection(
        "table_viii", "Table VIII, classification report",
        "SCI under CAAS at its highest rate point. The paper does not state the rate of its figures.",
        8, lambda material: table_viii(material.runs),
    ),
    TableSection(
        "bd_accuracy", "BD-rate over accuracy", "Computed from mean curves; in brackets why there is no figure.", 9,
        lambda material: bd_accuracy(material.runs),
    ),
    PlotSection(_draw_plots, in_run=True),
)  # fmt: skip
