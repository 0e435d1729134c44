"""Arguments of the Python API as what they mean: names, parameters, conventions, fixtures, backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar

from normcheck.case import Method, Mode, Output
from normcheck.conventions.catalogue import Convention, parse, spelled
from normcheck.dtype import DType
from normcheck.errors import FixtureError, UnknownNameError, UsageError
from normcheck.fixtures import ALL, catalogue, tags
from normcheck.parameters import row_of
from normcheck.run.backends import BackendSpec, check_alias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from normcheck.fixtures import Fixture

Name = TypeVar("Name", Method, DType, Mode, Output)
Names = str | Iterable[str] | None
Fixtures = str | PathLike[str] | Iterable[str | PathLike[str]] | Mapping[str, Any]
Backends = str | Iterable[str] | Mapping[str, Any]
Conventions = str | Iterable[str] | Mapping[str, Any]


def named(kind: type[Name], name: str, what: str) -> Name:
    """The member of an enumeration, or an error that names the valid ones."""
    try:
        return kind(name)
    except (TypeError, ValueError):
        raise UnknownNameError(what, str(name), list(kind)) from None


def members(kind: type[Name], names: Names, what: str) -> tuple[Name, ...]:
    """The members of an enumeration that one name or several stand for; none for None."""
    if names is None:
        return ()
    given = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    return tuple(named(kind, name, what) for name in given)


def params_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name, checked; those that are None are left out."""
    return {name: row_of(name).value(value) for name, value in parameters.items() if value is not None}


def convention_of(given: Conventions) -> Convention:
    """``"weight=1+w"``, several of these, or a mapping such as ``{"weight": "1+w"}``."""
    if isinstance(given, Mapping):
        given = [f"{key}={spelled(value)}" for key, value in given.items()]
    return parse((given,) if isinstance(given, str) else given)


def fixtures_of(given: Fixtures) -> tuple[str | Fixture, ...]:
    """What ``--fixture`` takes, or arrays by the names of fixtures."""
    if isinstance(given, str | PathLike):
        return (fspath(given),)
    if isinstance(given, Mapping):
        _check_filled(given, "fixtures")
        return tuple(held(name, arrays) for name, arrays in given.items())
    return tuple(fspath(fixture) for fixture in given)


def held(name: str, arrays: Any) -> Fixture:
    """The fixture ``name`` of arrays by name, or of x alone."""
    from normcheck.fixtures.named import in_memory  # imports NumPy
    from normcheck.run.hosts import numpy_of

    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"fixtures: {name!r} is no name; write {{'mine': {{'x': …}}}}")
    if name in catalogue() or name in tags() or name == ALL:
        raise UsageError(f"fixtures: {name!r} comes with normcheck; give your arrays another name")
    if isinstance(arrays, str | PathLike):
        raise FixtureError(f"fixture {name}: {arrays!r} is no array; write fixtures=[{arrays!r}]")
    if not isinstance(arrays, Mapping):
        arrays = {"x": arrays}
    where = f"fixture {name}"
    stored = {
        str(key): numpy_of(value, f"{where}: {key}") for key, value in arrays.items() if value is not None
    }
    return in_memory(name, stored)


def array(value: Any, what: str) -> NDArray[Any]:
    """An array of whatever framework as NumPy's; FixtureError where it is none."""
    from normcheck.run.hosts import numpy_of

    return numpy_of(value, what)


def specs_of(backends: Backends) -> tuple[str | BackendSpec, ...]:
    """What ``--backend`` takes; a mapping also has functions and layers, or pairs of a host and one of these."""
    if not isinstance(backends, Mapping):
        return (backends,) if isinstance(backends, str) else tuple(backends)
    from normcheck.run.inprocess import spec_of  # imports NumPy

    _check_filled(backends, "backends")
    for name in backends:
        if name != backends[name]:  # a built-in backend under its name is no alias
            check_alias(name, name)
    return tuple(
        replace(BackendSpec.parse(value), name=name) if isinstance(value, str) else spec_of(name, value)
        for name, value in backends.items()
    )


def _check_filled(given: Mapping[str, Any], what: str) -> None:
    """UsageError for a mapping that names nothing: whoever made it meant something else than the default."""
    if not given:
        raise UsageError(
            f"{what} is an empty mapping: there is nothing to compare; leave it out for the default"
        )
