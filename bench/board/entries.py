"""The submissions in a folder: their rows, what was verified of them, and those that are on no board."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.board.contents import open_submission
from bench.board.manifest import Manifest
from bench.board.record import Record, read_record
from bench.errors import BenchError, one_line
from bench.fingerprint import digest, file_sha256
from bench.interfaces import Dataset, parse_spec
from bench.paths import listed
from bench.registry import component_class
from bench.report.rows import load_runs
from bench.results.document import origin
from bench.runner.store import Store

ARCHIVE, RECORD = ".zip", ".record.json"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Submission:
    """A submission that is on the boards.

    Attributes
    ----------
    number
        Its number on the site.
    archive, sha256
        The archive, and its hash.
    manifest, document
        Its manifest and run.json.
    record
        The record of its verification; None where there is none of this very archive.
    table
        Its rows as reports use them (`bench.report.rows.Runs.table`), with a column ``submission``, the number, and a
        column ``data``, which tells recordings of one name apart.
    """

    number: int
    archive: Path
    sha256: str
    manifest: Manifest
    document: dict[str, Any]
    record: Record | None
    table: pd.DataFrame


@dataclass(frozen=True)
class Refused:
    """A file that is on no board, and why."""

    file: str
    reason: str


def read_folder(folder: Path, store: Store) -> tuple[list[Submission], list[Refused]]:
    """Read all submissions of a folder, and the records of their verification.

    A file that is no submission, does not hold, or has a record that says so, is refused with the reason.

    Raises
    ------
    BenchError
        If the folder cannot be read, or has no archive.
    """
    files = listed(folder)
    records, refused = _records(path for path in files if path.name.endswith(RECORD))
    archives = [path for path in files if path.suffix.lower() == ARCHIVE]
    if not archives:
        raise BenchError(f"{folder} has no submission (a {ARCHIVE} file of `bench submit`)")
    submissions: list[Submission] = []
    seen: dict[str, str] = {}
    for path in archives:
        try:
            _check_file(path)
            sha256 = file_sha256(path)
            if sha256 in seen:
                raise BenchError(f"it is the same file as {seen[sha256]}")
            seen[sha256] = path.name
            submissions.append(_submission(len(submissions) + 1, path, sha256, records.get(sha256, []), store))
        except (BenchError, OSError) as error:
            refused.append(Refused(path.name, one_line(str(error)).removeprefix(f"{path.name}: ")))
    return submissions, refused


def _check_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise BenchError("it is no plain file")
    if not _SAFE_NAME.fullmatch(path.name):
        raise BenchError("its name has other characters than letters, digits, '.', '_' and '-'")


def _records(paths: Iterable[Path]) -> tuple[dict[str, list[Record]], list[Refused]]:
    """The records by the hash of their archive, and the files that are none."""
    records: dict[str, list[Record]] = {}
    refused = []
    for path in paths:
        try:
            _check_file(path)
            record = read_record(path)
        except BenchError as error:
            refused.append(Refused(path.name, one_line(str(error))))
        else:
            records.setdefault(record.archive_sha256, []).append(record)
    return records, refused


def _submission(number: int, path: Path, sha256: str, records: list[Record], store: Store) -> Submission:
    failed = next((record for record in records if not record.holds), None)
    if failed:
        raise BenchError(f"it was verified and does not hold: {'; '.join(failed.problems[:1])}")
    with store.scratch() as folder:
        contents = open_submission(path, folder, streams=False)
        if contents.problems:
            more = f" (and {len(contents.problems) - 1} more)" if len(contents.problems) > 1 else ""
            raise BenchError(f"it does not hold: {contents.problems[0]}{more}")
        runs = load_runs([folder])
        document = runs.documents[str(folder)]
        table = runs.compared.table
    data = {name: _data(str(name), document) for name in table["dataset"].unique()}
    table = table.assign(
        run=path.name,
        submission=number,
        data=table["dataset"].astype(str).map(data),
        label=table["label"].astype(str) + f" #{number}",
    )
    best = max(records, key=lambda record: len(record.judged) + len(record.decoded), default=None)
    return Submission(number, path, sha256, contents.manifest, document, best, table)


def _data(dataset: str, document: dict[str, Any]) -> str:
    """Empty for a dataset that everyone has; else, for recordings of the submitter, a hash of their fingerprints."""
    name, _ = parse_spec(dataset)
    try:
        options = component_class(Dataset, name).Options.model_fields
    except BenchError:  # of a package that is not installed
        options = {}
    else:
        if not any(field.exclude for field in options.values()):
            return ""
    start = f"{origin(document, 'datasets', dataset)}/"
    prints = document["inputs"].get("sequences", {})
    own = sorted((key.removeprefix(start), value) for key, value in prints.items() if key.startswith(start))
    return digest(own)[:8]


def verified_words(submission: Submission, jobs: Iterable[str]) -> tuple[str, str]:
    """How far rows of a submission were verified: a class (``full``, ``part`` or ``none``), and words."""
    record, job_ids = submission.record, set(jobs)
    if record is None:
        return "none", "not verified"
    decoded, judged = len(job_ids.intersection(record.decoded)), len(job_ids.intersection(record.judged))
    if not decoded:
        return "none", "no stream decoded"
    if decoded == judged == len(job_ids):
        return "full", f"verified: all {decoded} streams decoded and measured again"
    return "part", f"verified in part: {decoded} of {len(job_ids)} streams decoded, {judged} measured again"
