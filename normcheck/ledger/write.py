"""Add entries to a ledger for what fails in a run. Why it does is for the user to say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from normcheck.case import Output
from normcheck.config import NO_CONFIG, PROJECT_FILE, content, understood
from normcheck.errors import ConfigError
from normcheck.ledger.apply import applied
from normcheck.ledger.read import Ledger, ledger_of
from normcheck.report import Comparison, Known, Report
from normcheck.verdict import Verdict

TO_DO = "TODO: say why"
_FOUND_KEPT = 160  # characters of what was found


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an entry has in common; ``output`` is None where a call gave no output at all."""

    backend: str
    verdict: Verdict
    output: Output | None
    known: Known | None


def existing(path: Path) -> str:
    """What the ledger at ``path`` holds so far; empty where there is none.

    ConfigError where it cannot be understood: nothing is added to that.
    """
    if not os.path.lexists(path):
        return ""
    text = content(path)
    _ledger(text, path)
    return text


def extended(text: str, path: Path, report: Report) -> tuple[str, int]:
    """``text``, the content of ``path``, with entries for all failures that it does not know of; and their number.

    With it alone as the ledger the same run passes. A backend that is unavailable is no failure of its own: that is
    not written. Other ledgers that ``report`` was seen with lend their reasons.
    """
    before = _ledger(text, path)
    bare = replace(report, results=tuple(replace(result, known=None) for result in report.results))
    seen = {_place(result): result.known for result in report.results}
    answered = {(result.backend, result.case_id) for result in report.results if result.verdict.compared}
    kinds: dict[_Kind, list[Comparison]] = {}
    for result in applied(before, bare).failures():
        if result.verdict is Verdict.UNAVAILABLE:
            continue
        output = result.output if (result.backend, result.case_id) in answered else None
        kind = _Kind(result.backend, result.verdict, output, seen[_place(result)])
        kinds.setdefault(kind, []).append(result)
    head = "[[tool.normcheck.known]]" if path.name == PROJECT_FILE else "[[known]]"
    tables = [_table(head, kind, results) for kind, results in kinds.items()]
    if not tables:
        return text, 0
    start = [text if text.endswith("\n") else f"{text}\n"] if text else []
    longer = "\n".join([*start, *tables])
    _check(longer, path, head)
    return longer, len(tables)


def _place(result: Comparison) -> tuple[str, str, str]:
    return result.backend, result.case_id, result.output


def _table(head: str, kind: _Kind, results: Sequence[Comparison]) -> str:
    known = kind.known or Known(reason=_to_do(results[0]))
    cases = dict.fromkeys(result.case_id for result in results)
    lines = [head, f"backend = {_quoted(kind.backend)}", "case = ["]
    lines += [f"  {_quoted(case)}," for case in cases]
    lines += ["]"]
    lines += [] if kind.output is None else [f"output = {_quoted(kind.output)}"]
    lines += [f"verdict = {_quoted(kind.verdict)}", f"reason = {_quoted(known.reason)}"]
    lines += [] if known.link is None else [f"link = {_quoted(known.link)}"]
    return "\n".join([*lines, ""])


def _to_do(first: Comparison) -> str:
    """What is to be filled in, and what the first of several failures was."""
    found = " ".join((first.reason or "").split())[:_FOUND_KEPT]
    return f"{TO_DO} ({found})" if found else TO_DO


def _check(text: str, path: Path, head: str) -> None:
    """ConfigError unless the tables can be added: to an array that is written in one line, none can."""
    try:
        _ledger(text, path)
    except ConfigError:
        raise ConfigError(
            f"{path}: its 'known' is no array of tables, so nothing can be added: write each entry as {head}"
        ) from None


def _ledger(text: str, path: Path) -> Ledger:
    """The ledger that ``text`` is as the content of ``path``."""
    return ledger_of(understood(text, path) or NO_CONFIG)


def _quoted(text: str) -> str:
    """A basic string of TOML. What is no Unicode, in the name of a file, becomes ``?``, which matches it."""
    sound = text.encode(errors="replace").decode()
    return f'"{"".join(map(_escaped, sound))}"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else f"\\U{ord(sign):08X}"
