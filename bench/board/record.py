"""The record of a verification: a JSON file that says what of a submission was checked, by whom, and the result."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.board.manifest import Text
from bench.errors import BenchError, first_fault, one_line
from bench.fingerprint import file_sha256
from bench.results.provenance import git_commit
from bench.results.tables import JobId
from bench.version import __version__

# Longest record that is read, bytes, and most differences that one lists.
_MOST_BYTES = 16 << 20
_MOST_LINES = 20


def _line(text: str) -> str:
    return one_line(text)[:300]


Line = Annotated[str, AfterValidator(_line)]


class Record(BaseModel):
    """The content of a record; docs/leaderboard.md repeats the descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(description="Version of this file; 1.")
    archive_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the archive that was checked.")
    holds: bool = Field(description="Whether nothing was wrong.")
    by: Text = Field(default="", description="Who verified.")
    checked: Text = Field(description="When.")
    suite: Text = Field(description="Version of the suite that checked.")
    commit: Text = Field(description="Its commit; empty outside a checkout.")
    measured: int = Field(ge=0, description="Number of measured rows of the submission.")
    drawn: int = Field(ge=0, description="Number of those that were drawn to be checked; with --sample, less than all.")
    seed: int | None = Field(default=None, description="Seed of the draw; null where all rows were checked.")
    decoded: tuple[JobId, ...] = Field(description="Rows whose stream decodes to the bits and frames that they state.")
    judged: tuple[JobId, ...] = Field(description="Those whose measures agree too.")
    problems: tuple[Line, ...] = Field(description="What was wrong: the first lines of the output.")
    absent: dict[Line, int] = Field(description="What could not be checked, and for how many rows.")

    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1) + "\n"


def make_record(archive: Path, problems: list[str], **facts: object) -> Record:
    """The record of a verification that has just ended; `facts` are the other fields of `Record`."""
    return Record.model_validate(
        {
            "schema_version": 1,
            "archive_sha256": file_sha256(archive),
            "holds": not problems,
            "checked": datetime.now(UTC).isoformat(timespec="seconds"),
            "suite": __version__,
            "commit": git_commit(),
            "problems": problems[:_MOST_LINES],
            **facts,
        }
    )


def read_record(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    BenchError
        If it is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BenchError(f"{path.name} is too large for a record of a verification")
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise BenchError(f"{path.name} is no record of a verification: {first_fault(error)}") from None
