"""The paper's Figs. 8, 9c, 12, 13 and 15 to 17, drawn from this suite's rows and from the streams and pictures of runs.

Figs. 10 and 11 are in every report: the pictures at matched rates (`bench.report.pictures`) and the RD curves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import hsv_to_rgb

from bench.chain import to_spikes
from bench.errors import BenchError
from bench.interfaces import Analyzer, Codec, Decoded, unpack_stream
from bench.measure.profile import PROFILE_FILE
from bench.metrics.smoothness import laplacian_norms
from bench.names import file_name, shortened
from bench.registry import check_foreign, codec_for_stream, create
from bench.report.paper.tables import CAMERA_BUDGET, profiled_chains, side_cost
from bench.report.pictures import Sheet, Tile, at_instant, picture_instant, psnr, result_picture
from bench.report.plots import LEGEND_WIDTH, add_legend, bits_axis, curve_styles, figure_title, literal
from bench.report.rows import (
    CURVE,
    Runs,
    codec_label,
    curve_names,
    judged,
    mean_points,
    per_sequence,
    sequence_range,
)
from bench.report.sections import PlotSection, SheetSection
from bench.report.style import panels, save
from bench.results.document import stream_path, usable_origin
from bench.results.rows import codec_spec

# Side of the cut-out that shows a detail, pixels.
_DETAIL = 96


class AbsentError(Exception):
    """Something that a figure needs is absent; the message says what."""


@dataclass(frozen=True)
class Scene:
    """One sequence, and what runs keep of its first segment: rows, streams and pictures.

    Methods raise `AbsentError` where what they return is absent.

    Attributes
    ----------
    runs
        The runs of the report.
    rows
        The rows of the sequence's first segment, all with the same coding instants.
    """

    runs: Runs
    rows: pd.DataFrame

    def row(self, extractor: str = "sci", analyzer: str = "", **columns: str) -> dict[str, Any]:
        """The first row under CAAS with these column values; the analyzer is by default the one of the same name."""
        criteria = {"paradigm": "caas", "extractor": extractor, "analyzer": analyzer or extractor, **columns}
        rows = self.rows
        for column, value in criteria.items():
            rows = rows[rows[column] == value]
        if rows.empty:
            raise AbsentError("no row with " + ", ".join(f"{key} {value}" for key, value in criteria.items()))
        return rows.iloc[0].to_dict()

    def own(self) -> list[dict[str, Any]]:
        """The rows of the paper's model under CAAS, from the lowest rate to the highest."""
        criteria = {"paradigm": "caas", "extractor": "sci", "codec": "sci"}
        rows = self.rows[self.rows[list(criteria)].eq(list(criteria.values())).all(axis=1)]
        if rows.empty:
            raise AbsentError("no rows of sci under CAAS")
        return rows.sort_values("bpp").to_dict("records")

    def decoded(self, row: dict[str, Any]) -> Decoded:
        """Decode the stream of a row."""
        path = stream_path(Path(row["run"]), row["job"])
        if not path.exists():
            raise AbsentError(f"no stream {path}; streams stay on the machine where the run was made")
        stream = path.read_bytes()
        info, _ = unpack_stream(stream)
        spec = usable_origin(self.runs.documents[row["run"]], Codec, codec_spec(row["codec"], row["options"]))
        return codec_for_stream(info, spec).decode(stream)

    def picture(self, row: dict[str, Any]) -> np.ndarray:
        """A row's result at the shown instant, H x W float32 in [0, 1]."""
        picture = result_picture(row)
        if picture is None:
            raise AbsentError(f"no picture of row {row['job']}; pictures stay on the machine where the run was made")
        return picture

    @property
    def k(self) -> int:
        """Number of the coding instant that the pictures show."""
        return picture_instant(self.rows.iloc[0], self.runs.documents)

    def truth(self) -> np.ndarray:
        """True luminance at the shown instant, H x W float32 in [0, 1]."""
        return self.seen[0]

    @cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """True luminance and spikes at the shown instant, both H x W float32.

        Reading or simulating the recording may take long: figures use this after everything else that may be absent.
        """
        try:
            return at_instant(self.rows.iloc[0], self.runs.documents, self.k)
        except BenchError as error:
            raise AbsentError(str(error)) from None


