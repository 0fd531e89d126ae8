"""Creates components by name, from entry points, from classes registered in Python, or from a Python file."""

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

# Options with places on one machine that suite files may set: the files that they name are read and never executed.
_READ_ONLY = frozenset({"root", "weights", "device", "limit_seconds"})

GROUPS: dict[type[Component], str] = {
    Codec: "codecs",
    Paradigm: "paradigms",
    Extractor: "extractors",
    Analyzer: "analyzers",
    Dataset: "datasets",
    Task: "tasks",
}


# Specs of the classes that this process has registered with `register`.
_SESSION: dict[tuple[type[Component], str], str] = {}


def groups(kind: str = "") -> dict[str, type[Component]]:
    """The kinds of components that a word names, in singular, plural or shortened; all by default, none if unknown."""
    prefix = kind.lower().rstrip("s")
    return {group: base for base, group in GROUPS.items() if group.startswith(prefix)}


def names(base: type[Component]) -> list[str]:
    """Names of all components of a kind, sorted."""
    return sorted({*_entries(base), *(name for kind, name in _SESSION if kind is base)})


def states(base: type[Component]) -> Iterator[tuple[str, bool, str, str]]:
    """Yield, for each component of a kind: name, whether it can run here, version or why it cannot, description."""
    from bench.interfaces.checked import availability

    for name in names(base):
        try:
            component_type = component_class(base, name)
            about = (component_type.__doc__ or "").strip().partition("\n")[0]
            fields = component_type.Options.model_fields
            if needed := [f"{key}=..." for key, field in fields.items() if field.is_required()]:
                yield name, False, f"needs {', '.join(needed)}", about
                continue
            state = availability(create(base, name))
        except BenchError as error:
            yield name, False, "broken", str(error)
        else:
            yield name, state.ok, state.version or "available" if state.ok else f"not here: {state.reason}", about


