"""rd.csv, with one row per job, and the tables that lie next to it: their columns, and how they are written and read.

The descriptions of the columns are repeated in docs/results.md; a test compares both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.errors import BenchError
from bench.files import disk_errors, write_atomic
from bench.interfaces.measure import MEASURE_NAME
from bench.results.tables import JobId, TableRow, header, read_table, read_text, row_line, whole_lines, write_table

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Literal[2] = 2
RD_FILE = "rd.csv"
CLASSES_FILE = "classification.csv"
MEASURES_FILE = "measures.csv"
RUN_FILE = "run.json"
STREAMS = "streams"

Number = float | None


class RDRow(TableRow):
    """One row of rd.csv: one job. An empty cell means that there is no such value; it never stands for zero."""

    later: ClassVar[Mapping[str, int]] = {"evaluated": 2, "psnr_of_mse": 2, "capped_frames": 2}

    schema_version: Literal[1, 2] = Field(description="Version of this table; 2.")  # type: ignore[assignment]
    job: JobId = Field(description="Twelve hex digits that name the job; `bench explain` takes it.")
    dataset: str = Field(description="Dataset with its non-default options.")
    sequence: str = Field(description="Sequence within the dataset.")
    speed_class: Literal["", "low", "high"] = Field(description="low or high; empty where unknown.")
    segment: int = Field(description="Index of the segment's first spike frame in the recording.")
    task: str = Field(description="What the result is for: reconstruction, say.")
    paradigm: str = Field(description="cta, atc or caas.")
    extractor: str = Field(description="Extractor with its non-default options.")
    analyzer: str = Field(description="Analyzer with its non-default options.")
    codec: str = Field(description="Bare name of the codec.")
    options: str = Field(description="Options of the codec that differ from their defaults.")
    preset: str = Field(description="The codec's preset; empty where it has none.")
    codec_version: str = Field(description="Version of what does the coding.")
    codec_sha256: str = Field(description="SHA-256 of the external binaries; empty where there are none.")
    weights_sha256: str = Field(description="SHA-256 of learned weights; empty where there are none.")
    chroma: str = Field(description="How luma-only content was coded: 400, or 420 neutral; empty for spike codecs.")
    rate_point: str = Field(description="The codec's rate point (a QP, say).")
    condition: str = Field(description="Hash of the condition card; the card is in run.json.")
    height: int = Field(description="H, pixels.")
    width: int = Field(description="W, pixels.")
    num_spikes: int = Field(description="T, spike frames in the segment.")
    num_frames: int = Field(description="K, coding instants in the segment.")
    evaluated: str = Field(
        default="", description="Instants k with a truth, which quality is a mean over: all, or their numbers."
    )
    bits: int | None = Field(default=None, description="8 x size of the file that crosses the link, header included.")
    estimated_bits: Number = Field(default=None, description="A learned codec's own likelihood estimate, bits.")
    bpp: Number = Field(default=None, description="bits / (T*H*W): bits per spike; raw spikes cost 1.")
    bpf: Number = Field(default=None, description="bits / (K*H*W): bits per coded frame pixel.")
    psnr: Number = Field(default=None, description="dB, peak 1, mean over the evaluated instants, each 60 at most.")
    psnr_of_mse: Number = Field(default=None, description="PSNR of the evaluated instants' mean MSE, dB, 60 at most.")
    capped_frames: int | None = Field(
        default=None, description="Evaluated instants that count as 60 dB: they equal their truth, or nearly."
    )
    ssim: Number = Field(default=None, description="SSIM, mean over the evaluated instants.")
    ms_ssim: Number = Field(default=None, description="MS-SSIM; empty below 176 pixels a side.")
    accuracy: Number = Field(default=None, description="Classification: 1 where the predicted class is true, else 0.")
    spike_error: Number = Field(default=None, description="CTA: share of wrong spikes.")
    rate_error: Number = Field(default=None, description="CTA: mean absolute firing-rate error, spikes per frame.")
    decoded_sha256: str = Field(default="", description="SHA-256 of the frames that the decoding process decoded.")
    encode_seconds: Number = Field(default=None, description="Median of the exclusive timing lane (--timing).")
    encode_spread: Number = Field(default=None, description="Its median absolute deviation, seconds.")
    decode_seconds: Number = Field(default=None, description="Median of the exclusive timing lane (--timing).")
    decode_spread: Number = Field(default=None, description="Its median absolute deviation, seconds.")
    status: Literal["ok", "failed", "skipped"] = Field(description="ok, failed or skipped.")
    reason: str = Field(default="", description="Why a point failed or was skipped.")
    seed: int = Field(description="Seed of the run.")


COLUMNS = tuple(RDRow.model_fields)
# Measures that any task may return: columns of rd.csv, and the last three of classification.csv.
MEASURES = (
    "psnr", "psnr_of_mse", "capped_frames", "ssim", "ms_ssim", "accuracy", "label", "predicted", "probabilities",
)  # fmt: skip
# Text columns with few different values, which tables in memory hold as categoricals.
REPEATED = (
    "dataset", "sequence", "speed_class", "task", "paradigm", "extractor", "analyzer", "codec", "options", "preset",
    "codec_version", "codec_sha256", "weights_sha256", "chroma", "rate_point", "condition", "evaluated", "status",
    "reason",
)  # fmt: skip


class ClassRow(TableRow):
    """One row of classification.csv: a classifier's answer for one job's sequence."""

    job: JobId = Field(description="The row of rd.csv.")
    label: int = Field(ge=0, description="Index of the true class.")
    predicted: int = Field(ge=0, description="Index of the most probable class.")
    probabilities: str = Field(description="Probability of each class, with blanks between.")


class MeasureRow(TableRow):
    """One row of measures.csv: a job's figure of one measure that its task defines itself (`Task.measures`)."""

    job: JobId = Field(description="The row of rd.csv.")
    measure: str = Field(pattern=MEASURE_NAME, description="Name of the measure; run.json has the rest.")
    value: float = Field(allow_inf_nan=False, description="The figure.")


