"""Where users' own code is: the file of a target, and the line that defines it. Nothing of it is imported."""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from typing import Any

from normcheck.report import Place
from normcheck.run.backends import BackendSpec

LARGEST = 2**22  # bytes of source that are read

_LIBRARIES = {"site-packages", "dist-packages"}  # their code is not the user's to change
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def places(specs: Iterable[BackendSpec]) -> dict[str, Place]:
    """The places of the targets among ``specs``, by the backend's name; without those that are not found."""
    found: dict[str, Place] = {}
    for spec in specs:
        with contextlib.suppress(OSError, RecursionError, TypeError, ValueError):  # it only helps
            if (place := _place(spec)) is not None and _LIBRARIES.isdisjoint(place.file.split(os.sep)):
                found[spec.name] = place
    return found


def _place(spec: BackendSpec) -> Place | None:
    if spec.function is not None:
        return _of_object(spec.function)
    if spec.target is None:
        return None
    where, _, attribute = spec.target.rpartition(":")
    is_path = where.endswith(".py") or os.sep in where  # as the worker reads it
    file = where if is_path else _of_module(where) if spec.python is None else None
    return _at(file, attribute)


def _at(file: str | None, attribute: str) -> Place | None:
    if file is None or not os.path.isfile(file):
        return None
    return Place(file=_shown(file), line=line_of(file, attribute))


def line_of(file: str, attribute: str) -> int | None:
    """The line of ``file`` that defines ``attribute``, which may be of a class in it; None where none does."""
    try:
        with open(file, "rb") as stream:
            source = stream.read(LARGEST + 1)
        if len(source) > LARGEST:
            return None
        scope: Sequence[ast.stmt] = ast.parse(source).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    line = None
    for name in attribute.split("."):
        bindings = [statement for statement in _statements(scope) if name in _bound(statement)]
        if not bindings:
            break  # what an object has is not seen here: where that is defined is the nearest
        line = bindings[-1].lineno  # the last one counts
        scope = bindings[-1].body if isinstance(bindings[-1], ast.ClassDef) else ()
    return line


def _statements(scope: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a scope, those in branches of it too, but not those of functions and classes in it."""
    for statement in scope:
        yield statement
        if not isinstance(statement, _DEFINES):
            inner = [node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt)]
            handlers = getattr(statement, "handlers", ())
            yield from _statements([*inner, *(each for handler in handlers for each in handler.body)])


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement itself binds."""
    if isinstance(statement, _DEFINES):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return set()
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _of_module(name: str) -> str | None:
    """The file of a module, by the paths that a worker has; packages are not imported to find it."""
    path: Sequence[str] | None = [*sys.path, os.getcwd()]
    parts = name.split(".")
    spec = None
    for number in range(len(parts)):
        if (spec := PathFinder.find_spec(".".join(parts[: number + 1]), path)) is None:
            return None
        path = list(spec.submodule_search_locations or ())
    file = None if spec is None else spec.origin
    return file if file is not None and file.endswith(".py") else None


def _of_object(function: Any) -> Place | None:
    """Where a function was defined, or the class of any other object."""
    known = inspect.unwrap(function) if inspect.isroutine(function) else type(function)
    code = getattr(known, "__code__", None)
    if code is None:
        return _at(inspect.getsourcefile(known), known.__qualname__)
    if not os.path.isfile(code.co_filename):
        return None
    return Place(file=_shown(code.co_filename), line=code.co_firstlineno)


def _shown(file: str) -> str:
    """The path from here, if the file is below: it is the same on another machine."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative
