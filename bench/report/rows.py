"""Rows of one or more runs as one table, and the averages that every table and figure starts from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from bench.errors import BenchError
from bench.runner.explain import command_for
from bench.runner.results import RD_FILE, RDRow, read_rows
from bench.runner.run import read_run_file
from bench.runner.tables import read_table

# What makes rows one curve. The condition is among them: points of two cards never share a curve.
CURVE = ["dataset", "task", "extractor", "analyzer", "condition", "paradigm", "label", "seed"]
MEASURES = ["bpp", "bpf", "psnr", "ssim", "ms_ssim", "accuracy", "spike_error", "rate_error"]


@dataclass(frozen=True)
class Runs:
    """The runs that a report is made of.

    Attributes
    ----------
    table
        All rows, one line each, with the columns of rd.csv, ``label`` (codec and preset) and ``run``.
    documents
        Each run's run.json by folder.
    """

    table: pd.DataFrame
    documents: dict[str, dict[str, Any]]

    @property
    def compared(self) -> Runs:
        """The rows whose codecs are compared: all but variants of the paper's model and features kept whole."""
        chain = self.table["extractor"] + "+" + self.table["analyzer"]
        return Runs(self.table[~chain.str.contains("ablation=") & ~self._whole].reset_index(drop=True), self.documents)

    @property
    def uncompressed(self) -> pd.DataFrame:
        """Rows that say what extraction and analysis give without loss in between."""
        return self.table[self._whole & self.table["status"].eq("ok")]

    def command(self, chosen: pd.Series) -> str:
        """The shell commands that measure chosen rows again; runs and curves that differ get one each."""
        rows = self.table[chosen & self.table["status"].eq("ok")]
        parts = rows.groupby(["run", *CURVE], sort=False)
        return " && ".join(command_for(_typed(part), self.documents[str(run)]) for (run, *_), part in parts)

    def commands(self) -> dict[str, str]:
        """The command of each job that was measured."""
        done = self.table[self.table["status"].eq("ok")]
        return {
            row.job: command_for([row], self.documents[run]) for row, run in zip(_typed(done), done["run"], strict=True)
        }

    @property
    def _whole(self) -> pd.Series:
        return self.table["rate_point"].eq("lossless") & self.table["paradigm"].eq("caas")

    def beside(self, name: str, model: type[BaseModel]) -> pd.DataFrame:
        """The rows of a table that stands beside rd.csv, of all runs that have it, with their ``run``."""
        parts = []
        for run in self.documents:
            path = Path(run) / name
            if path.exists():
                rows = [row.model_dump() for _, row in read_table(path, model)]
                parts.append(pd.DataFrame(rows, columns=list(model.model_fields)).assign(run=run))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*model.model_fields, "run"])


def _typed(rows: pd.DataFrame) -> list[RDRow]:
    cells = rows[list(RDRow.model_fields)].astype(object)
    return [RDRow(**row) for row in cells.where(cells.notna(), None).to_dict("records")]


def load_runs(folders: Sequence[Path], trusted: bool = False) -> Runs:
    """Read runs and put their rows together.

    Raises
    ------
    BenchError
        If a run is unreadable, or two runs have the same job with different figures.
    """
    frames: list[pd.DataFrame] = []
    documents: dict[str, dict[str, Any]] = {}
    seen: dict[str, RDRow] = {}
    for folder in folders:
        documents[str(folder)] = read_run_file(folder, trusted)
        rows = read_rows(folder / RD_FILE)
        for row in rows:
            other = seen.setdefault(row.job, row) if row.status == "ok" else row
            if (other.bits, other.psnr, other.decoded_sha256) != (row.bits, row.psnr, row.decoded_sha256):
                raise BenchError(f"job {row.job} has different figures in {folder} and in another of the runs")
        frames.append(pd.DataFrame([row.model_dump() for row in rows], columns=list(RDRow.model_fields)))
        frames[-1]["run"] = str(folder)
    table = pd.concat(frames, ignore_index=True)
    # Where one run has a point that failed in another, the point counts.
    table = table.sort_values("status", key=lambda states: states != "ok", kind="stable").drop_duplicates("job")
    table = table.sort_index().reset_index(drop=True)
    table["label"] = [
        codec_label(*parts) for parts in zip(table["codec"], table["preset"], table["options"], strict=True)
    ]
    return Runs(table, documents)


def codec_label(codec: str, preset: str, options: str) -> str:
    """How a report names a codec: always with its preset, then its other options."""
    others = [item for item in options.split(",") if item and not item.startswith("preset=")]
    inside = ", ".join([*([preset] if preset else []), *others])
    return f"{codec} ({inside})" if inside else codec


def file_name(text: str) -> str:
    """A name for a file, with nothing in it that a shell or a file system would mind."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)


def curve_names(table: pd.DataFrame) -> pd.Series:
    """One name per row's curve, with as much of chain and condition as is needed to tell a dataset's curves apart."""
    if table.empty:
        return pd.Series(dtype=str)
    return pd.concat([_names(part) for _, part in table.groupby("dataset", sort=False)]).reindex(table.index)


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
    """
    done = table[table["status"] == "ok"]
    segments = table.groupby([*CURVE, "sequence"], dropna=False)["segment"].nunique()
    groups = done.groupby([*CURVE, "sequence", "rate_point"], sort=False, dropna=False)
    means = groups[MEASURES].mean()
    means["codec"] = groups["codec"].first()
    means["speed_class"] = groups["speed_class"].first()
    means["segments"] = groups["segment"].nunique()
    means = means.reset_index()
    wanted = segments.reindex(pd.MultiIndex.from_frame(means[[*CURVE, "sequence"]])).to_numpy()
    return means[means["segments"].to_numpy() == wanted]


def same_point(table: pd.DataFrame, line: Mapping[Hashable, Any]) -> pd.Series:
    """Which rows are of a line's curve and rate point."""
    return same_curve(table, line) & table["rate_point"].eq(line["rate_point"])


def same_curve(table: pd.DataFrame, line: Mapping[Hashable, Any]) -> pd.Series:
    """Which rows are of a line's curve."""
    return pd.Series(table[CURVE].eq([line[name] for name in CURVE]).all(axis=1))


def average(table: pd.DataFrame) -> pd.DataFrame:
    """One line per curve and rate point: means over sequences (each already a mean over instants).

    ``sequences`` counts them; lines are in the order of rising bpp within a curve.
    """
    groups = per_sequence(table).groupby([*CURVE, "rate_point"], sort=False, dropna=False)
    means = groups[MEASURES].mean()
    means.insert(0, "sequences", groups.size())
    return means.reset_index().sort_values([*CURVE, "bpp"], kind="stable").reset_index(drop=True)
