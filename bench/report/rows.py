"""The rows of one or more runs as one table, and the averages from which all tables and figures are built."""

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

# Rows that agree in all these columns are points of one curve. The condition card is among the columns, so points that
# were measured under different cards never share a curve.
CURVE = ["dataset", "task", "extractor", "analyzer", "condition", "paradigm", "label", "seed"]
# Columns of rd.csv that no report uses, and that are therefore not loaded.
_UNUSED = {
    "schema_version", "chroma", "height", "width", "num_spikes", "num_frames", "estimated_bits", "encode_spread",
    "decode_spread",
}  # fmt: skip
MEASURES = [measure.name for measure in measures.MEASURES]
# Separator in the column name of a measure that a task defines itself: the task's name, this text, the measure's name.
_SEPARATOR = ": "


@dataclass(frozen=True)
class Runs:
    """The input of a report: the rows of one or more runs, and each run's run.json.

    Attributes
    ----------
    table
        All rows, one line each, with the columns of rd.csv that reports use, ``label`` (codec and preset), ``run`` (the
        run's folder) and a column for each measure that a task defines itself. Text columns with many repeated values
        are categoricals with sorted categories: grouping and selecting then compare small integers.
    documents
        The content of each run's run.json, by the run's folder.
    """

    table: pd.DataFrame
    documents: dict[str, dict[str, Any]]

    @cached_property
    def compared(self) -> Runs:
        """The rows that codecs are compared by: no ablation variants of the paper's model, no lossless features."""
        variant = self.table["extractor"].str.contains("ablation=") | self.table["analyzer"].str.contains("ablation=")
        return Runs(self.table[~variant & ~self._is_lossless].reset_index(drop=True), self.documents)

    @property
    def uncompressed(self) -> pd.DataFrame:
        """Measured rows whose features were sent losslessly: the quality that extraction and analysis alone reach."""
        return self.table[self._is_lossless & self.table["status"].eq("ok")]

    def command(self, mask: pd.Series) -> str:
        """The shell commands that measure the selected rows again, joined by ``&&``: one for each curve of each run.

        Parameters
        ----------
        mask
            Booleans, one for each row of `table`. Selected rows that were not measured (status not ``ok``) are skipped.
        """
        places = np.flatnonzero(mask.to_numpy() & self._is_measured)
        curves = self._curve_numbers[places]
        commands = []
        for curve in pd.unique(curves):
            rows = self.table.iloc[places[curves == curve]]
            row = rows.iloc[0]
            rates, sequences = rows["rate_point"].unique(), rows["sequence"].unique()
            commands.append(command_for(row, self.documents[row["run"]], rates, sequences))
        return " && ".join(commands)

    def commands(self, rows: pd.DataFrame) -> tuple[list[tuple[str, str]], np.ndarray]:
        """The commands that measure rows again, each in two parts: the text before and after rate point and sequence.

        Parameters
        ----------
        rows
            Rows of `table`, with its index.

        Returns
        -------
        The pairs of texts, one for each curve of each run, and for each row the index of its pair.
        """
        numbers, places = np.unique(self._curve_numbers[rows.index], return_index=True)
        pairs = [command_around(row, self.documents[row["run"]]) for row in (rows.iloc[place] for place in places)]
        return pairs, np.searchsorted(numbers, self._curve_numbers[rows.index])

    def curve(self, line: Mapping[Hashable, Any]) -> pd.Series:
        """Mask over `table`: the rows of one curve. `line` names the curve by the columns in `CURVE`."""
        numbers = self._numbers_by_curve.get(tuple(line[name] for name in CURVE), [])
        return pd.Series(np.isin(self._curve_numbers, numbers), self.table.index)

    def point(self, line: Mapping[Hashable, Any]) -> pd.Series:
        """Mask over `table`: the rows of one rate point of one curve. `line` names both by its columns."""
        return self.curve(line) & self.table["rate_point"].eq(line["rate_point"])

    @cached_property
    def points(self) -> pd.DataFrame:
        """All rows, averaged over the segments of each sequence (`per_sequence`)."""
        return per_sequence(self.table)

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """All measures by the names of their columns; those that tasks define themselves come last."""
        common = {measure.name: measure for measure in measures.MEASURES}
        task_measures = {
            f"{task}{_SEPARATOR}{entry['name']}": Measure(**entry)
            for document in self.documents.values()
            for task, entries in document["measures"].items()
            for entry in entries
        }
        return common | {name: measure for name, measure in task_measures.items() if name in self.table}

    @property
    def qualities(self) -> list[str]:
        """Columns of the measures that RD curves are drawn over and BD-rates computed from."""
        return [name for name, measure in self.measures.items() if measure.quality]

    def measure_title(self, column: str) -> str:
        """A measure's heading and unit, after the task's name where the task defines the measure itself."""
        task = column.split(_SEPARATOR, maxsplit=1)[0] + _SEPARATOR if _SEPARATOR in column else ""
        return task + self.measures[column].title

    @cached_property
    def _is_measured(self) -> np.ndarray:
        return np.asarray(self.table["status"].eq("ok"))

    @cached_property
    def _curve_numbers(self) -> np.ndarray:
        """For each row a number: rows of the same run and the same curve have the same one."""
        return self.table.groupby(["run", *CURVE], sort=False, dropna=False).ngroup().to_numpy()

    @cached_property
    def _numbers_by_curve(self) -> dict[tuple[Any, ...], list[int]]:
        """By the values of `CURVE`, the numbers of a curve in `_curve_numbers`: one for each run that holds it."""
        numbers: dict[tuple[Any, ...], list[int]] = {}
        firsts = ~pd.Series(self._curve_numbers).duplicated().to_numpy()
        lines = self.table.loc[firsts, CURVE].itertuples(index=False, name=None)
        for line, number in zip(lines, self._curve_numbers[firsts], strict=True):
            numbers.setdefault(line, []).append(number)
        return numbers

    @property
    def _is_lossless(self) -> pd.Series:
        """Rows of CAAS whose features were sent without loss."""
        return self.table["rate_point"].eq("lossless") & self.table["paradigm"].eq("caas")

    def beside(self, name: str, model: type[BaseModel]) -> pd.DataFrame:
        """The rows of another results file of the runs, such as iqa.csv, which lies next to rd.csv.

        Parameters
        ----------
        name
            The file's name. Runs without the file are skipped; where no run has it, the result is empty.
        model
            What a row of the file is.

        Returns
        -------
        pandas.DataFrame
            The model's columns, and ``run``, the folder of the row's run.
        """
        parts = []
        for run in self.documents:
            path = Path(run) / name
            if path.exists():
                parts.append(read_frame(path, model).assign(run=run))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*model.model_fields, "run"])