def smoothness(scene: Scene) -> Iterator[Tile]:
    """Fig. 8: features with and without the smoothness constraint, uncompressed and decoded at two rates."""
    for label, name in (("with constraint", "sci:ablation=dual"), ("without", "sci:ablation=free")):
        features = scene.decoded(scene.row(name, codec="ffv1")).frames
        rough, _ = laplacian_norms(features)
        yield Tile(f"feature {label}", f"L1 norm of the Laplacian {rough:.3f}", features[scene.k])
        rows = scene.rows[scene.rows["extractor"].eq(name) & scene.rows["codec"].eq("vvenc")].sort_values("bpp")
        if len(rows) < 2:
            raise AbsentError(f"no rate points of vvenc with {name}")
        for row in (rows.iloc[1].to_dict(), rows.iloc[-1].to_dict()):
            decoded = scene.decoded(row).frames[scene.k]
            words = f"{row['bpf']:.3f} bits a pixel, {psnr(decoded, features[scene.k]):.2f} dB"
            yield Tile(f"decoded, QP {row['rate_point']}", words, decoded)


def rates(scene: Scene) -> Iterator[Tile]:
    """Fig. 12: reconstructions by SCI under CAAS at every rate point."""
    results = [(row, scene.picture(row)) for row in scene.own()]
    truth = scene.truth()
    yield Tile("truth", "", truth)
    for row, result in results:
        yield Tile(f"rate point {row['rate_point']}", f"{row['bpp']:.4f} bpp, {psnr(result, truth):.2f} dB", result)


def decoded_spikes(scene: Scene) -> Iterator[Tile]:
    """Fig. 13: spikes decoded under CTA, and the reconstructions from them."""
    rows = scene.rows[scene.rows["paradigm"].eq("cta") & scene.rows["codec"].isin(["vvenc", "vtm", "x265"])]
    if rows.empty:
        raise AbsentError("no rows of vvenc, vtm or x265 under CTA")
    document = scene.runs.documents[rows["run"].iloc[0]]
    card = document["conditions"][rows["condition"].iloc[0]]
    index = card["margin"] + scene.k * card["stride"]
    points = [
        (row, to_spikes(scene.decoded(row).frames[index]).astype(np.float32), scene.picture(row))
        for row in rows.sort_values(["codec", "bpp"]).to_dict("records")
    ]
    truth, spikes = scene.seen
    yield Tile("spikes", f"{100 * spikes.mean():.0f} % fire", spikes)
    yield Tile("truth", "", truth)
    for row, frame, result in points:
        name = f"{row['label']}, {row['rate_point']}"
        yield Tile(f"{name}: spikes", f"{row['bpp']:.3f} bpp, {100 * frame.mean():.0f} % fire", frame)
        yield Tile(f"{name}: result", f"{psnr(result, truth):.2f} dB", result)


def pathways(scene: Scene) -> Iterator[Tile]:
    """Fig. 15: results of the ventral pathway alone and of both pathways, and their errors."""
    variants = (("ventral pathway alone", "sci:ablation=ventral"), ("both pathways", "sci:ablation=dual"))
    results = [(label, scene.picture(scene.row(name, codec="ffv1"))) for label, name in variants]
    truth = scene.truth()
    yield Tile("truth", "", truth)
    for label, result in results:
        yield Tile(label, f"{psnr(result, truth):.2f} dB", result)
        yield Tile("ten times the error", "", np.clip(10 * np.abs(result - truth), 0, 1))


def motion_picture(motion: np.ndarray, largest: float) -> np.ndarray:
    """A motion field in colours: direction as hue, length as saturation.

    Parameters
    ----------
    motion
        2 x H x W displacements in pixels, x then y.
    largest
        Length in pixels that has full saturation.

    Returns
    -------
    numpy.ndarray
        H x W x 3 RGB in [0, 1].
    """
    x, y = motion
    hue = (np.arctan2(y, x) / (2 * math.pi)) % 1
    length = np.clip(np.hypot(x, y) / largest, 0, 1)
    colours: np.ndarray = hsv_to_rgb(np.stack((hue, length, np.ones_like(hue)), -1))
    return colours


def refinement(scene: Scene) -> Iterator[Tile]:
    """Fig. 16: decoded motion before and after FMVR (hue is direction, white is no motion)."""
    rows = scene.own()
    if len(rows) < 2:
        raise AbsentError("no second rate point of sci under CAAS")
    row = rows[1]
    # The instant after the shown one, which may be an intra frame and so have no motion.
    decoded, k = scene.decoded(row), scene.k + 1
    analyzer: Any = create(Analyzer, "sci")
    fields = analyzer.motion(decoded.frames, decoded.motion)
    largest = max(float(np.hypot(*fields[0][k]).max()), 1e-6)
    yield Tile(f"decoded feature, rate point {row['rate_point']}", f"{row['bpp']:.4f} bpp", decoded.frames[k])
    for label, field in zip(("motion as decoded", "refined by FMVR"), fields, strict=True):
        yield Tile(label, f"to {largest:.1f} pixels", motion_picture(field[k], largest))
    change = np.hypot(*(fields[1] - fields[0])[k])
    yield Tile("change", f"mean {change.mean():.2f} pixels", np.clip(change / 2, 0, 1))


