"""What a run is asked to do: the one source of defaults for flags and for suite files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from bench.errors import BenchError
from bench.interfaces import (
    Codec,
    CodingCondition,
    Component,
    Paradigm,
    RatePoint,
    Structure,
    Task,
)
from bench.paths import user_path
from bench.registry import GROUPS, check_foreign, create, session_spec, trained_kind
from bench.sampling import Sampling

# Fields of a grid that name components.
_KINDS = {group: base for base, group in GROUPS.items()}


class CodecEntry(BaseModel):
    """One codec of a grid, with what holds for it alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: str
    rates: tuple[RatePoint, ...] = ()
    paradigms: tuple[str, ...] = ()


class RunSpec(BaseModel):
    """A grid of jobs under one set of conditions. A suite file is this model in TOML, or several of them (`Suite`).

    Attributes
    ----------
    codecs
        Names or specs; an entry ``{codec = "vvenc", rates = [42, 37], paradigms = ["caas"]}`` limits one codec.
    analyzers
        Empty means what the extractor names for the task, else the task's own default.
    rates
        Rate points for every codec that names none; empty means each codec's own.
    sequences, limit
        Names to keep (empty: all), and how many per dataset (0: all).
    segments
        How many consecutive segments of each recording (0: as many as fit).
    frames, stride, margin, intra_period, structure
        The condition (DESIGN: T = margin + (frames - 1) * stride + 1 + margin spike frames per segment).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", pattern=r"^(\w[\w.-]*)?$")
    datasets: tuple[str, ...] = ("s-motion",)
    paradigms: tuple[str, ...] = ("caas",)
    codecs: tuple[CodecEntry, ...] = Field(default=(CodecEntry(codec="vvenc"),), min_length=1)
    extractors: tuple[str, ...] = ("sci",)
    analyzers: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("reconstruction",)
    rates: tuple[RatePoint, ...] = ()
    sequences: tuple[str, ...] = ()
    limit: int = Field(default=0, ge=0)
    segments: int = Field(default=1, ge=0)
    frames: int = Field(default=32, ge=1)
    stride: int = Field(default=Sampling.stride, ge=1)
    margin: int = Field(default=Sampling.margin, ge=0)
    intra_period: int = Field(default=16, ge=1)
    structure: Structure = "low_delay"
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_tasks(cls, fields: Any) -> Any:
        """What the first task with defaults of its own has in place of the general ones."""
        tasks = fields.get("tasks")
        for task in tasks if isinstance(tasks, list | tuple) else ():
            if defaults := create(Task, str(task)).defaults:
                return {**defaults, **fields}
        return fields

    @field_validator("codecs", mode="before")
    @classmethod
    def _names_are_entries(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return tuple({"codec": item} if isinstance(item, str) else item for item in value)
        return value

    @field_validator(*_KINDS)
    @classmethod
    def _names_of_this_session(cls, value: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        """Workers are processes of their own: a class that this session has registered is named by its file."""
        base = _KINDS[str(info.field_name)]
        return tuple(
            item.model_copy(update={"codec": session_spec(base, item.codec)})
            if isinstance(item, CodecEntry)
            else session_spec(base, item)
            for item in value
        )

    @property
    def coding(self) -> CodingCondition:
        """What a codec sees of the condition."""
        return CodingCondition(intra_period=self.intra_period, structure=self.structure)

    @property
    def num_spikes(self) -> int:
        """T, spike frames per segment."""
        return self.sampling.num_spikes(self.frames)

    @property
    def sampling(self) -> Sampling:
        """Which instants of a segment are coded."""
        return Sampling(self.stride, self.margin)

    def check_names(self) -> None:
        """Make every named component once, so that a wrong name or option ends the run before it starts."""
        for key, base in _KINDS.items():
            for item in getattr(self, key):
                create(base, item.codec if isinstance(item, CodecEntry) else item)


def make_spec(**values: object) -> RunSpec:
    """Validate values into a `RunSpec`.

    Raises
    ------
    BenchError
        With the first wrong field in one line.
    """
    try:
        return RunSpec(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BenchError(_first_error("run", error)) from None


class Suite(BaseModel):
    """Grids that one run measures together, and what is measured beside their rows.

    Attributes
    ----------
    iqa
        Metrics without a reference to score every kept picture by (`bench iqa`).
    smoothness
        Whether the Laplacian norms of all features are taken.
    recognition
        Whether every representation of Table VI classifies all sequences of the classified datasets, uncompressed.
    count
        Codecs whose networks are counted (`bench complexity`).
    profile
        Chains whose stages are timed alone: ``paradigm codec`` (`bench profile`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    grids: tuple[RunSpec, ...] = Field(min_length=1)
    iqa: tuple[str, ...] = ()
    smoothness: bool = False
    recognition: bool = False
    count: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()

    @field_validator("profile")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for chain in value:
            if len(chain.split()) != 2:
                raise ValueError(f"'{chain}' is not of the form 'paradigm codec'")
        return value


SUITES = Path(__file__).parents[1] / "suites"
_BESIDE = ("iqa", "smoothness", "recognition", "count", "profile")


def load_suite(suite: str, preset: str = "", **stated: object) -> Suite:
    """Read a suite: one that the package ships, by name, or a TOML file.

    A file holds the fields of `RunSpec` and of `Suite`. In tables ``[[presets.NAME]]`` it holds several grids, for
    which the fields at its top are defaults; of several presets one is chosen. A file comes from anyone, so its
    components are registered ones (`bench.registry.check_foreign`).

    Parameters
    ----------
    preset
        Name of the preset; the file's first one by default.
    stated
        Fields that replace the file's, in every grid.

    Raises
    ------
    BenchError
        If it cannot be read, is not TOML, has a wrong field or no such preset, or names what would be run.
    """
    path = _suite_path(suite)
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        presets = fields.pop("presets", {"": [{}]})
        chosen = preset or next(iter(presets), "")
        if chosen not in presets:
            there = ", ".join(name for name in presets if name) or "none"
            raise BenchError(f"suite {path} has no preset '{preset}' (it has: {there})")
        beside = {key: fields.pop(key) for key in _BESIDE if key in fields}
        named = {"name": "-".join(filter(None, (path.stem, preset))), **fields}
        for part in (*presets[chosen], fields, beside):
            for base, spec in _named({key: value for key, value in part.items() if key not in stated}):
                check_foreign(base, spec, f"suite {path}", "give it by its flag on the command line")
        grids = [_overridden({**named, **grid}, stated) for grid in presets[chosen]]
        return Suite(grids=tuple(RunSpec(**grid) for grid in grids), **beside)
    except OSError as error:
        shipped = ", ".join(sorted(file.stem for file in SUITES.glob("*.toml")))
        raise BenchError(f"suite {path}: {error.strerror} (shipped suites: {shipped})") from None
    except ValidationError as error:
        raise BenchError(_first_error(str(path), error)) from None
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path} is not valid TOML: {error}") from None
    except (TypeError, AttributeError):
        raise BenchError(f"suite {path}: presets are tables of the form [[presets.NAME]]") from None


