"""A function or a layer of a test as a backend: its name, and for a worker the place where that finds it again."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from normcheck.backend import FILE
from normcheck.backends import BUILTIN
from normcheck.errors import TargetError
from normcheck.report import EXPECTED
from normcheck.run.backends import BackendSpec
from normcheck.run.inprocess import spec_of

NAMELESS = "yours"
TAKEN = (*BUILTIN, FILE, EXPECTED)


def spec(value: Any, *, host: str | None, isolated: bool, module: ModuleType | None) -> BackendSpec:
    """The backend that ``value`` is: a function or a layer, or what ``--backend`` takes.

    ``host`` is its framework, None: that which its class or its code names. If ``isolated`` a worker imports it from
    where it is defined, or from the ``module`` of the test; TargetError where it is found in neither.
    """
    if isinstance(value, str):
        return BackendSpec.parse(value)
    name = name_of(value)
    found = spec_of(name, value if host is None else (host, value))
    if not isolated:
        return found
    target = place_of(value, module)
    return replace(
        found,
        argument=f"{name}={found.host}:{target}",
        target=target,
        function=None,
        paths=tuple(sys.path),
    )


def name_of(value: Any) -> str:
    """What a report calls it: the name of the function, or of the layer's class."""
    while isinstance(value, functools.partial):
        value = value.func
    name = re.sub(r"[^\w.-]", "", str(getattr(value, "__name__", type(value).__name__)))
    return f"my_{name}" if name in TAKEN else name or NAMELESS


def place_of(value: Any, module: ModuleType | None) -> str:
    """``path/to/file.py:attribute`` or ``package.module:attribute``, under which another process finds ``value``."""
    for place, attribute in _candidates(value, module):
        if _at(place, attribute) is value:
            return f"{_imported_as(place)}:{attribute}"
    raise TargetError(
        f"{name_of(value)} cannot run isolated: a worker imports it by its name, and it has none at the top level of a "
        "module, as a lambda, a closure or what a fixture made has not; define it there, or run it in this process"
    )


def _candidates(value: Any, module: ModuleType | None) -> Iterator[tuple[ModuleType, str]]:
    own = sys.modules.get(str(getattr(value, "__module__", None)))
    if own is not None and isinstance(name := getattr(value, "__qualname__", None), str):
        yield own, name
    for place in filter(None, (module, own)):
        yield from ((place, name) for name, found in list(vars(place).items()) if found is value)


def _at(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        found = getattr(found, name, None)
    return found


def _imported_as(module: ModuleType) -> str:
    """A file that is in no package by its path: another one may have its name."""
    file = getattr(module, "__file__", None)
    alone = not getattr(module, "__package__", None)
    return file if alone and isinstance(file, str) and file.endswith(".py") else module.__name__
