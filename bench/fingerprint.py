"""Hashes of everything that can change a result: a component's code with its imports, options, weights and files.

Code is hashed by its syntax tree, so comments, docstrings and layout do not matter. Different versions of Python may
parse a file to different trees; results are then computed again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from bench.interfaces import Component

_FIRST_PARTY = ("bench", "baselines", "paradigms")


def digest(value: object) -> str:
    """SHA-256 in hex of a value as JSON with sorted keys; a value that JSON lacks counts as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 in hex of a file. The process reads it again only if its size or time of change differs."""
    status = path.stat()
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


def component_fingerprint(component: Component) -> str:
    """One SHA-256 in hex over name, options, weights and code of a component.

    Its code is the module of its class and all modules of the suite, or of its own package, that this module imports
    directly or indirectly, together with the versions of the third-party packages that they import.
    """
    return digest(
        [
            component.name,
            component.options_text,
            getattr(component, "weights_sha256", ""),
            code_fingerprint(type(component).__module__),
        ]
    )


@functools.cache
def code_fingerprint(module: str) -> str:
    """SHA-256 in hex of a module's code and its imports: the suite's by syntax tree, third-party ones by version."""
    own = (*_FIRST_PARTY, module.partition(".")[0])
    hashes: dict[str, str] = {}
    foreign: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        if name in hashes:
            continue
        path = _source_of(name)
        if path is None:
            continue
        hashes[name], imports = _read_code(path.read_bytes(), name, path.name == "__init__.py")
        for imported in imports:
            top = imported.partition(".")[0]
            if top in own or not (top in sys.stdlib_module_names or top in _distributions()):
                queue.append(imported)  # of the suite, or a file outside all packages, which has no version
            else:
                foreign.add(top)
    return digest([sorted(hashes.items()), {name: _version(name) for name in sorted(foreign)}])


def _source_of(name: str) -> Path | None:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        spec = _spec_of(name)
        file = spec.origin if spec else None
    return Path(file) if file and file.endswith(".py") else None


def _spec_of(name: str) -> ModuleSpec | None:
    """The spec of a module. Unlike `find_spec`, this does not import its parent packages, which may import torch."""
    parent = name.rpartition(".")[0]
    try:
        if parent in sys.modules:
            inside = hasattr(sys.modules[parent], "__path__")
        else:
            above = _spec_of(parent) if parent else None
            inside = above is not None and above.submodule_search_locations is not None
        return importlib.util.find_spec(name) if inside or not parent else None
    except (ImportError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)
def _read_code(source: bytes, name: str, is_package: bool) -> tuple[str, frozenset[str]]:
    """The hash of a source's syntax tree, and the modules that it imports."""
    tree = ast.parse(source)
    code = repr(_plain(tree)).encode(errors="surrogatepass")
    return hashlib.sha256(code).hexdigest(), frozenset(_imports(tree, name, is_package=is_package))


def _plain(node: object) -> object:
    """A syntax tree as nested tuples, without docstrings, line numbers and empty fields."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not _does_nothing(item)]
    if not isinstance(node, ast.AST):
        return node
    fields = [(key, _plain(getattr(node, key, None))) for key in node._fields if key != "kind"]  # the u of u"text"
    return (type(node).__name__, [(key, value) for key, value in fields if value is not None and value != []])


def _does_nothing(node: object) -> bool:
    """Whether this is a docstring, `...` or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _imports(tree: ast.Module, name: str, *, is_package: bool) -> set[str]:
    """Modules that a source imports. `from a import b` counts as both a and a.b, since b may be a module."""
    modules: set[str] = set()
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            modules.add(base)
            modules |= {f"{base}.{alias.name}" for alias in node.names}
    return modules


@functools.cache
def _version(name: str) -> str:
    if name in sys.stdlib_module_names:
        return ""
    return importlib.metadata.version(_distributions()[name][0])


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
