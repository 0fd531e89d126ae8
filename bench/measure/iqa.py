"""``bench iqa``: no-reference scores of the pictures that a run keeps, written to iqa.csv in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.errors import BenchError
from bench.metrics.iqa import METRICS, load_metric
from bench.results.document import picture_path, read_run_file, stream_path
from bench.results.rows import RD_FILE, STREAMS, rd_frame
from bench.results.tables import JobId, TableRow, read_table, write_table

IQA_FILE = "iqa.csv"
SCHEMA = 1


class IqaRow(TableRow):
    """One row of iqa.csv: the score of one job's picture by one metric."""

    job: JobId = Field(description="The row of rd.csv whose picture it is: the result at the middle evaluated instant.")
    metric: Literal["niqe", "brisque", "musiq", "ilniqe", "pi", "dbcnn", "cnniqa"] = Field(
        description="niqe, brisque, musiq, ilniqe, pi, dbcnn or cnniqa."
    )
    value: float | None = Field(default=None, description="The score; empty where there is none.")
    implementation: str = Field(default="", description="Package and version that computed it.")
    weights_sha256: str = Field(default="", description="SHA-256 of its parameters or weights.")
    status: Literal["ok", "failed", "skipped"] = Field(description="ok, failed or skipped.")
    reason: str = Field(default="", description="Why there is no score.")


def score_run(folder: Path, metrics: Sequence[str], progress: Callable[[int, int, str], None]) -> list[IqaRow]:
    """Score every picture of a run by every metric and write iqa.csv; rows of other metrics in that file are kept.

    Parameters
    ----------
    folder
        The run's folder.
    metrics
        Names of metrics, see `METRICS`.
    progress
        Called with the number of finished pictures, the number of all pictures and the metric.

    Returns
    -------
    The rows of these metrics. A metric that cannot be loaded, or fails on a picture, has rows with the reason.

    Raises
    ------
    BenchError
        If the run is unreadable, a metric is unknown, or the run has kept no pictures.
    """
    from bench.pictures import read_grey

    if unknown := [name for name in metrics if name not in METRICS]:
        raise BenchError(f"no metric '{unknown[0]}' (there are: {', '.join(METRICS)})")
    read_run_file(folder)
    measured = rd_frame(folder / RD_FILE, ["job", "status"]).query("status == 'ok'")["job"]
    jobs = [job for job in measured if picture_path(folder, job).exists()]
    if not jobs:
        raise BenchError(f"{folder}: no pictures to score: {_why_no_pictures(folder, list(measured))}")
    rows: list[IqaRow] = []
    for metric in metrics:
        try:
            scorer = load_metric(metric)
        except BenchError as error:
            rows += [_row(job, metric, status="skipped", reason=str(error)) for job in jobs]
            continue
        for done, job in enumerate(jobs, start=1):
            picture = read_grey(picture_path(folder, job))
            try:
                (value,) = scorer.scores([picture])
            except Exception as error:  # metrics raise anything, for pictures that are too small, say
                reason = " ".join(str(error).split())[:120]
                rows.append(_row(job, metric, status="failed", reason=f"{metric}: {reason}"))
            else:
                facts = {"implementation": scorer.implementation, "weights_sha256": scorer.weights_sha256}
                rows.append(_row(job, metric, value=value, status="ok", **facts))
            progress(done, len(jobs), metric)
    path = folder / IQA_FILE
    others = [row for _, row in read_table(path, IqaRow) if row.metric not in metrics] if path.exists() else []
    write_table(path, IqaRow, others + rows)
    return rows


def _why_no_pictures(folder: Path, jobs: Sequence[str]) -> str:
    """Why a run has no pictures of these measured jobs."""
    if not jobs:
        return "none of its points could be measured"
    if not any(stream_path(folder, job).exists() for job in jobs):
        return f"{STREAMS}/ is not there; a run keeps pictures where it was made, so run it again here"
    return "its results are classes, or were measured without a truth"


def _row(job: str, metric: str, **values: object) -> IqaRow:
    return IqaRow.model_validate({"schema_version": SCHEMA, "job": job, "metric": metric, **values})
