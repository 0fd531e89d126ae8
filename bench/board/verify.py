"""``bench verify --submission``: what of a submission holds on another machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.board.contents import open_submission
from bench.board.record import Record, make_record
from bench.board.streams import StreamCheck, check_streams, drawn_rows
from bench.progress import Progress
from bench.runner.store import Store


@dataclass(frozen=True)
class Request:
    """How a submission is verified.

    Attributes
    ----------
    archive
        The archive.
    sample, seed
        Number of rows whose streams are checked, and the seed that draws them; 0 for all.
    by
        Who verifies, for the record.
    """

    archive: Path
    sample: int = 0
    seed: int = 0
    by: str = ""


def verify_submission(request: Request, store: Store, progress: Progress, told: Callable[[str], None]) -> Record:
    """Check a submission; each difference is told in one line as soon as it is known.

    Raises
    ------
    BenchError
        If the file is no submission.
    FatalError
        If the disk is full.
    """
    problems: list[str] = []
    checks: list[StreamCheck] = []

    def differs(text: str) -> None:
        problems.append(text)
        told(text)

    with store.scratch() as folder:
        contents = open_submission(request.archive, folder)
        for problem in contents.problems:
            differs(problem)
        rows = [row for row in contents.measured if row.condition in contents.cards]
        drawn = drawn_rows(rows, request.sample, request.seed)
        for done, check in enumerate(check_streams(contents, drawn, store) if drawn else (), start=1):
            row = check.row
            progress(done, len(drawn), f"{row.codec} {row.rate_point} {row.sequence}")
            place = f"row {row.job} {row.paradigm} {row.codec} {row.rate_point} {row.sequence}"
            for problem in check.problems:
                differs(f"{place}: {problem}")
            checks.append(check)
        return make_record(
            request.archive,
            problems,
            by=request.by,
            measured=len(contents.measured),
            drawn=len(drawn),
            seed=request.seed if len(drawn) < len(rows) else None,
            decoded=[check.row.job for check in checks if check.decoded],
            judged=[check.row.job for check in checks if check.judged],
            absent=dict(Counter(check.absent for check in checks if check.absent)),
        )
