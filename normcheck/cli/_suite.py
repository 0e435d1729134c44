"""``--suite``: options of a command that stand in the configuration, by a name.

Its keys are the command's own parameters, so there is no second list of them. What is typed on the command line
counts more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import click
from click.core import ParameterSource

from normcheck.config import Config, check_keys, tables
from normcheck.conventions.catalogue import parse, spelled
from normcheck.errors import ConfigError, NormcheckError, UnknownNameError, UsageError
from normcheck.fixtures import SUFFIXES
from normcheck.ledger.read import Ledger, entries_of
from normcheck.parameters import TABLE, ended_by

_ON_THE_COMMAND_LINE = frozenset(
    {"suite", "config", "no_config", "write_known", "format_name", "output", "quiet", "verbose"}
    | {"reports", "save_baseline", "baseline", "baseline_factor"}
)
_KNOWN = "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What a suite says: values of the command's parameters by name, and the ledger with its own entries."""

    options: Mapping[str, Any]
    ledger: Ledger


def suites_of(config: Config, ledger: Ledger, ctx: click.Context) -> dict[str, Suite]:
    """The suites of a configuration, whose ledger is ``ledger``, as options of the command of ``ctx``.

    All are read, so that a mistake does not wait until its suite is run. ConfigError for unknown keys and values.
    """
    return {name: _suite(name, table, config, ledger, ctx) for name, table in config.suites.items()}


def chosen(name: str, suites: Mapping[str, Suite], config: Config) -> Suite:
    """The suite that is called ``name``; a NormcheckError says which there are."""
    if name in suites:
        return suites[name]
    if suites:
        raise UnknownNameError("suite", name, suites)
    where = (
        f"{config.path} has none" if config.path else "there is no normcheck.toml or pyproject.toml with one"
    )
    raise UsageError(f"--suite {name}: {where}; `normcheck init` writes a start")


def merged(options: Mapping[str, Any], suite: Suite, ctx: click.Context) -> dict[str, Any]:
    """``options`` with those of the suite where the command line says nothing."""
    typed = {name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    ended = typed | ended_by(typed)
    said = {name: value for name, value in suite.options.items() if name not in ended}
    return {**options, **said}


def _suite(name: str, table: Mapping[str, Any], config: Config, ledger: Ledger, ctx: click.Context) -> Suite:
    where = f"{config.path}, suite {name!r}"
    rows = {row.name: row for row in ctx.command.params if row.name and row.name not in _ON_THE_COMMAND_LINE}
    check_keys(table, (*rows, _KNOWN), where)
    options = {
        key: _value(rows[key], value, f"{where}: {key}", config, ctx)
        for key, value in table.items()
        if key != _KNOWN
    }
    own = entries_of(tables(table, _KNOWN, where), where)
    known = replace(ledger, entries=(*ledger.entries, *own), name=str(config.path)) if own else ledger
    return Suite(options=options, ledger=known)


def _value(row: click.Parameter, value: Any, where: str, config: Config, ctx: click.Context) -> Any:
    """``value`` as it would be if it had been typed."""
    if row.multiple:
        typed: Any = [_located(row, text, config) for text in _texts(value, where)]
    elif isinstance(row, click.Option) and row.is_flag:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {value!r}; it must be true or false")
        typed = value
    elif isinstance(value, bool | dict) or (isinstance(value, list) and row.name not in TABLE):
        raise ConfigError(f"{where} is {value!r}; it must be one value, as on the command line")
    else:
        typed = _spelled(row, value, where)
    try:
        found = row.type_cast_value(ctx, typed)
        if row.name == "conventions":
            parse(found)
        elif row.name in TABLE:
            TABLE[row.name].value(found)
        return found
    except click.BadParameter as error:
        raise ConfigError(f"{where}: {error.message}") from None
    except NormcheckError as error:
        raise ConfigError(f"{where}: {error}") from None


def _texts(value: Any, where: str) -> Iterator[str]:
    """The texts of an array, or of a table of keys and values, as conventions may be written."""
    if isinstance(value, dict):
        value = [f"{key}={spelled(each)}" for key, each in value.items()]
    if not (isinstance(value, list) and value and all(isinstance(each, str) for each in value)):
        raise ConfigError(f"{where} is {value!r}; it must be an array of texts, and not empty")
    yield from value


def _spelled(row: click.Parameter, value: Any, where: str) -> Any:
    """A parameter of a normalization may be data: it becomes what would be typed."""
    if row.name not in TABLE or isinstance(value, str):
        return value
    kind = TABLE[row.name].kind
    try:
        return kind.spell(kind.read(value))
    except ValueError as error:
        raise ConfigError(f"{where} is {value!r}; it must be {error}") from None


def _located(row: click.Parameter, text: str, config: Config) -> str:
    """Files are named from the directory of the configuration, wherever the command is run."""
    from normcheck.backend import moved

    assert config.path is not None  # noqa: S101 (it has a suite)
    folder = os.path.dirname(config.path)
    if row.name == "backends":
        return moved(text, folder)
    return os.path.join(folder, text) if row.name == "fixtures" and text.endswith(SUFFIXES) else text
