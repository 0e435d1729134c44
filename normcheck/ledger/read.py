"""Read the entries of a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from normcheck.case import Output
from normcheck.config import Config, check_keys
from normcheck.errors import ConfigError
from normcheck.report import Known
from normcheck.verdict import Verdict

_REQUIRED = ("case", "backend", "verdict", "reason")
_KEYS = (*_REQUIRED, "output", "version", "link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known deviation; ``version`` is a pattern, None any. ``where`` names its file and number, for errors."""

    case: str
    backend: str
    verdict: Verdict
    output: Output | None
    version: str | None
    known: Known
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The entries in force; ``name`` is their file, None where there is none, ``notes`` what a reader should know."""

    entries: tuple[Entry, ...] = ()
    name: str | None = None
    notes: tuple[str, ...] = ()


NO_LEDGER = Ledger()


def ledger_of(config: Config) -> Ledger:
    """The ledger of a configuration; ConfigError where an entry has unknown keys or values."""
    return Ledger(
        entries=entries_of(config.known, str(config.path)),
        name=str(config.path) if config.known else None,
        notes=config.notes,
    )


def entries_of(tables: Iterable[Mapping[str, Any]], where: str) -> tuple[Entry, ...]:
    """The entries that ``tables`` of ``where`` state."""
    return tuple(
        each
        for number, table in enumerate(tables, 1)
        for each in _entries(table, f"{where}, known entry {number}")
    )


def _entries(entry: Mapping[str, Any], where: str) -> tuple[Entry, ...]:
    """The entries of one table: one for each pattern of ``case``."""
    cases = entry.get("case")
    if isinstance(cases, list):
        if not cases:
            raise ConfigError(f"{where}: case is an empty array")
        return tuple(_entry({**entry, "case": case}, where) for case in cases)
    return (_entry(entry, where),)


def _entry(entry: Mapping[str, Any], where: str) -> Entry:
    for name in _REQUIRED:
        if name not in entry:
            raise ConfigError(f"{where}: {name!r} is missing; required: {', '.join(_REQUIRED)}")
    check_keys(entry, _KEYS, where)
    for name, value in entry.items():
        if not (isinstance(value, str) and value.strip()):
            raise ConfigError(f"{where}: {name} is {value!r}; it must be text")
    valid = [verdict for verdict in Verdict if verdict is not Verdict.PASS]
    if entry["verdict"] not in valid:
        raise ConfigError(f"{where}: verdict is {entry['verdict']!r}; valid: {', '.join(valid)}")
    output = entry.get("output")
    if output is not None and output not in list(Output):
        raise ConfigError(f"{where}: output is {output!r}; valid: {', '.join(Output)}")
    return Entry(
        case=entry["case"],
        backend=entry["backend"],
        verdict=Verdict(entry["verdict"]),
        output=None if output is None else Output(output),
        version=entry.get("version"),
        known=Known(reason=entry["reason"], link=entry.get("link")),
        where=where,
    )
