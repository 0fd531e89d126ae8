"""The specification of a run: its fields, which are those of suite files too, and the defaults of all options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from bench.errors import BenchError, first_fault
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
    """One codec of a grid, and the limits that hold for it alone.

    Attributes
    ----------
    codec
        Name or spec.
    rates
        Its rate points; empty means those of the grid.
    paradigms
        The paradigms that it is measured under; empty means all of the grid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: str
    rates: tuple[RatePoint, ...] = ()
    paradigms: tuple[str, ...] = ()


class RunSpec(BaseModel):
    """A grid of jobs under one set of conditions. A suite file holds this model in TOML, or several of them (`Suite`).

    Attributes
    ----------
    name
        Name of the run's folder; empty for one that names the grid.
    datasets, paradigms, extractors, tasks
        Names or specs; jobs are made of all combinations.
    codecs
        Names or specs; an entry ``{codec = "vvenc", rates = [42, 37], paradigms = ["caas"]}`` limits one codec.
    analyzers
        Names or specs; empty means the analyzer that the extractor names for the task, else the task's own default.
    rates
        Rate points for every codec that names none; empty means each codec's own.
    sequences, limit
        Names of the sequences (empty: all), and how many of each dataset at most (0: all).
    segments
        Number of consecutive segments of each recording (0: as many as fit).
    frames, stride, margin
        Number K of coding instants in a segment, spike frames from one instant to the next, and spike frames before the
        first and after the last one. A segment has T = 2 margin + (K - 1) stride + 1 spike frames (docs/protocol.md).
    intra_period, structure
        See `bench.interfaces.CodingCondition`.
    seed
        Seed of the run.
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
        """Use the defaults of the first task that has its own, for fields that are not given."""
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
        """Name classes that were registered from Python by their files, from which worker processes can import them."""
        base = _KINDS[str(info.field_name)]
        return tuple(
            item.model_copy(update={"codec": session_spec(base, item.codec)})
            if isinstance(item, CodecEntry)
            else session_spec(base, item)
            for item in value
        )

    @property
    def coding(self) -> CodingCondition:
        """The part of the condition that a codec sees."""
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
        """Create every named component once, so that a wrong name or option ends the run before it starts.

        Raises
        ------
        BenchError
            If a name or option is wrong.
        """
        for key, base in _KINDS.items():
            for item in getattr(self, key):
                create(base, item.codec if isinstance(item, CodecEntry) else item)


def make_spec(**values: object) -> RunSpec:
    """Create a `RunSpec` from the values of its fields.

    Raises
    ------
    BenchError
        If a field is wrong; the message is one line and names the first one.
    """
    try:
        return RunSpec(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BenchError(f"run: {first_fault(error)}") from None


class Suite(BaseModel):
    """The grids that one run measures together, and the measurements that it makes besides their rows.

    Attributes
    ----------
    grids
        At least one grid.
    iqa
        No-reference metrics that score every picture of the run (`bench iqa`).
    smoothness
        Whether to compute the Laplacian norms of all features.
    recognition
        Whether to classify all sequences of the classification tasks' datasets without compression, in every
        representation of the paper's Table VI.
    count
        Codecs whose parameters and multiply-accumulates are counted (`bench complexity`).
    profile
        Chains whose stages are profiled alone, as ``paradigm codec`` (`bench profile`).
    about, takes
        A sentence on what the suite is for, and how long its first preset takes; for `bench list suites`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    grids: tuple[RunSpec, ...] = Field(min_length=1)
    iqa: tuple[str, ...] = ()
    smoothness: bool = False
    recognition: bool = False
    count: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    about: str = ""
    takes: str = ""

    @field_validator("profile")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for chain in value:
            if len(chain.split()) != 2:
                raise ValueError(f"'{chain}' is not of the form 'paradigm codec'")
        return value


SUITES = Path(__file__).parents[1] / "suites"
# Fields of `Suite` besides its grids.
_BESIDE = ("iqa", "smoothness", "recognition", "count", "profile", "about", "takes")


def load_suite(suite: str, preset: str = "", **stated: object) -> Suite:
    """Read a suite: the name of one that the package ships, or a TOML file.

    A file holds the fields of `RunSpec` and of `Suite`. A preset is one or more tables ``[[presets.NAME]]``; each table
    is a grid, and the fields at the top of the file are the defaults of all grids. A file may come from anyone, so it
    may only name registered components (`bench.registry.check_foreign`).

    Parameters
    ----------
    suite
        Name or path.
    preset
        Name of the preset; the file's first one by default.
    stated
        Fields that replace those of every grid.

    Raises
    ------
    BenchError
        If the file cannot be read, is not TOML, has a wrong field or no such preset, or names a file or program that
        would be run.
    """
    path = _suite_path(suite)
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        presets = fields.pop("presets", {"": [{}]})
        preset_name = preset or next(iter(presets), "")
        if preset_name not in presets:
            there = ", ".join(name for name in presets if name) or "none"
            raise BenchError(f"suite {path} has no preset '{preset}' (it has: {there})")
        beside = {key: fields.pop(key) for key in _BESIDE if key in fields}
        named = {"name": "-".join(filter(None, (path.stem, preset))), **fields}
        for part in (*presets[preset_name], fields, beside):
            for base, spec in named_components({key: value for key, value in part.items() if key not in stated}):
                check_foreign(base, spec, f"suite {path}", "give it by its flag on the command line")
        grids = [_overridden({**named, **grid}, stated) for grid in presets[preset_name]]
        return Suite(grids=tuple(RunSpec(**grid) for grid in grids), **beside)
    except OSError as error:
        shipped = ", ".join(sorted(file.stem for file in SUITES.glob("*.toml")))
        raise BenchError(f"suite {path}: {error.strerror} (shipped suites: {shipped})") from None
    except ValidationError as error:
        raise BenchError(f"{path}: {first_fault(error)}") from None
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path} is not valid TOML: {error}") from None
    except (TypeError, AttributeError):
        raise BenchError(f"suite {path}: presets are tables of the form [[presets.NAME]]") from None


def suite_presets(suite: str) -> list[str]:
    """The names of a suite's presets, the default first; a single empty name where it has none.

    Raises
    ------
    BenchError
        As `load_suite`.
    """
    load_suite(suite)  # raises where the file is wrong
    return list(tomllib.loads(_suite_path(suite).read_text(encoding="utf-8-sig")).get("presets", {"": []}))


def _suite_path(suite: str) -> Path:
    return SUITES / f"{suite}.toml" if re.fullmatch(r"[\w-]+", suite) else user_path(suite)


def _overridden(grid: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """A grid with some fields replaced. Limits of single codecs stay; rate points for all codecs replace their own."""
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


def named_components(fields: Mapping[str, Any]) -> Iterator[tuple[type[Component], str]]:
    """Base class and spec of every component that fields of a suite file name; values of wrong types are skipped."""
    lists = {key: value for key, value in fields.items() if isinstance(value, list | tuple)}
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
