"""What a run says beside a baseline, in lines: what grew, what improved, what could not be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normcheck.backend import host_in
from normcheck.change import Change, Since, Trend
from normcheck.report import Report
from normcheck.reports.text import MARKS, plural, roundoffs
from normcheck.reports.view import Line, Role, Span
from normcheck.verdict import Verdict

SHOWN = 10  # changes of a kind


def sentence(change: Change, report: Report) -> str:
    """``was 2.1 u, now 9.4 u: torch 2.12 → 2.13``."""
    now = "unsupported" if change.now is None else f"{roundoffs(change.now)} u"
    return f"was {roundoffs(change.was)} u, now {now}: {_cause(change.backend, report)}"


def lines(report: Report) -> Iterator[Line]:
    """The lines on the baseline of ``report``; none where it has none."""
    if (since := report.baseline) is None:
        return
    better = [change for change in since.changes if change.trend is Trend.BETTER]
    yield from _changes(since.failures, report, Span(f"{MARKS[Verdict.FAIL]} WORSE  ", Role.BAD))
    yield from _changes(better, report, Span(f"{MARKS[Verdict.PASS]} BETTER  ", Role.GOOD))
    yield (Span(_extent(since), Role.QUIET),)


def _changes(changes: Sequence[Change], report: Report, head: Span) -> Iterator[Line]:
    for change in changes[:SHOWN]:
        where = f"{change.backend} · {change.case} · {change.output.value}"
        yield (head, Span(where, Role.TITLE), Span(f": {sentence(change, report)}"))
    if (more := len(changes) - SHOWN) > 0:
        yield (head, Span(f"… and {more} more: see --format json", Role.QUIET))


def _cause(backend: str, report: Report) -> str:
    """What is another one than it was: the version, or the CPU; else that nothing is."""
    assert report.baseline is not None  # noqa: S101 (there are changes)
    then, now = report.baseline.versions.get(backend, (None, None))
    name = host_in(report.arguments.get(backend, "")) or backend
    if then != now:
        return f"{name} {then or 'without a version'} → {now or 'without a version'}"
    same = f"{name} {now}, as then" if now else f"{name} as then"
    elsewhere = report.baseline.cpu != report.environment.cpu
    return f"{same}; on another CPU, {report.baseline.cpu}" if elsewhere else same


def _extent(since: Since) -> str:
    parts = [f"{plural(since.compared, 'result')} compared with it"]
    parts += [f"{count} of {name} not in it" for name, count in since.new.items()]
    if since.redrawn:
        parts.append(f"{since.redrawn} not, whose numbers another --seed drew")
    if since.not_run:
        parts.append(f"{plural(since.not_run, 'entry', 'entries')} not run")
    return f"baseline {since.file} (factor {since.factor:g}): {'; '.join(parts)}"
