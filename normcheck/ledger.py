"""The ledger of known deviations: the results that are expected to fail, and why.

    [[tool.normcheck.known]]
    backend = "torch.channels_last"
    case = "group*/offset-1e?/float32"
    verdict = "fail"
    reason = "its CPU kernel for channels-last memory computes the variance in one pass"
    link = "docs/findings/torch-group-norm-channels-last.py"

stands in pyproject.toml, or as ``[[known]]`` in normcheck.toml. In ``case`` and ``backend`` ``*`` stands for anything
and ``?`` for one character; brackets stand for themselves. ``case`` may be an array of such patterns, each of which
makes an entry; ``output`` may narrow an entry to one output. A stale entry fails the run: its cases no longer fail, or
nothing matches it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from normcheck.case import Output
from normcheck.errors import ConfigError
from normcheck.report import Comparison, Known
from normcheck.verdict import Verdict

OWN_FILE, PROJECT_FILE = "normcheck.toml", "pyproject.toml"
_REQUIRED = ("case", "backend", "verdict", "reason")
_KEYS = (*_REQUIRED, "output", "link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known deviation; ``where`` names its file and number, for errors."""

    case: str
    backend: str
    verdict: Verdict
    output: Output | None
    known: Known
    where: str

    def concerns(self, result: Comparison) -> bool:
        """True for a comparison that the entry describes, whatever its verdict."""
        return (
            _matches(self.backend, result.backend)
            and _matches(self.case, result.case_id)
            and self.output in (None, result.output)
        )


def find(start: Path) -> Path | None:
    """The file with the configuration of ``start``: in it, or in the nearest directory above that has one."""
    for folder in (start, *start.parents):
        if (own := folder / OWN_FILE).is_file():
            return own
        project = folder / PROJECT_FILE
        if project.is_file() and _table(project) is not None:
            return project
    return None


def read(path: Path) -> tuple[Entry, ...]:
    """The entries of a configuration; ConfigError where it cannot be read or has unknown keys or values."""
    table = _table(path)
    if table is None:
        raise ConfigError(f"{path}: has no [tool.normcheck]")
    if unknown := sorted(set(table) - {"known"}):
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; valid: known")
    entries = table.get("known", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise ConfigError(
            f"{path}: 'known' must be an array of tables: [[known]] or [[tool.normcheck.known]]"
        )
    return tuple(
        each
        for number, entry in enumerate(entries, 1)
        for each in _entries(entry, f"{path}, known entry {number}")
    )


def _table(path: Path) -> Mapping[str, Any] | None:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from None
    if path.name == PROJECT_FILE:
        tool = table.get("tool")
        table = tool.get("normcheck") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.normcheck must be a table")
    return table


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
        known=Known(reason=entry["reason"], link=entry.get("link")),
        where=where,
    )


def apply(
    entries: Sequence[Entry],
    results: Iterable[Comparison],
    *,
    backends: Callable[[], Iterable[str]],
    cases: Callable[[str], Iterable[str]],
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """``results`` with their known deviations, and a sentence for each stale entry.

    An entry about one of ``backends()`` (those that there are) that did not run, or about one of
    ``cases(pattern)`` (the ids that there are, of those that it may mean) that did not, says nothing about this
    run. Both are asked only where there is need.
    """
    found = list(results)
    ran = {result.backend for result in found}
    stale = []
    for entry in entries:
        concerned = [place for place, result in enumerate(found) if entry.concerns(result)]
        expected = [place for place in concerned if found[place].verdict is entry.verdict]
        for place in expected:
            if found[place].known is None:
                found[place] = replace(found[place], known=entry.known)
        if not expected and (problem := _stale(entry, concerned, found, ran, backends, cases)):
            stale.append(f"{entry.where}: {problem}")
    return tuple(found), tuple(stale)


def _stale(
    entry: Entry,
    concerned: Sequence[int],
    results: Sequence[Comparison],
    ran: Iterable[str],
    backends: Callable[[], Iterable[str]],
    cases: Callable[[str], Iterable[str]],
) -> str | None:
    """Why the entry is stale; None where this run does not tell."""
    if concerned:
        verdicts = ", ".join(dict.fromkeys(results[place].verdict.value for place in concerned))
        return (
            f"{entry.backend} no longer gives {entry.verdict} in {entry.case} ({len(concerned)} compared: "
            f"{verdicts}); remove or correct the entry"
        )
    if not any(_matches(entry.backend, name) for name in ran):
        without_options = entry.backend.partition("[")[0]
        if any(_matches(without_options, name) for name in backends()):
            return None
        return f"no backend matches {entry.backend!r}; remove or correct the entry"
    ids = chain((result.case_id for result in results), cases(entry.case))
    if any(_matches(entry.case, case) for case in ids):
        return None
    return f"no case matches {entry.case!r}; remove or correct the entry"


def _matches(pattern: str, text: str) -> bool:
    """``*`` stands for anything, ``?`` for one character, all else for itself: ids have brackets."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    parts = (signs.get(part) or re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.DOTALL)
