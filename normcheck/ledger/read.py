"""Find the file with the ledger, and read its entries."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normcheck.case import Output
from normcheck.errors import ConfigError
from normcheck.report import Known
from normcheck.verdict import Verdict

OWN_FILE, PROJECT_FILE = "normcheck.toml", "pyproject.toml"
_REQUIRED = ("case", "backend", "verdict", "reason")
_KEYS = (*_REQUIRED, "output", "version", "link")
_OURS = re.compile(r"\btool\s*\.\s*[\"']?normcheck\b")  # a table, or a key, of ours


class UnreadableError(ConfigError):
    """A file that is not TOML, so that nobody knows what it says."""


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


def find() -> Ledger:
    """The ledger that is in force here: of the current directory, or of the nearest above that has one.

    A pyproject.toml is any tool's: one that cannot be read, and does not speak of normcheck, is left out with a note.
    """
    notes: list[str] = []
    for folder in _here_and_above():
        own, project = folder / OWN_FILE, folder / PROJECT_FILE
        if os.path.isfile(own):  # unlike Path's, False where the directory may not be searched
            return replace(read(own), notes=tuple(notes))
        if not os.path.isfile(project):
            continue
        try:
            found = understood(content(project), project)
        except UnreadableError as error:
            if _speaks_of_normcheck(project):
                raise
            notes.append(f"left out: {error}")
            continue
        if found is not None:
            return replace(found, notes=tuple(notes))
    return Ledger(notes=tuple(notes))


def read(path: Path) -> Ledger:
    """The ledger in a file; ConfigError where it cannot be read or has unknown keys or values."""
    found = understood(content(path), path)
    if found is None:
        raise ConfigError(f"{path}: has no [tool.normcheck]")
    return found


def content(path: Path) -> str:
    """What a file holds, its line ends as they are; UnreadableError where it cannot be read."""
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: not readable as TOML: {error}") from None


def understood(text: str, path: Path) -> Ledger | None:
    """The ledger that ``text`` is as the content of ``path``; None for a pyproject.toml that has nothing of ours.

    ConfigError where it is not TOML, or has unknown keys or values.
    """
    table = _table(text, path)
    if table is None:
        return None
    if unknown := sorted(set(table) - {"known"}):
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; valid: known")
    entries = table.get("known", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise ConfigError(
            f"{path}: 'known' must be an array of tables: [[known]] or [[tool.normcheck.known]]"
        )
    found = (
        each
        for number, entry in enumerate(entries, 1)
        for each in _entries(entry, f"{path}, known entry {number}")
    )
    return Ledger(entries=tuple(found), name=str(path))


def _table(text: str, path: Path) -> Mapping[str, Any] | None:
    try:
        table: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: not readable as TOML: {error}") from None
    if path.name == PROJECT_FILE:
        tool = table.get("tool")
        table = tool.get("normcheck") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.normcheck must be a table")
    return table


def _here_and_above() -> Iterator[Path]:
    """By relative paths: what a report shows of them is the same on another machine."""
    with contextlib.suppress(OSError):  # the current directory may have been deleted
        yield from (Path(*[os.pardir] * depth) for depth in range(len(Path.cwd().parts)))


def _speaks_of_normcheck(path: Path) -> bool:
    try:
        return _OURS.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


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
    for name, value in entry.items():
        if name not in _KEYS:
            raise ConfigError(f"{where}: unknown key {name!r}; valid: {', '.join(_KEYS)}")
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
