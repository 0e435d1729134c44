"""The report as GitHub workflow commands: annotations on the lines of the user's own code.

A command is a line ``::error file=…,line=…,title=…::message`` on standard output. Escapes are those that the runner
undoes (actions/runner, ActionCommand.cs).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from normcheck.change import Change, Trend
from normcheck.errors import ExitCode
from normcheck.printable import one_line, printable
from normcheck.report import Comparison, Report
from normcheck.reports.compose import summary
from normcheck.reports.figures import badness
from normcheck.reports.outcome import Outcome, outcomes, troubles
from normcheck.reports.paragraphs import occasion, paragraph
from normcheck.reports.since import sentence
from normcheck.reports.text import plural

SHOWN = 10  # annotations of each kind that GitHub shows of a step
LONGEST = 4000  # characters of a message

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def render(report: Report) -> str:
    """The annotations: errors for what fails the run, the worst first; warnings for LOOSE; notices for the rest."""
    errors = [*_troubles(report), *_of_results(report, red=True)]
    warnings = list(_of_results(report, red=False))
    said = ["".join(span.text for span in line) for line in summary(report)]
    verdict = _command(
        "error" if report.exit_code is not ExitCode.OK and not errors else "notice",
        f"normcheck: exit code {int(report.exit_code)}",
        "\n".join(said),
    )
    notices = [verdict, *_known(report), *_better(report)]
    found = (
        *_at_most(errors, "error", f"more that fail: {said[0]}"),
        *_at_most(warnings, "warning", "more that are loose"),
        *_at_most(notices, "notice", "more that are known or better than they were"),
    )
    return "".join(f"{line}\n" for line in found)


def _of_results(report: Report, *, red: bool) -> Iterator[str]:
    """The red results, or the LOOSE ones, the worst first; a case without any result has one annotation."""
    wanted = [each for each in outcomes(report) if (each[1].red if red else each[1] is Outcome.LOOSE)]
    wanted.sort(key=lambda each: badness(each[0]), reverse=True)
    first = {occasion(result): (result, change) for result, _, change in reversed(wanted)}
    kind = "error" if red else "warning"
    for result, change in reversed(first.values()):
        yield _of_result(kind, result, change, report)


def _of_result(kind: str, result: Comparison, change: Change | None, report: Report) -> str:
    told = paragraph(result, report)
    word = "worse than the baseline" if change is not None and result.verdict.good else result.verdict.value
    grown = [] if change is None else [sentence(change, report)]
    message = "\n".join([*grown, *told.lines, f"reproduce: {told.command}"])
    title = f"{word}: {result.backend}, {result.case_id}, {result.output.value}"
    return _command(kind, title, message, _place(result.backend, report))


def _troubles(report: Report) -> Iterator[str]:
    for trouble in troubles(report):
        yield _command("error", "normcheck", trouble)


def _known(report: Report) -> Iterator[str]:
    """One notice for each backend and reason that the ledger states."""
    counts: dict[tuple[str, str], int] = {}
    for result in report.results:
        if result.known is not None:
            key = (result.backend, result.known.words)
            counts[key] = counts.get(key, 0) + 1
    for (backend, reason), count in counts.items():
        yield _command("notice", f"known: {backend}", f"{reason}: {plural(count, 'comparison')}")


def _better(report: Report) -> Iterator[str]:
    for change in report.baseline.changes if report.baseline is not None else ():
        if change.trend is Trend.BETTER:
            title = f"better: {change.backend}, {change.case}, {change.output.value}"
            yield _command("notice", title, sentence(change, report))


def _place(backend: str, report: Report) -> Mapping[str, str]:
    """The file and line of a user's own code, from the top of the repository; empty for what is not in it."""
    if (place := report.sources.get(backend)) is None:
        return {}
    top = os.path.realpath(os.environ.get("GITHUB_WORKSPACE") or os.curdir)
    file = os.path.relpath(os.path.join(os.getcwd(), place.file), top)  # a name may be none that a disk has
    if file.split(os.sep)[0] == os.pardir:
        return {}
    return {"file": file, **({} if place.line is None else {"line": str(place.line)})}


def _command(kind: str, title: str, message: str, place: Mapping[str, str] | None = None) -> str:
    properties = {**(place or {}), "title": title}
    told = ",".join(f"{name}={_escaped(one_line(value), _PROPERTY)}" for name, value in properties.items())
    text = message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
    return f"::{kind} {told}::{_escaped(printable(text), _DATA)}"


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(sign, sign) for sign in text)


def _at_most(commands: list[str], kind: str, words: str) -> Iterable[str]:
    """As many as GitHub shows; the last of them says how many there are beyond."""
    if len(commands) <= SHOWN:
        return commands
    rest = _command(kind, "normcheck", f"{len(commands) - SHOWN + 1} {words}; the log has them")
    return [*commands[: SHOWN - 1], rest]