def load_runs(folders: Sequence[Path], trusted: bool = False) -> Runs:
    """Read the results of runs and join their rows.

    A job that several runs have gives one row, a measured one if there is any.

    Parameters
    ----------
    folders
        The runs' folders.
    trusted
        See `bench.results.document.read_run_file`.

    Raises
    ------
    BenchError
        If a run is unreadable, or two runs have different figures for the same job.
    """
    documents: dict[str, dict[str, Any]] = {}
    frames: list[pd.DataFrame] = []
    for folder in folders:
        documents[str(folder)] = read_run_file(folder, trusted)
        rows = rd_frame(folder / RD_FILE, [name for name in COLUMNS if name not in _UNUSED])
        rows = rows.assign(evaluated=_evaluated(rows, documents[str(folder)]["conditions"]))
        rows = rows.assign(**_own_measures(folder, rows))
        frames.append(rows.assign(run=pd.Categorical([str(folder)]).repeat(len(rows))))
    table = _concatenated(frames)
    if not table["job"].is_unique:
        _check_figures(table)
        # A point that failed in one run and was measured in another counts as measured.
        table = table.sort_values("status", key=lambda states: states != "ok", kind="stable").drop_duplicates("job")
        table = table.sort_index().reset_index(drop=True)
    return Runs(table.assign(label=derived(table, ["codec", "preset", "options"], codec_label)), documents)


