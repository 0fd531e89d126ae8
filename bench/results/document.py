"""run.json: what a run was asked for and made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError
from bench.interfaces import Component, ConditionCard, Measure
from bench.registry import GROUPS, check_foreign
from bench.results.rows import RUN_FILE, SCHEMA, STREAMS
from bench.results.shell import inert
from bench.results.tables import Printable


def stream_path(folder: Path, job: str) -> Path:
    """Where a run keeps a job's stream."""
    return folder / STREAMS / f"{job}.spk"


def picture_path(folder: Path, job: str) -> Path:
    """Where a run keeps a job's result at its `shown_instant`."""
    return folder / STREAMS / f"{job}.png"


def origin(document: dict[str, Any], kind: str, name: str) -> str:
    """A codec or dataset of a run as it was given there; the name itself where that is all there is."""
    return str(document["origins"].get(kind, {}).get(name, name))


def usable_origin(document: dict[str, Any], base: type[Component], name: str) -> str:
    """As `origin`, for a component that is then made here.

    Raises
    ------
    BenchError
        If it would run what run.json names, and the run is not trusted.
    """
    spec = origin(document, GROUPS[base], name)
    if not document["trusted"]:
        check_foreign(base, spec, RUN_FILE, "give --trust if the run is your own")
    return spec


class _Made(BaseModel):
    """One entry of run.json's provenance."""

    model_config = ConfigDict(extra="allow")

    suite: Printable
    git_commit: Printable
    processor: Printable
    command: Annotated[str, AfterValidator(inert)]


class _Grid(BaseModel):
    """What is used of a grid in run.json."""

    model_config = ConfigDict(extra="allow")

    segments: int = Field(ge=0)
    limit: int = Field(default=0, ge=0)
    sequences: tuple[str, ...] = ()


class _RunFile(BaseModel):
    """What run.json must hold to be used; docs/results.md describes the fields."""

    model_config = ConfigDict(extra="allow")

    schema_version: int = Field(alias="schema")
    plan: str
    status: str
    provenance: list[_Made] = Field(min_length=1)
    grids: list[_Grid] = Field(min_length=1)
    conditions: dict[str, ConditionCard]
    origins: dict[str, dict[str, Printable]]
    inputs: dict[str, dict[str, str]] = Field(default_factory=dict)
    measures: dict[Printable, tuple[Measure, ...]] = Field(default_factory=dict)


def read_run_file(folder: Path, trusted: bool = False) -> dict[str, Any]:
    """Read run.json.

    Parameters
    ----------
    trusted
        Whether files and programs that it names may be run (`usable_origin`).

    Raises
    ------
    BenchError
        If it is missing, damaged or of another schema.
    """
    path = folder / RUN_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}; is {folder} a run's folder?") from None
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(document, dict) or document.get("schema") not in range(1, SCHEMA + 1):
        raise BenchError(f"{path} is not of schema 1 to {SCHEMA}; it was written by another version of the suite")
    try:
        return {**_RunFile.model_validate(document).model_dump(by_alias=True), "trusted": trusted}
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