def codec_spec(codec: str, options: str) -> str:
    """The spec of a codec, ``codec:options``, from the two parts that rows and streams state."""
    return f"{codec}:{options}" if options else codec


def write_rows(path: Path, rows: Iterable[RDRow]) -> None:
    """Write the whole rd.csv; an existing file is replaced.

    Raises
    ------
    FatalError
        If the disk is full or refuses the file.
    """
    write_table(path, RDRow, rows)


class RowLog:
    """A table that grows while a run goes on: each row is appended and flushed as soon as it is measured.

    Opening the file again removes an unfinished last line, which a killed run may leave.

    Parameters
    ----------
    path
        The CSV file; it is created with its header if need be.
    model
        What a row of the table is.

    Raises
    ------
    FatalError
        If the disk is full or refuses the file, also from `append`.
    """

    def __init__(self, path: Path, model: type[TableRow] = RDRow) -> None:
        self.path = path
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_bytes() if path.exists() else b""
            whole = text[: text.rfind(b"\n") + 1] or header(model).encode()
            if whole != text:
                write_atomic(path, whole)

    def append(self, row: TableRow) -> None:
        """Append a row; if writing fails, the file is left as it was."""
        with disk_errors(self.path.parent), self.path.open("a", encoding="utf-8", newline="") as file:
            before = file.tell()
            try:
                file.write(row_line(row))
                file.flush()
            except OSError:
                file.truncate(before)
                raise


def read_rows(path: Path) -> list[RDRow]:
    """Read and check rd.csv. A last line without a line end, which a killed run may leave, is ignored.

    Raises
    ------
    BenchError
        If the file is missing, its columns are not those of rd.csv, a cell is wrong, or two rows of the same job
        differ; the message names the line.
    """
    rows: dict[str, RDRow] = {}
    for line, row in read_table(path, RDRow):
        if row.job in rows and rows[row.job] != row:
            raise BenchError(f"{path}, line {line}: job {row.job} stands twice with different values")
        rows[row.job] = row
    return list(rows.values())


def rd_frame(path: Path, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Read and check rd.csv as a data frame with one line for each job; the columns of `REPEATED` are categoricals.

    Parameters
    ----------
    columns
        The columns to return; all by default.

    Raises
    ------
    BenchError
        As `read_rows`.
    """
    from bench.results.dataframes import read_frame

    frame = read_frame(path, RDRow, list(dict.fromkeys(["job", *columns])), REPEATED)
    if frame["job"].is_unique:
        return frame[list(columns)]
    whole = read_frame(path, RDRow, repeated=REPEATED).drop_duplicates(ignore_index=True)
    if not whole["job"].is_unique:
        read_rows(path)  # raises with the number of the line that differs
    return whole[list(columns)]


def order_rows(path: Path, jobs: Iterable[str], keys: int = 1) -> None:
    """Rewrite a table so that it holds the rows of these jobs, in their order. The lines themselves stay as they are.

    The table's second column must be the job. Of several rows with the same key, the last one is kept; a job without a
    row is skipped.

    Parameters
    ----------
    keys
        Number of columns, from the job on, that form the key of a row.

    Raises
    ------
    BenchError
        If the table is missing.
    """
    lines = _records(whole_lines(read_text(path)))
    head = next(lines, b"")
    rows: dict[bytes, dict[tuple[bytes, ...], bytes]] = {}
    for line in lines:
        key = tuple(line.split(b",", 1 + keys)[1 : 1 + keys])
        rows.setdefault(key[0], {})[key] = line
    ordered = itertools.chain.from_iterable(rows.get(job.encode(), {}).values() for job in jobs)
    with disk_errors(path.parent):
        write_atomic(path, b"".join([head, *ordered]))


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a CSV file: a line that ends within quotes is continued by the next one."""
    record = b""
    for line in data.splitlines(keepends=True):
        record += line
        if record.count(b'"') % 2 == 0:
            yield record
            record = b""


def read_classes(path: Path) -> dict[str, ClassRow]:
    """Read and check classification.csv: rows by job; empty where there is no such file.

    Raises
    ------
    BenchError
        If its columns are not those of `ClassRow`, or a cell is wrong.
    """
    return {row.job: row for _, row in read_table(path, ClassRow)} if path.exists() else {}


def measured_jobs(path: Path) -> set[str]:
    """The jobs that have figures in measures.csv; empty where there is no such file.

    Raises
    ------
    BenchError
        If its columns are not those of `MeasureRow`, or a cell is wrong.
    """
    return {row.job for _, row in read_table(path, MeasureRow)} if path.exists() else set()
