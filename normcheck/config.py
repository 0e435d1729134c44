"""The configuration: ``[tool.normcheck]`` in pyproject.toml, or all of normcheck.toml.

    [[tool.normcheck.known]]        # known deviations, see normcheck.ledger
    [tool.normcheck.suites.ci]      # options of normcheck compare, by a name

This module finds the file and says what is in it; what an entry or a suite means is said by who uses it.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from normcheck.errors import ConfigError, UnknownNameError

OWN_FILE, PROJECT_FILE = "normcheck.toml", "pyproject.toml"
_KEYS = ("known", "suites")
_OURS = re.compile(r"\btool\s*\.\s*[\"']?normcheck\b")  # a table, or a key, of ours


class UnreadableError(ConfigError):
    """A file that is not TOML, so that nobody knows what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a file says, as it was written; ``path`` is None where there is none.

    ``known`` are the entries of the ledger, ``suites`` the options of each suite by its name, ``notes`` what a reader
    should know.
    """

    path: Path | None = None
    known: tuple[Mapping[str, Any], ...] = ()
    suites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


NO_CONFIG = Config()


def find() -> Config:
    """The configuration that is in force here: of the current directory, or of the nearest above that has one.

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
    return Config(notes=tuple(notes))


def read(path: Path) -> Config:
    """The configuration in a file; ConfigError where it cannot be read or has unknown keys."""
    found = understood(content(path), path)
    if found is None:
        raise ConfigError(f"{path}: has no [tool.normcheck]")
    return found


def content(path: Path) -> str:
    """What a file holds, its line ends as they are; UnreadableError where it cannot be read."""
    if path.exists() and not path.is_file():
        raise UnreadableError(f"{path}: is no file to read")  # a FIFO would be waited for
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: not readable as TOML: {error}") from None


def understood(text: str, path: Path) -> Config | None:
    """What ``text`` says as the content of ``path``; None for a pyproject.toml that has nothing of ours.

    ConfigError where it is not TOML, or has unknown keys.
    """
    table = _table(text, path)
    if table is None:
        return None
    check_keys(table, _KEYS, str(path))
    suites = table.get("suites", {})
    if not (isinstance(suites, dict) and all(isinstance(suite, dict) for suite in suites.values())):
        raise ConfigError(
            f"{path}: 'suites' must be tables by name: [suites.NAME] or [tool.normcheck.suites.NAME]"
        )
    return Config(path=path, known=tables(table, "known", str(path)), suites=suites)


def check_keys(table: Iterable[str], valid: Iterable[str], where: str) -> None:
    """ConfigError for a key that is none of the valid ones."""
    valid = list(valid)
    for key in table:
        if key not in valid:
            raise ConfigError(f"{where}: {UnknownNameError('key', key, valid)}")


def tables(table: Mapping[str, Any], key: str, where: str) -> tuple[Mapping[str, Any], ...]:
    """The array of tables that stands under ``key``, empty where it is not there."""
    found = table.get(key, [])
    if not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
        raise ConfigError(
            f"{where}: {key!r} must be an array of tables: [[{key}]] or [[tool.normcheck.{key}]]"
        )
    return tuple(found)


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
