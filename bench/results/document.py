"""run.json: what a run was asked to measure, and the code, machine and inputs that it was measured with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import BenchError, first_fault
from bench.interfaces import Component, ConditionCard, Measure
from bench.metrics.measures import clash
from bench.registry import GROUPS, check_foreign
from bench.results.rows import RUN_FILE, SCHEMA, STREAMS
from bench.results.shell import inert
from bench.results.tables import Printable


def stream_path(folder: Path, job: str) -> Path:
    """Path of the file in which a run keeps a job's stream."""
    return folder / STREAMS / f"{job}.spk"


def picture_path(folder: Path, job: str) -> Path:
    """Path of the PNG file in which a run keeps a job's result at one instant, `bench.runner.execute.shown_instant`."""
    return folder / STREAMS / f"{job}.png"


def origin(document: dict[str, Any], kind: str, name: str) -> str:
    """A component of a run as it was named when the run was started: a registered name, or a file's path and class.

    Parameters
    ----------
    document
        Content of run.json (`read_run_file`).
    kind
        Key of run.json's ``origins``, such as ``codecs``.
    name
        The component's name in rows; it is returned where run.json has no other one.
    """
    return str(document["origins"].get(kind, {}).get(name, name))


def usable_origin(document: dict[str, Any], base: type[Component], name: str) -> str:
    """As `origin`, for a component that the caller is about to create and run on this machine.

    Parameters
    ----------
    document
        Content of run.json (`read_run_file`).
    base
        Base class of the component's kind, such as `Codec`.
    name
        The component's name in rows.

    Raises
    ------
    BenchError
        If run.json names a file or program that would be run, and the run is not trusted.
    """
    spec = origin(document, GROUPS[base], name)
    if not document["trusted"]:
        check_foreign(base, spec, RUN_FILE, "give --trust if the run is your own")
    return spec


class _Provenance(BaseModel):
    """One entry of run.json's ``provenance``: only the fields that are read."""

    model_config = ConfigDict(extra="allow")

    suite: Printable
    git_commit: Printable
    processor: Printable
    command: Annotated[str, AfterValidator(inert)]


class _Grid(BaseModel):
    """One entry of run.json's ``grids``: only the fields that are read."""

    model_config = ConfigDict(extra="allow")

    segments: int = Field(ge=0)
    limit: int = Field(default=0, ge=0)
    sequences: tuple[str, ...] = ()


class _RunFile(BaseModel):
    """The fields that run.json must have to be read; docs/results.md describes all of them."""

    model_config = ConfigDict(extra="allow")

    schema_version: int = Field(alias="schema")
    plan: str
    status: str
    provenance: list[_Provenance] = Field(min_length=1)
    grids: list[_Grid] = Field(min_length=1)
    conditions: dict[str, ConditionCard]
    origins: dict[str, dict[str, Printable]]
    inputs: dict[str, dict[str, str]] = Field(default_factory=dict)
    measures: dict[Printable, tuple[Measure, ...]] = Field(default_factory=dict)

    @field_validator("measures")
    @classmethod
    def _names_do_not_clash(cls, value: dict[str, tuple[Measure, ...]]) -> dict[str, tuple[Measure, ...]]:
        for measures in value.values():
            if why := clash(measures):
                raise ValueError(why)
        return value


def read_run_file(folder: Path, trusted: bool = False) -> dict[str, Any]:
    """Read and check run.json.

    Parameters
    ----------
    folder
        The run's folder.
    trusted
        Whether files and programs that run.json names may be run (`usable_origin`).

    Returns
    -------
    dict
        The fields of run.json, and ``trusted``.

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
        raise BenchError(f"{path}: {first_fault(error)}") from None