def register(component: type[K]) -> type[K]:
    """Register a component's class under its `name`, for this Python process; use it as a decorator or a function.

    Registering another class of the same name replaces the first; its results are measured again. Workers and decoders
    run in other processes. They load the class, with everything that it refers to, from a file in the user's cache.

    Parameters
    ----------
    component
        Subclass of `Codec`, `Paradigm`, `Extractor`, `Analyzer`, `Dataset` or `Task`.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    BenchError
        If it is not such a class, its name is wrong or belongs to an installed component, or it cannot be pickled or
        written.
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
    except Exception as error:  # objects that the class refers to may refuse pickling
        raise BenchError(f"{component.__qualname__} cannot be written: {type(error).__name__}: {error}") from error
    text = _SESSION_FILE.format(name=component.__name__, written=written)
    path = cache_root() / "session" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
    with disk_errors(path.parent):
        write_atomic(path, text.encode())
    _SESSION[base, component.name] = f"{path}:{component.__name__}"
    return component


# The class gets the file as its module, so that its fingerprint is a hash of the file.
_SESSION_FILE = '''"""{name}, a class that a session has registered."""

import base64
import pickle

{name} = pickle.loads(base64.b85decode("{written}"))
{name}.__module__ = __name__
'''


def session_spec(base: type[Component], spec: str) -> str:
    """Convert a spec for use in other processes: the name of a class registered here becomes its file."""
    name, separator, options = spec.partition(":")
    return _SESSION[base, name] + separator + options if (base, name) in _SESSION else spec


def create(base: type[C], spec: str) -> C:
    """Create a component from its spec.

    Parameters
    ----------
    base
        Kind of component, such as `bench.interfaces.Codec`.
    spec
        ``name:key=value,...``, or ``path/to/file.py:Class:key=value,...``.

    Raises
    ------
    BenchError
        If the name is unknown (the message gives similar names), the file or class cannot be loaded, or an option is
        wrong.
    """
    spec = session_spec(base, spec)
    component_type, options = resolve(base, spec)
    try:
        component: C = component_type(**options)
    except BenchError:
        raise
    except Exception as error:  # an abstract method is missing, or the constructor fails
        raise BenchError(f"'{spec}' cannot be made: {type(error).__name__}: {error}") from error
    component.origin = spec
    return component


def component_class(base: type[C], spec: str) -> type[C]:
    """The class that a spec names, to read its options without creating a component.

    Raises
    ------
    BenchError
        As `create`, but for wrong options.
    """
    return resolve(base, session_spec(base, spec))[0]


def resolve(base: type[C], spec: str) -> tuple[type[C], dict[str, str]]:
    """The class that a spec names, and the options that the spec states.

    Raises
    ------
    BenchError
        As `create`, but for wrong options.
    """
    path, separator, rest = spec.partition(".py:")
    if separator:
        class_name, options = parse_spec(rest)
        component_type = _from_file(user_path(path + ".py"), class_name)
    else:
        name, options = parse_spec(spec)
        component_type = _load(base, name)
    if not (isinstance(component_type, type) and issubclass(component_type, base)):
        raise BenchError(f"'{spec}' is not a {base.__name__.lower()}: {component_type!r} does not subclass it")
    _check_name(component_type, spec)
    return component_type, options


def _check_name(component: type[Component], spec: str) -> None:
    """Refuse a class whose name cannot stand in specs, rows and streams."""
    name = getattr(component, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BenchError(f"'{spec}': the class's name must be of letters, digits, '-', '_' and '.', not {name!r}")


def check_foreign(base: type[Component], spec: str, where: str, remedy: str, readable: bool = True) -> None:
    """Refuse a spec from a file if it could execute Python code or a program that the file chooses.

    Suite files and runs may come from other people. They may name only components of installed packages, and set only
    options that cannot name a program.

    Parameters
    ----------
    where
        Name of the file, for the message.
    remedy
        What to do if the user trusts the file, for the message.
    readable
        Whether options may be set that name places on this machine which are read, such as ``root``.

    Raises
    ------
    BenchError
        If the spec could execute something, or the name is unknown.
    """
    if ".py:" in spec:
        raise BenchError(f"{where} names code to be run, '{spec}': {remedy}")
    name, options = parse_spec(spec)
    local = _local_options(component_class(base, name)) - (_READ_ONLY if readable else frozenset())
    if stated := sorted(local & set(options)):
        raise BenchError(f"{where} sets '{stated[0]}' of {name}, which may name a program to be run: {remedy}")


def create_trained(spec: str) -> Component:
    """Create a component that can be trained or counted: one of a file, or of the kind that `trained_kind` gives."""
    return create(Component if ".py:" in spec else trained_kind(spec), spec)


def trained_kind(spec: str) -> type[Component]:
    """The first of `Codec`, `Analyzer` and `Extractor` with a component of this name; `Codec` if none has one.

    It loads no file, since the spec may be of a suite file that has not been checked yet.
    """
    name = spec.partition(":")[0]
    return next((base for base in (Codec, Analyzer, Extractor) if name in names(base)), Codec)


def codec_for_stream(info: StreamInfo, spec: str = "") -> Codec:
    """Create the codec that a stream's header names, with the header's options.

    Parameters
    ----------
    info
        The stream's header.
    spec
        Spec of the codec on this machine, for what a header does not contain, such as paths; by default the name
        alone.

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
    local_values = {name: getattr(codec.options, name) for name in local}
    decoder = type(codec)(**local_values, **stated)
    decoder.origin = codec.origin
    return decoder


def part_for_stream(base: type[C], stated: str, spec: str = "") -> C:
    """Create the extractor or analyzer that a stream's header names.

    Parameters
    ----------
    base
        `Extractor` or `Analyzer`.
    stated
        Its spec in the header.
    spec
        Its spec on this machine, for what a header does not contain, such as paths; by default the header's.

    Raises
    ------
    StreamError
        If the header names a component that is not installed, sets an option that a stream may not set, or differs
        from `spec`.
    """
    kind = base.__name__.lower()
    if spec:
        part = create(base, spec)
        if part.spec != stated:
            raise StreamError(f"the stream states the {kind} '{stated}', not '{part.spec}': leave out --{kind}")
        return part
    if ".py:" in stated or stated.partition(":")[0] not in _entries(base):
        raise StreamError(f"the stream states the {kind} '{stated}', which is not installed: give it with --{kind}")
    name, options = parse_spec(stated)
    _refuse_local(_local_options(_load(base, name)), options)
    return create(base, stated)


def _local_options(component: object) -> set[str]:
    """Names of the options of a component or its class that hold for one machine, such as paths."""
    fields = getattr(component, "Options", ComponentOptions).model_fields
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
    except (Exception, SystemExit) as error:  # importing another package can raise anything
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
