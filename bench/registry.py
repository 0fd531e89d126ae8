"""Finds components by name through entry points, or in a file being written."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from bench.errors import BenchError, StreamError
from bench.interfaces import (
    Analyzer,
    Codec,
    Component,
    ComponentOptions,
    Dataset,
    Extractor,
    Paradigm,
    StreamInfo,
    Task,
    parse_spec,
)
from bench.paths import user_path

C = TypeVar("C", bound=Component)
K = TypeVar("K", bound=Component)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")

# Options of one machine that files may set: what they name is read, never run.
_READ_ONLY = frozenset({"root", "weights", "device", "limit_seconds"})

GROUPS: dict[type[Component], str] = {
    Codec: "codecs",
    Paradigm: "paradigms",
    Extractor: "extractors",
    Analyzer: "analyzers",
    Dataset: "datasets",
    Task: "tasks",
}


# Specs of the classes that this session has registered.
_SESSION: dict[tuple[type[Component], str], str] = {}


def names(base: type[Component]) -> list[str]:
    """Names registered for this kind of component, sorted."""
    return sorted({*_entries(base), *(name for kind, name in _SESSION if kind is base)})


def states(base: type[Component]) -> Iterator[tuple[str, bool, str, str]]:
    """Every component of a kind: its name, whether it can run here, its version or why not, and what it is."""
    from bench.interfaces.checked import availability

    for name in names(base):
        try:
            component: Component = create(base, name)
            state = availability(component)
        except BenchError as error:
            needs_option = "Field required" in str(error)
            yield name, False, "needs options" if needs_option else "broken", str(error)
        else:
            about = (component.__doc__ or "").strip().partition("\n")[0]
            yield name, state.ok, state.version or "available" if state.ok else f"not here: {state.reason}", about


def register(component: type[K]) -> type[K]:
    """Make a class of this session known by its name, as a decorator or a call; again, it replaces the one before.

    Workers and decoders are processes of their own, so the class is written into a file of the user's cache, with all
    that it refers to, and named by that file in whatever runs it. What is registered again is measured again.

    Raises
    ------
    BenchError
        If it is no class of a component, or cannot be written.
    """
    import base64

    import cloudpickle

    from bench.files import cache_root, disk_errors, write_atomic

    base = next((base for base in GROUPS if isinstance(component, type) and issubclass(component, base)), None)
    if base is None:
        raise BenchError(f"{component!r} is no {', '.join(kind.__name__ for kind in GROUPS)}")
    _check_name(component, component.__qualname__)
    if component.name in _entries(base):
        raise BenchError(f"the {base.__name__.lower()} {component.name} is installed; give the class another name")
    try:
        written = base64.b85encode(cloudpickle.dumps(component)).decode()
    except Exception as error:  # whatever the class refers to may refuse
        raise BenchError(f"{component.__qualname__} cannot be written: {type(error).__name__}: {error}") from error
    text = _SESSION_FILE.format(name=component.__name__, written=written)
    path = cache_root() / "session" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
    with disk_errors(path.parent):
        write_atomic(path, text.encode())
    _SESSION[base, component.name] = f"{path}:{component.__name__}"
    return component


# The class says that it lies here, so that its fingerprint is this file's.
_SESSION_FILE = '''"""{name}, a class that a session has registered."""

import base64
import pickle

{name} = pickle.loads(base64.b85decode("{written}"))
{name}.__module__ = __name__
'''


def session_spec(base: type[Component], spec: str) -> str:
    """A spec as other processes understand it: what this session has registered is named by its file."""
    name, separator, options = spec.partition(":")
    return _SESSION[base, name] + separator + options if (base, name) in _SESSION else spec


def create(base: type[C], spec: str) -> C:
    """Make a component from ``name:key=value,...`` or ``path/to/file.py:Class:key=value,...``.

    Raises
    ------
    BenchError
        If the name is unknown (the nearest names are given), the file or class cannot be loaded, or an option
        is wrong.
    """
    spec = session_spec(base, spec)
    path, separator, rest = spec.partition(".py:")
    if separator:
        class_name, options = parse_spec(rest)
        found = _from_file(user_path(path + ".py"), class_name)
    else:
        name, options = parse_spec(spec)
        found = _load(base, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BenchError(f"'{spec}' is not a {base.__name__.lower()}: {found!r} does not subclass it")
    _check_name(found, spec)
    try:
        component: C = found(**options)
    except BenchError:
        raise
    except Exception as error:  # an abstract method that is not written, or whatever a constructor does
        raise BenchError(f"'{spec}' cannot be made: {type(error).__name__}: {error}") from error
    component.origin = spec
    return component


def component_class(base: type[C], name: str) -> type[C]:
    """The registered class of a name, whose options can be looked at without a component.

    Raises
    ------
    BenchError
        If the name is unknown, or what is registered is no such class.
    """
    found = _load(base, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BenchError(f"'{name}' is not a {base.__name__.lower()}: {found!r} does not subclass it")
    return found


def _check_name(component: type[Component], spec: str) -> None:
    """Refuse a name that specs, rows and streams could not carry."""
    name = getattr(component, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BenchError(f"'{spec}': the class's name must be of letters, digits, '-', '_' and '.', not {name!r}")


def check_foreign(base: type[Component], spec: str, where: str, remedy: str) -> None:
    """Refuse a spec that stands in a file and would run what the file chooses: Python code, or a program.

    Suite files and runs come from others. What they name is registered by an installed package, and of its options
    that say something of one machine they set those alone that are read.

    Raises
    ------
    BenchError
        With `remedy`, what to do where the file is to be trusted; or as `create` does.
    """
    if ".py:" in spec:
        raise BenchError(f"{where} names code to be run, '{spec}': {remedy}")
    name, options = parse_spec(spec)
    found = _load(base, name)
    local = _local_options(found) - _READ_ONLY
    if stated := sorted(local & set(options)):
        raise BenchError(f"{where} sets '{stated[0]}' of {name}, which may name a program to be run: {remedy}")


def create_trained(spec: str) -> Component:
    """Make a codec, or where no codec has the name, an analyzer: what is trained and counted."""
    return create(trained_kind(spec), spec)


def trained_kind(spec: str) -> type[Component]:
    """Codec, or analyzer where no codec has the name."""
    name = spec.partition(":")[0]
    return Analyzer if name in {*names(Analyzer)} - {*names(Codec)} else Codec


def codec_for_stream(info: StreamInfo, spec: str = "") -> Codec:
    """Make the codec that a stream's header names, with the header's options.

    Parameters
    ----------
    spec
        The codec as given on this machine, for what a header cannot say: a file's path, a binary's place.

    Raises
    ------
    StreamError
        If the header names an option that a stream may not set, or another codec than `spec`.
    """
    codec = create(Codec, spec or info.codec)
    if codec.name != info.codec:
        raise StreamError(f"the stream was made by '{info.codec}', not by '{codec.name}'")
    local = _local_options(type(codec))
    _, stated = parse_spec(f"{info.codec}:{info.options}")
    _refuse_local(local, stated)
    kept = {name: getattr(codec.options, name) for name in local}
    decoder = type(codec)(**kept, **stated)
    decoder.origin = codec.origin
    return decoder


def part_for_stream(base: type[C], stated: str, spec: str = "") -> C:
    """Make the extractor or analyzer that a stream's header states.

    Parameters
    ----------
    stated
        The part's spec in the header.
    spec
        The part as given on this machine, for what a header cannot say: a file's path, the place of weights.

    Raises
    ------
    StreamError
        If the header names what is not registered, an option that a stream may not set, or another part than `spec`.
    """
    kind = base.__name__.lower()
    if spec:
        part = create(base, spec)
        if part.spec != stated:
            raise StreamError(f"the stream states the {kind} '{stated}', not '{part.spec}': leave --{kind} away")
        return part
    if ".py:" in stated or stated.partition(":")[0] not in _entries(base):
        raise StreamError(f"the stream states the {kind} '{stated}', which is not installed: give it with --{kind}")
    name, options = parse_spec(stated)
    _refuse_local(_local_options(_load(base, name)), options)
    return create(base, stated)


def _local_options(found: object) -> set[str]:
    """Options of a component, or of its class, that say something of one machine."""
    fields = getattr(found, "Options", ComponentOptions).model_fields
    return {name for name, field in fields.items() if field.exclude}


def _refuse_local(local: set[str], stated: Iterable[str]) -> None:
    if set_by_stream := sorted(local.intersection(stated)):
        raise StreamError(f"the stream sets '{set_by_stream[0]}', which only this machine may set")


@functools.cache
def _entries(base: type[Component]) -> dict[str, EntryPoint]:
    entries: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"bench.{GROUPS[base]}"):
        other = entries.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise BenchError(
                f"two installed packages register the {base.__name__.lower()} '{entry.name}': "
                f"{other.value} and {entry.value}; uninstall one"
            )
    return entries


def _load(base: type[Component], name: str) -> object:
    entries = _entries(base)
    kind = base.__name__.lower()
    if name not in entries:
        plain = {entry.lower(): entry for entry in entries}
        words = [name.lower()] if name.lower() in plain else difflib.get_close_matches(name.lower(), plain, 3, 0.5)
        near = [plain[word] for word in words]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(entries)) or 'none'}"
        raise BenchError(f"no {kind} named '{name}': {hint} (`bench list {GROUPS[base]}` shows all)")
    try:
        return entries[name].load()
    except (Exception, SystemExit) as error:  # another package's import may fail in any way
        raise BenchError(f"{kind} '{name}' cannot be loaded: {type(error).__name__}: {error}") from error


def _from_file(path: Path, class_name: str) -> object:
    if not path.is_file():
        raise BenchError(f"no file {path}")
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    module_name = f"bench_user_{path.stem}_{place}"
    module_spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if module_spec is None or module_spec.loader is None:
        raise BenchError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BenchError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not hasattr(module, class_name):
        raise BenchError(f"{path} has no class '{class_name}'")
    return getattr(module, class_name)