def suite_presets(suite: str) -> list[str]:
    """The names of a suite's presets, the default first; one without a name where it has none.

    Raises
    ------
    BenchError
        As `load_suite`.
    """
    load_suite(suite)  # says what is wrong with it
    return list(tomllib.loads(_suite_path(suite).read_text(encoding="utf-8-sig")).get("presets", {"": []}))


def _suite_path(suite: str) -> Path:
    return SUITES / f"{suite}.toml" if re.fullmatch(r"[\w-]+", suite) else user_path(suite)


def _overridden(grid: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """A grid with other fields. A codec that it limits keeps its limits, but gives way to rate points for all."""
    fields = {**grid, **stated}
    listed = grid.get("codecs")
    if not isinstance(listed, list) or not {"codecs", "rates"} & set(stated):
        return fields
    entries = [item for item in listed if isinstance(item, dict) and isinstance(item.get("codec"), str)]
    limits = {item["codec"].partition(":")[0]: item for item in reversed(entries)}
    limits |= {item["codec"]: item for item in reversed(entries)}
    if "codecs" in stated:
        known = ((codec, limits.get(codec) or limits.get(codec.partition(":")[0], {})) for codec in stated["codecs"])
        fields["codecs"] = [{**limit, "codec": codec} for codec, limit in known]
    if "rates" in stated:
        fields["codecs"] = [{**item, "rates": []} if isinstance(item, dict) else item for item in fields["codecs"]]
    return fields


def _named(fields: dict[str, Any]) -> Iterator[tuple[type[Component], str]]:
    """Every component that fields of a suite file name; what is of a wrong type is left to the model."""
    lists = {key: value for key, value in fields.items() if isinstance(value, list)}
    for key, base in _KINDS.items():
        for item in lists.get(key, ()):
            spec = item.get("codec") if isinstance(item, dict) else item
            if isinstance(spec, str):
                yield base, spec
    for spec in filter(lambda item: isinstance(item, str), lists.get("count", ())):
        yield trained_kind(spec), spec
    for chain in filter(lambda item: isinstance(item, str), lists.get("profile", ())):
        if len(words := chain.split()) == 2:
            yield from zip((Paradigm, Codec), words, strict=True)


def _first_error(where: str, error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    detail = "no such field" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{where}: {field}: {detail}"
