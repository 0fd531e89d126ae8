"""The base class of all components: name, typed options, availability, and the spec that names them in text."""

from __future__ import annotations

import csv
import re
from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError, first_fault

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",][^,]*|))\s*(?:,|$)')


class ComponentOptions(BaseModel):
    """Base of a component's options: immutable, and an unknown key is an error.

    The docstring below a field describes it in `bench list`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Availability:
    """Whether a component can run here.

    Attributes
    ----------
    ok
        True if it can.
    version
        Version of the encoder library, binary or weights, for the results.
    sha256
        SHA-256 in hex of the external binary or of the weights; empty without either.
    reason
        Why it cannot run and what to do about it; empty if `ok`.
    """

    ok: bool
    version: str = ""
    sha256: str = ""
    reason: str = ""


class Component(ABC):
    """A named part with options: codec, dataset, paradigm, extractor, analyzer or task.

    Subclasses set `name` and, if they have options, a nested class `Options`. An option that only says where something
    lies on this machine (a binary's path, say) is declared with ``Field(exclude=True)``: results and streams do not
    contain it, and a stream cannot set it.

    Parameters
    ----------
    options
        Values of the fields of `Options`; text is converted to their types.

    Attributes
    ----------
    name
        Letters, digits, ``-``, ``_`` and ``.``.
    options
        The instance of `Options`.
    origin
        The spec, such as ``vvenc:preset=slower``, that the registry created the component from; empty otherwise.

    Raises
    ------
    BenchError
        If an option is unknown or its value is wrong.
    """

    name: ClassVar[str]
    Options: ClassVar[type[ComponentOptions]] = ComponentOptions
    options: Any
    origin: str = ""

    def __init__(self, /, **options: object) -> None:
        try:
            self.options = self.Options(**options)
        except ValidationError as error:
            known = ", ".join(self.Options.model_fields) or "none"
            wrong = first_fault(error, absent="unknown option")
            raise BenchError(f"{self.name}: option {wrong} (options: {known})") from None

    @property
    def spec(self) -> str:
        """The name and the options that differ from their defaults: ``name:key=value,key=value``, sorted by key."""
        options = self.options_text
        return f"{self.name}:{options}" if options else self.name

    @property
    def options_text(self) -> str:
        """The options that differ from their defaults as ``key=value,key=value``, sorted by key."""
        changed = self.options.model_dump(mode="json", exclude_defaults=True)
        return ",".join(_quote(f"{key}={_plain(changed[key])}") for key in sorted(changed))

    def available(self) -> Availability:
        """Whether the component can run on this machine; by default it can."""
        return Availability(ok=True)


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value,key=value`` into the name and its options.

    An option whose value contains a comma is written in double quotes: ``dat:"root=/data/a,b"``.

    Raises
    ------
    BenchError
        If an option is not of the form key=value.
    """
    name, _, rest = spec.partition(":")
    options: dict[str, str] = {}
    try:
        items = next(csv.reader([rest], skipinitialspace=True), []) if rest.isprintable() else [rest]
    except csv.Error as error:
        raise BenchError(f"'{spec}': {error}") from None
    for item in items if rest else []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise BenchError(f"'{spec}': '{item}' is not of the form key=value")
        options[key.strip()] = value
    return name.strip(), options


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list of names.

    A name that contains a comma or begins with a quote must be in double quotes, with its own quotes doubled.

    Examples
    --------
    >>> split_names('walk, "left, slow", 5" disk')
    ('walk', 'left, slow', '5" disk')

    Raises
    ------
    BenchError
        If a quote is not closed.
    """
    names, rest = [], text.strip()
    while rest:
        part = _NAME.match(rest)
        if part is None:
            raise BenchError(f"'{text}': a quote is not closed, or something follows it; a quote in quotes is doubled")
        quoted, plain = part.groups()
        if name := plain.strip() if quoted is None else quoted.replace('""', '"'):
            names.append(name)
        rest = rest[part.end() :]
    return tuple(names)


def join_names(names: Iterable[str]) -> str:
    """Join names into a list that `split_names` splits into the same names."""
    return ",".join(_quote(name) for name in names)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quote(item: str) -> str:
    plain = not set(item) & set(',"') and item == item.strip()
    return item if plain else '"' + item.replace('"', '""') + '"'
