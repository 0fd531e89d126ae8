"""Rows of one or more runs as one table, and the averages that every table and figure starts from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from bench.errors import BenchError
from bench.interfaces import Measure
from bench.metrics import measures
from bench.results.dataframes import read_frame
from bench.results.document import read_run_file
from bench.results.explain import command_around, command_for
from bench.results.rows import COLUMNS, MEASURES_FILE, RD_FILE, MeasureRow, rd_frame

# What makes rows one curve. The condition is among them: points of two cards never share a curve.
CURVE = ["dataset", "task", "extractor", "analyzer", "condition", "paradigm", "label", "seed"]
# What no report looks at.
_UNREAD = {
    "schema_version", "chroma", "height", "width", "num_spikes", "num_frames", "estimated_bits", "encode_spread",
    "decode_spread",
}  # fmt: skip
MEASURES = [measure.name for measure in measures.MEASURES]
# Between a task and its own measure, in the name of a column.
_OF_TASK = ": "


@dataclass(frozen=True)
class Runs:
    """The runs that a report is made of.

    Attributes
    ----------
    table
        All rows, one line each, with columns of rd.csv, ``label`` (codec and preset) and ``run``. Texts that repeat are
        categories in the order of their names, so grouping and choosing rows looks at small numbers.
    documents
        Each run's run.json by folder.
    """

    table: pd.DataFrame
    documents: dict[str, dict[str, Any]]

    @cached_property
    def compared(self) -> Runs:
        """The rows whose codecs are compared: all but variants of the paper's model and features kept whole."""
        variant = self.table["extractor"].str.contains("ablation=") | self.table["analyzer"].str.contains("ablation=")
        return Runs(self.table[~variant & ~self._whole].reset_index(drop=True), self.documents)

    @property
    def uncompressed(self) -> pd.DataFrame:
        """Rows that say what extraction and analysis give without loss in between."""
        return self.table[self._whole & self.table["status"].eq("ok")]

    def command(self, chosen: pd.Series) -> str:
        """The shell commands that measure chosen rows again; runs and curves that differ get one each."""
        places = np.flatnonzero(chosen.to_numpy() & self._done)
        curves = self._curves[places]
        commands = []
        for curve in pd.unique(curves):
            rows = self.table.iloc[places[curves == curve]]
            row = rows.iloc[0]
            rates, sequences = rows["rate_point"].unique(), rows["sequence"].unique()
            commands.append(command_for(row, self.documents[row["run"]], rates, sequences))
        return " && ".join(commands)

    def commands(self, rows: pd.DataFrame) -> tuple[list[tuple[str, str]], np.ndarray]:
        """What stands before and after rate point and sequence in the command of each of the table's rows.

        Returns
        -------
        One pair for each curve of a run, and the number of the pair that each row has.
        """
        numbers, first = np.unique(self._curves[rows.index], return_index=True)
        firsts = (rows.iloc[place] for place in first)
        pairs = [command_around(row, self.documents[row["run"]]) for row in firsts]
        return pairs, np.searchsorted(numbers, self._curves[rows.index])

    def curve(self, line: Mapping[Hashable, Any]) -> pd.Series:
        """Which rows are of a line's curve."""
        numbers = self._numbers.get(tuple(line[name] for name in CURVE), [])
        return pd.Series(np.isin(self._curves, numbers), self.table.index)

    def point(self, line: Mapping[Hashable, Any]) -> pd.Series:
        """Which rows are of a line's curve and rate point."""
        return self.curve(line) & self.table["rate_point"].eq(line["rate_point"])

    @cached_property
    def points(self) -> pd.DataFrame:
        """`per_sequence` of all rows."""
        return per_sequence(self.table)

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """All measures by the names of their columns, those that tasks brought last."""
        own = {
            f"{task}{_OF_TASK}{measure['name']}": Measure(**measure)
            for document in self.documents.values()
            for task, brought in document["measures"].items()
            for measure in brought
        }
        known = {measure.name: measure for measure in measures.MEASURES}
        return known | {name: measure for name, measure in own.items() if name in self.table}

    @property
    def qualities(self) -> list[str]:
        """Columns of the measures that curves are compared by."""
        return [name for name, measure in self.measures.items() if measure.quality]

    def measure_title(self, column: str) -> str:
        """A measure's heading and unit, after its task where it is a task's own."""
        task = column.split(_OF_TASK, maxsplit=1)[0] + _OF_TASK if _OF_TASK in column else ""
        return task + self.measures[column].title

    @cached_property
    def _done(self) -> np.ndarray:
        return np.asarray(self.table["status"].eq("ok"))

    @cached_property
    def _curves(self) -> np.ndarray:
        """The number of each row's run and curve."""
        return self.table.groupby(["run", *CURVE], sort=False, dropna=False).ngroup().to_numpy()

    @cached_property
    def _numbers(self) -> dict[tuple[Any, ...], list[int]]:
        """The numbers of a curve, one for each run that has it."""
        found: dict[tuple[Any, ...], list[int]] = {}
        firsts = ~pd.Series(self._curves).duplicated().to_numpy()
        lines = self.table.loc[firsts, CURVE].itertuples(index=False, name=None)
        for line, number in zip(lines, self._curves[firsts], strict=True):
            found.setdefault(line, []).append(number)
        return found

    @property
    def _whole(self) -> pd.Series:
        return self.table["rate_point"].eq("lossless") & self.table["paradigm"].eq("caas")

    def beside(self, name: str, model: type[BaseModel]) -> pd.DataFrame:
        """The rows of a table that stands beside rd.csv, of all runs that have it, with their ``run``."""
        parts = []
        for run in self.documents:
            path = Path(run) / name
            if path.exists():
                parts.append(read_frame(path, model).assign(run=run))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*model.model_fields, "run"])