def alignment(scene: Scene) -> Iterator[Tile]:
    """Fig. 17: a feature warped along refined motion; results of deformable convolution, of warping and of AFR."""
    rows = {name: scene.row("sci", f"sci:ablation={name}", codec="ffv1") for name in ("dcn", "warp", "afr")}
    results = {name: scene.picture(row) for name, row in rows.items()}
    features = scene.decoded(rows["afr"]).frames
    truth, k = scene.truth(), scene.k
    analyzer: Any = create(Analyzer, "sci:ablation=afr")
    cut = _busiest(np.abs(results["warp"] - truth))

    def tile(title: str, picture: np.ndarray) -> Tile:
        return Tile(title, f"{psnr(picture, truth):.2f} dB", picture[cut])

    yield Tile("truth (detail)", "", truth[cut])
    yield Tile("feature two instants later", "", features[k + 2][cut])
    yield tile("the same, moved here", analyzer.warped(features, k, 2))
    yield tile("feature here", features[k])
    yield tile("deformable alone", results["dcn"])
    yield tile("warping alone", results["warp"])
    yield tile("AFR", results["afr"])
    yield Tile("AFR: ten times the error", "", np.clip(10 * np.abs(results["afr"] - truth), 0, 1)[cut])


def _busiest(error: np.ndarray) -> tuple[slice, slice]:
    """The square window with the largest sum of errors, as slices of rows and columns."""
    side = min(_DETAIL, *error.shape)
    total = np.pad(error, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    return slice(int(row), int(row) + side), slice(int(column), int(column) + side)


FIGURES: tuple[tuple[str, str, Callable[[Scene], Iterator[Tile]]], ...] = (
    ("fig_08", "Fig. 8, features with and without the smoothness constraint", smoothness),
    ("fig_12", "Fig. 12, results of SCI at its rate points", rates),
    ("fig_13", "Fig. 13, spikes decoded under CTA", decoded_spikes),
    ("fig_15", "Fig. 15, one pathway and two", pathways),
    ("fig_16", "Fig. 16, motion before and after FMVR", refinement),
    ("fig_17", "Fig. 17, alignment", alignment),
)


def paper_sheets(runs: Runs) -> tuple[list[Sheet], list[tuple[str, str]]]:
    """The figures in `FIGURES`, for the first slow and the first fast sequence of the first dataset.

    Returns
    -------
    The sheets, and a pair (figure, reason) for each one that cannot be drawn. Both are empty where no row is of the
    paper's model.
    """
    table = runs.table[(runs.table["status"] == "ok") & runs.table["psnr"].notna()]
    if not table["extractor"].str.startswith("sci").any():
        return [], []
    dataset = table["dataset"].iloc[0]
    rows = table[table["dataset"] == dataset]
    scenes = {}
    for sequence in dict.fromkeys(rows.groupby("speed_class", sort=False)["sequence"].first()):
        part = rows[rows["sequence"] == sequence]
        part = part[part["segment"] == part["segment"].min()]
        # Rows of other instants than the first row's have pictures of another frame, with another truth.
        instants = _coding_instants(part, runs.documents)
        scenes[sequence] = Scene(runs, part[instants == instants.iloc[0]])
    sheets, missing = [], []
    for name, what, tiles in FIGURES:
        for sequence, scene in scenes.items():
            try:
                pictures = tuple(tiles(scene))
            except AbsentError as reason:
                missing.append((f"{what}: {dataset} {sequence}", str(reason)))
            else:
                sheets.append(Sheet(f"{name}_{file_name(sequence)}", f"{what}: {dataset} {sequence}", pictures))
    return sheets, missing


def _coding_instants(rows: pd.DataFrame, documents: dict[str, dict[str, Any]]) -> pd.Series:
    """A text for each row that says at which spike frames its coding instants are and which of them have a truth."""
    cards = [documents[run]["conditions"][name] for run, name in zip(rows["run"], rows["condition"], strict=True)]
    texts = [f"{card['margin']} {card['stride']} {card['num_frames']}" for card in cards]
    return pd.Series(texts, rows.index) + " " + rows["evaluated"].astype(str)


def constraint_plot(runs: Runs, folder: Path) -> list[Path]:
    """Draw Fig. 9c: RD curves of chains trained with and without the smoothness constraint, with the same codec."""
    rows = runs.table[
        runs.table["codec"].eq("vvenc") & runs.table["extractor"].isin(["sci:ablation=dual", "sci:ablation=free"])
    ]
    means = mean_points(judged(per_sequence(rows)))
    if means.empty:
        return []
    figure, (axis,) = panels(1, (6, 4.2))
    groups = list(means.groupby(CURVE, sort=False))
    keys = ((key, part["paradigm"].iloc[0], part["label"].iloc[0]) for key, part in groups)
    styles = curve_styles(keys, list(runs.table["label"].unique()))
    for key, part in groups:
        first = part.iloc[0]
        alike = means[means["dataset"].eq(first["dataset"]) & means["extractor"].eq(first["extractor"])]
        words = [first["dataset"], "with constraint" if first["extractor"].endswith("dual") else "without"]
        if len(alike.drop_duplicates(CURVE)) > 1:
            words += [first["label"], first["condition"]]
        label = f"{', '.join(words)}, n = {sequence_range(part)}"
        axis.plot(part["bpp"], part["psnr"], label=literal(label), **styles[key].plot())
    figure_title(figure, "Fig. 9c, smoothness constraint, short trainings, vvenc")
    axis.set_ylabel("PSNR [dB]")
    bits_axis(axis)
    add_legend(figure, axis)
    return save(figure, folder, "fig_09")


def complexity_plot(runs: Runs, bd: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw the BD-rate of every codec under CAAS and ATC over the multiply-accumulates of its camera side.

    A curve whose chain was profiled several times has one mark: that of a profile on its own dataset if there is one,
    else of the first profile.
    """
    chains = [part for part in profiled_chains(runs) if part["status"].eq("ok").all()]
    if not chains or bd.empty:
        return []
    points = runs.points
    curves = points.assign(curve=curve_names(points)).drop_duplicates(["dataset", "curve"])
    costs = pd.DataFrame([part.iloc[0] for part in chains]).reset_index(drop=True)
    costs = costs.assign(label=costs["codec"].map(profiled_label))
    anchor = next((name for name in bd["anchor"].unique() if name.startswith("CAAS vvenc")), "")
    lines = bd[bd["anchor"].eq(anchor) & bd["quality"].eq("psnr") & bd["bd_rate"].notna()]
    # CTA needs a hundred times the bits: on an axis with its points, the other ones would lie on one another.
    lines = lines[~lines["test"].str.startswith("CTA")]
    places, shown_chains, fitting_chains = [], set(), set()
    for line in lines.to_dict("records"):
        curve = curves[curves["curve"].eq(line["test"]) & curves["dataset"].eq(line["dataset"])].iloc[0]
        alike = ["paradigm", "label", "extractor", "analyzer"]
        fitting = costs[costs[alike].eq(curve[alike]).all(axis=1)]
        if len(fitting):
            index = fitting["dataset"].eq(line["dataset"]).idxmax()
            part = chains[index]
            places.append((side_cost(part[part["side"] == "camera"]), line, curve))
            shown_chains.add(index)
            fitting_chains |= set(fitting.index)
    if not places:
        return []
    figure, (axis,) = panels(1, (6.4, 4.8))
    named_curves = [(f"{line['dataset']}: {line['test']}", curve) for _, line, curve in places]
    labels = list(runs.table["label"].unique())
    styles = curve_styles(((name, curve["paradigm"], curve["label"]) for name, curve in named_curves), labels)
    names = shortened(styles, LEGEND_WIDTH)
    for (cost, line, _), (name, _) in zip(places, named_curves, strict=True):
        style = styles[name].plot() | {"markerfacecolor": "none" if cost["external"] else styles[name].colour}
        axis.plot(cost["macs"] / 1e9, line["bd_rate"], label=literal(names[name]), **style)
    axis.axvline(CAMERA_BUDGET / 1e9, color="0.5", linestyle="--", linewidth=1)
    figure_title(figure, "BD-rate over the camera's cost")
    left_out = len(fitting_chains - shown_chains)
    more = f"\nprofiles of these codecs that are left out: {left_out}" if left_out else ""
    profiled = ", ".join(costs.loc[sorted(shown_chains), "dataset"].unique())
    words = (
        f"camera side, GMAC a result on {profiled}\ndashed: the paper's budget of 10\n"
        f"open marks: without the encoder's operations{more}"
    )
    axis.set_xlabel(literal(words))
    axis.set_ylabel(literal(f"BD-rate against\n{anchor} [%]"))
    axis.grid(True, color="0.92", linewidth=0.6)
    add_legend(figure, axis)
    return save(figure, folder, "complexity")


def profiled_label(spec: str) -> str:
    """The name in reports of a codec that profile.csv names by its spec."""
    check_foreign(Codec, spec, PROFILE_FILE, "a table names registered codecs")
    codec = create(Codec, spec)
    return codec_label(codec.name, codec.preset, codec.options_text)


SECTIONS = (
    SheetSection(lambda material: paper_sheets(material.every)),
    PlotSection(lambda material, folder: constraint_plot(material.every, folder)),
    PlotSection(lambda material, folder: complexity_plot(material.runs, material.bd, folder)),
)