def _own_measures(folder: Path, rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns of the measures that tasks define themselves, from measures.csv; NaN where a row has no figure."""
    path = folder / MEASURES_FILE
    if not path.exists():
        return {}
    figures = read_frame(path, MeasureRow).drop_duplicates(["job", "measure"], keep="last")
    columns = {}
    for task in rows["task"].unique():
        jobs = rows["job"].where(rows["task"].eq(task))
        for measure, part in figures[figures["job"].isin(jobs)].groupby("measure"):
            columns[f"{task}{_SEPARATOR}{measure}"] = jobs.map(part.set_index("job")["value"]).astype(float)
    return columns


def measures_in(table: pd.DataFrame) -> list[str]:
    """Names of the measures' columns: those of every table, then those that this table has from its tasks."""
    return [*MEASURES, *(str(name) for name in table if _SEPARATOR in str(name))]


def _evaluated(rows: pd.DataFrame, cards: Mapping[str, dict[str, Any]]) -> pd.Series:
    """The instants that each row was evaluated at; for rows of version 1 they are stated on the condition card."""

    def instants(evaluated: str, condition: str) -> str:
        on_card = cards.get(condition, {}).get("evaluated", "")
        if evaluated or on_card in ("instants with a truth", "none"):
            return evaluated
        return on_card if isinstance(on_card, str) else " ".join(map(str, on_card))

    return derived(rows, ["evaluated", "condition"], instants)


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several runs in one table; a categorical column gets the categories of all runs."""
    if len(frames) == 1:
        return frames[0]
    columns = {}
    for name in dict.fromkeys(column for frame in frames for column in frame):
        # A measure that the tasks of only some runs define is missing in the other runs.
        parts = [frame[name] if name in frame else pd.Series(np.nan, frame.index) for frame in frames]
        if parts[0].dtype == "category":
            columns[name] = pd.Series(pd.api.types.union_categoricals(parts, sort_categories=True))
        else:
            columns[name] = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns)


def _check_figures(table: pd.DataFrame) -> None:
    """Refuse runs that have different figures for the same job."""
    figures = ["bits", "psnr", "decoded_sha256", *measures_in(table)[len(MEASURES) :]]
    rows = table.loc[table["status"].eq("ok"), ["job", "run", *figures]]
    repeats = rows[rows["job"].duplicated()]
    first = rows.drop_duplicates("job").set_index("job").loc[repeats["job"], figures].set_axis(repeats.index)
    differ = repeats[figures].ne(first) & ~(repeats[figures].isna() & first.isna())
    for row in repeats[differ.any(axis=1)].to_dict("records"):
        raise BenchError(f"job {row['job']} has different figures in {row['run']} and in another of the runs")


def derived(table: pd.DataFrame, columns: list[str], make: Callable[..., str]) -> pd.Series:
    """A categorical text column that `make` computes from other columns, called once for each combination of values."""
    numbers = table.groupby(columns, sort=False, dropna=False).ngroup()
    texts = [make(*values) for values in table[~numbers.duplicated()][columns].itertuples(index=False)]
    names = sorted(set(texts))
    places = np.array([names.index(text) for text in texts], np.int64)
    return pd.Series(pd.Categorical.from_codes(places[numbers.to_numpy()], names), table.index)


def codec_label(codec: str, preset: str, options: str) -> str:
    """A codec's name in reports, such as ``vvenc (slow, threads=2)``: with its preset, then its other options."""
    others = [item for item in options.split(",") if item and not item.startswith("preset=")]
    inside = ", ".join([*([preset] if preset else []), *others])
    return f"{codec} ({inside})" if inside else codec


# Columns that tell curves apart in `curve_names`.
_NAME_COLUMNS = ["dataset", "paradigm", "label", "seed", "extractor", "analyzer", "condition"]


def curve_names(table: pd.DataFrame) -> pd.Series:
    """The name of each row's curve: paradigm, codec, and seed, chain and condition where a dataset has several."""
    if table.empty:
        return pd.Series(dtype=str)
    numbers = table.groupby(_NAME_COLUMNS, sort=False, dropna=False).ngroup()
    curves = _plain(table.loc[~numbers.duplicated(), _NAME_COLUMNS])
    names = pd.concat([_names(part) for _, part in curves.groupby("dataset", sort=False)]).reindex(curves.index)
    return names.iloc[numbers].set_axis(table.index)


def _names(table: pd.DataFrame) -> pd.Series:
    """Names of the curves of one dataset."""
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
    """A small table whose categorical columns are turned into texts."""
    return table.astype(dict.fromkeys(table.select_dtypes("category"), str))


def made_by(document: dict[str, Any]) -> str:
    """The suite's version, its commit and the processor that made a run, in one line, from its run.json."""
    facts = document["provenance"][-1]
    return f"suite {facts['suite']}, {commit_of(document)}, {facts['processor']}"


def commit_of(document: dict[str, Any]) -> str:
    """The suite's commit that made a run, in words."""
    return f"commit {document['provenance'][-1]['git_commit'][:12] or 'unknown'}"


def missing_points(table: pd.DataFrame) -> pd.DataFrame:
    """What was not measured (``what``, with the number of rows) and why (``reason``): one line for each reason."""
    rest = table[table["status"] != "ok"]
    counts = rest.groupby(["status", "dataset", "paradigm", "codec", "reason"], sort=False).size()
    lines = [
        {"what": f"{paradigm.upper()} {codec} on {dataset}: {count} rows {status}", "reason": reason}
        for (status, dataset, paradigm, codec, reason), count in counts.items()
    ]
    return pd.DataFrame(lines, columns=["what", "reason"])


def per_sequence(table: pd.DataFrame) -> pd.DataFrame:
    """One line per curve, rate point and sequence: the mean over the sequence's segments, which are equally long.

    Where a segment of a sequence was not measured at a rate point, the sequence has no line there: its mean would
    cover fewer spikes than at the other points. Quality is averaged over the segments that have a truth, just as the
    quality of a segment is averaged over the instants that have one.

    Three columns are no means: ``first`` is the index of the line's first row in `table`, ``evaluated`` holds the
    evaluated instants of that row, and ``capped_frames`` is a sum.
    """
    rows = table[table["status"] == "ok"]
    segments = table.groupby([*CURVE, "sequence"], dropna=False)["segment"].nunique()
    keys = [*CURVE, "sequence", "rate_point"]
    numbers = rows.groupby(keys, sort=False, dropna=False).ngroup()
    firsts = rows.loc[~numbers.duplicated(), [*keys, "codec", "speed_class", "evaluated"]]
    columns = measures_in(table)
    groups = rows[[*columns, "segment", "capped_frames"]].groupby(numbers.to_numpy())
    means = pd.concat([_plain(firsts).reset_index(names="first"), groups[columns].mean()], axis=1)
    means["capped_frames"] = groups["capped_frames"].sum()
    means["segments"] = groups["segment"].nunique()
    totals = segments.reindex(pd.MultiIndex.from_frame(means[[*CURVE, "sequence"]])).to_numpy()
    return means[means["segments"].to_numpy() == totals]


def average(table: pd.DataFrame) -> pd.DataFrame:
    """One line per curve and rate point, by rising bpp within a curve: means over sequences.

    ``sequences`` is the number of sequences. A measure that only some of them have (recordings without a truth,
    pictures too small for MS-SSIM) is a mean over those; ``psnr_count`` and so on give their number.
    """
    return mean_points(per_sequence(table))


def printed_mean(line: Mapping[Hashable, Any], measure: str, digits: int) -> str:
    """A mean of `average` as tables print it: empty where there is none, with the count where sequences lack it."""
    if pd.isna(line[measure]):
        return ""
    return of_count(f"{line[measure]:.{digits}f}", line[f"{measure}_count"], line["sequences"])


def of_count(text: str, count: int, whole: int) -> str:
    """The text of a mean; where only `count` of `whole` items have a value, both numbers follow in brackets."""
    return text if count == whole else f"{text} [{count} of {whole}]"


def judged(points: pd.DataFrame, quality: str = "psnr") -> pd.DataFrame:
    """The points that have a quality. A mean curve of them averages rate and quality over the same sequences."""
    return points[points[quality].notna()]


def sequence_range(means: pd.DataFrame) -> str:
    """The number of sequences behind the points of a mean curve, as text: one number, or the least and the most."""
    least, most = means["sequences"].min(), means["sequences"].max()
    return str(most) if least == most else f"{least} to {most}"


def mean_points(points: pd.DataFrame) -> pd.DataFrame:
    """As `average`, from the lines of `per_sequence` instead of single rows."""
    groups = points.groupby([*CURVE, "rate_point"], sort=False, dropna=False)
    columns = measures_in(points)
    means = groups[columns].mean().join(groups[columns].count().add_suffix("_count"))
    means.insert(0, "sequences", groups.size())
    means["capped_frames"] = groups["capped_frames"].sum()
    return means.reset_index().sort_values([*CURVE, "bpp"], kind="stable").reset_index(drop=True)