def load_runs(folders: Sequence[Path], trusted: bool = False) -> Runs:
    """Read runs and put their rows together.

    Raises
    ------
    BenchError
        If a run is unreadable, or two runs have the same job with different figures.
    """
    documents: dict[str, dict[str, Any]] = {}
    frames: list[pd.DataFrame] = []
    for folder in folders:
        documents[str(folder)] = read_run_file(folder, trusted)
        rows = rd_frame(folder / RD_FILE, [name for name in COLUMNS if name not in _UNREAD])
        rows = rows.assign(evaluated=_evaluated(rows, documents[str(folder)]["conditions"]))
        rows = rows.assign(**_own_measures(folder, rows))
        frames.append(rows.assign(run=pd.Categorical([str(folder)]).repeat(len(rows))))
    table = _together(frames)
    if not table["job"].is_unique:
        _check_figures(table)
        # Where one run has a point that failed in another, the point counts.
        table = table.sort_values("status", key=lambda states: states != "ok", kind="stable").drop_duplicates("job")
        table = table.sort_index().reset_index(drop=True)
    return Runs(table.assign(label=derived(table, ["codec", "preset", "options"], codec_label)), documents)


def _own_measures(folder: Path, rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns of the measures that tasks brought, from measures.csv; empty where a row has none."""
    path = folder / MEASURES_FILE
    if not path.exists():
        return {}
    figures = read_frame(path, MeasureRow).drop_duplicates(["job", "measure"], keep="last")
    columns = {}
    for task in rows["task"].unique():
        jobs = rows["job"].where(rows["task"].eq(task))
        for measure, part in figures[figures["job"].isin(jobs)].groupby("measure"):
            columns[f"{task}{_OF_TASK}{measure}"] = jobs.map(part.set_index("job")["value"]).astype(float)
    return columns


def measures_in(table: pd.DataFrame) -> list[str]:
    """Columns of measures: those of every table, and those that its tasks brought."""
    return [*MEASURES, *(str(name) for name in table if _OF_TASK in str(name) and not str(name).endswith("_count"))]


def _evaluated(rows: pd.DataFrame, cards: Mapping[str, dict[str, Any]]) -> pd.Series:
    """The instants that each row's quality is of; rows of version 1 have them on their cards."""

    def stated(evaluated: str, condition: str) -> str:
        on_card = cards.get(condition, {}).get("evaluated", "")
        if evaluated or on_card in ("instants with a truth", "none"):
            return evaluated
        return on_card if isinstance(on_card, str) else " ".join(map(str, on_card))

    return derived(rows, ["evaluated", "condition"], stated)


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several runs, whose categories become those of all."""
    if len(frames) == 1:
        return frames[0]
    columns = {}
    for name in dict.fromkeys(column for frame in frames for column in frame):
        # Measures that only some runs' tasks brought are missing in the others.
        parts = [frame[name] if name in frame else pd.Series(np.nan, frame.index) for frame in frames]
        if parts[0].dtype == "category":
            columns[name] = pd.Series(pd.api.types.union_categoricals(parts, sort_categories=True))
        else:
            columns[name] = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns)


def _check_figures(table: pd.DataFrame) -> None:
    """Refuse two runs that have the same job with different figures."""
    figures = ["bits", "psnr", "decoded_sha256", *measures_in(table)[len(MEASURES) :]]
    done = table.loc[table["status"].eq("ok"), ["job", "run", *figures]]
    again = done[done["job"].duplicated()]
    first = done.drop_duplicates("job").set_index("job").loc[again["job"], figures].set_axis(again.index)
    differ = again[figures].ne(first) & ~(again[figures].isna() & first.isna())
    for row in again[differ.any(axis=1)].to_dict("records"):
        raise BenchError(f"job {row['job']} has different figures in {row['run']} and in another of the runs")


def derived(table: pd.DataFrame, columns: list[str], make: Callable[..., str]) -> pd.Series:
    """A column of texts that others make: computed once for each combination of their values, as categories."""
    numbers = table.groupby(columns, sort=False, dropna=False).ngroup()
    texts = [make(*values) for values in table[~numbers.duplicated()][columns].itertuples(index=False)]
    names = sorted(set(texts))
    places = np.array([names.index(text) for text in texts], np.int64)
    return pd.Series(pd.Categorical.from_codes(places[numbers.to_numpy()], names), table.index)


def codec_label(codec: str, preset: str, options: str) -> str:
    """How a report names a codec: always with its preset, then its other options."""
    others = [item for item in options.split(",") if item and not item.startswith("preset=")]
    inside = ", ".join([*([preset] if preset else []), *others])
    return f"{codec} ({inside})" if inside else codec


_NAMED = ["dataset", "paradigm", "label", "seed", "extractor", "analyzer", "condition"]


def curve_names(table: pd.DataFrame) -> pd.Series:
    """One name per row's curve, with as much of chain and condition as is needed to tell a dataset's curves apart."""
    if table.empty:
        return pd.Series(dtype=str)
    numbers = table.groupby(_NAMED, sort=False, dropna=False).ngroup()
    curves = _plain(table.loc[~numbers.duplicated(), _NAMED])
    names = pd.concat([_names(part) for _, part in curves.groupby("dataset", sort=False)]).reindex(curves.index)
    return names.iloc[numbers].set_axis(table.index)


def _names(table: pd.DataFrame) -> pd.Series:
    names = table["paradigm"].str.upper() + " " + table["label"]
    if table["seed"].nunique() > 1:
        names += " seed " + table["seed"].astype(str)
    chain = table["extractor"] + "+" + table["analyzer"]
    if chain.nunique() > 1:
        names += " [" + chain + "]"
    if table.groupby(["extractor", "analyzer"])["condition"].nunique().max() > 1:
        names += " {" + table["condition"] + "}"
    return names


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """A small table with texts for categories."""
    return table.astype(dict.fromkeys(table.select_dtypes("category"), str))


def made_by(document: dict[str, Any]) -> str:
    """What made a run, from its run.json."""
    made = document["provenance"][-1]
    return f"suite {made['suite']}, commit {made['git_commit'][:12] or 'unknown'}, {made['processor']}"


def missing_points(table: pd.DataFrame) -> pd.DataFrame:
    """What was not measured: one line for each reason, with how many rows have it."""
    rest = table[table["status"] != "ok"]
    counts = rest.groupby(["status", "dataset", "paradigm", "codec", "reason"], sort=False).size()
    lines = [
        {"what": f"{paradigm.upper()} {codec} on {dataset}: {count} rows {status}", "reason": reason}
        for (status, dataset, paradigm, codec, reason), count in counts.items()
    ]
    return pd.DataFrame(lines, columns=["what", "reason"])


def per_sequence(table: pd.DataFrame) -> pd.DataFrame:
    """One line per curve, rate point and sequence: the mean over its segments, which are equally long.

    A sequence of which a segment is missing at some point is left out there: its mean would be of other spikes.
    Quality is a mean over those segments that have a truth, as a segment's is over those instants.

    ``first`` is the index of the line's first row, ``evaluated`` that row's instants, ``capped_frames`` a sum.
    """
    done = table[table["status"] == "ok"]
    segments = table.groupby([*CURVE, "sequence"], dropna=False)["segment"].nunique()
    keys = [*CURVE, "sequence", "rate_point"]
    numbers = done.groupby(keys, sort=False, dropna=False).ngroup()
    firsts = done.loc[~numbers.duplicated(), [*keys, "codec", "speed_class", "evaluated"]]
    columns = measures_in(table)
    groups = done[[*columns, "segment", "capped_frames"]].groupby(numbers.to_numpy())
    means = pd.concat([_plain(firsts).reset_index(names="first"), groups[columns].mean()], axis=1)
    means["capped_frames"] = groups["capped_frames"].sum()
    means["segments"] = groups["segment"].nunique()
    wanted = segments.reindex(pd.MultiIndex.from_frame(means[[*CURVE, "sequence"]])).to_numpy()
    return means[means["segments"].to_numpy() == wanted]


def average(table: pd.DataFrame) -> pd.DataFrame:
    """One line per curve and rate point: means over sequences (each already a mean over instants).

    ``sequences`` counts them; lines are in the order of rising bpp within a curve. A measure that only some of them
    have (recordings without a truth, pictures too small for MS-SSIM) is a mean over these: ``psnr_count`` and so on.
    """
    return mean_points(per_sequence(table))


def printed_mean(line: Mapping[Hashable, Any], measure: str, digits: int) -> str:
    """A mean of `average` as tables print it: empty where there is none, with its count where sequences lack it."""
    if pd.isna(line[measure]):
        return ""
    return of_count(f"{line[measure]:.{digits}f}", line[f"{measure}_count"], line["sequences"])


def of_count(text: str, count: int, whole: int) -> str:
    """A mean's text; where it is over fewer than the whole, it says so."""
    return text if count == whole else f"{text} [{count} of {whole}]"


def judged(points: pd.DataFrame, quality: str = "psnr") -> pd.DataFrame:
    """The points that have a quality: rate and quality of a curve's mean are then of the same sequences."""
    return points[points[quality].notna()]


def sequence_range(means: pd.DataFrame) -> str:
    """Over how many sequences the points of a mean curve are."""
    least, most = means["sequences"].min(), means["sequences"].max()
    return str(most) if least == most else f"{least} to {most}"


def mean_points(points: pd.DataFrame) -> pd.DataFrame:
    """As `average`, of the points of sequences that `per_sequence` gives."""
    groups = points.groupby([*CURVE, "rate_point"], sort=False, dropna=False)
    columns = measures_in(points)
    means = groups[columns].mean().join(groups[columns].count().add_suffix("_count"))
    means.insert(0, "sequences", groups.size())
    means["capped_frames"] = groups["capped_frames"].sum()
    return means.reset_index().sort_values([*CURVE, "bpp"], kind="stable").reset_index(drop=True)
