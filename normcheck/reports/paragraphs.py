"""Paragraphs on results that are not a plain pass: the error, its place and size, and how to reproduce it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from normcheck.report import Comparison, Known, Report
from normcheck.reports.command import reproduce
from normcheck.reports.figures import ROLES
from normcheck.reports.text import KNOWN, MARKS, number, plural, roundoffs
from normcheck.reports.view import Line, Paragraph, Role, Span
from normcheck.verdict import Verdict

STDERR_LINES = 12
PARAGRAPHS = 5  # for each backend
QUIET = {Verdict.PASS, Verdict.UNSUPPORTED}  # verdicts that need no paragraph


def paragraphs(report: Report) -> Iterator[Paragraph]:
    """A paragraph for each result that is not a plain pass; for each backend, the first few.

    A case without any result gets one, not one for each output.
    """
    return (paragraph(result, report) for result in described(report))


def described(report: Report) -> Iterator[Comparison]:
    """The result of each paragraph."""
    for found in _occasions(report).values():
        yield from found[:PARAGRAPHS]


def alone(result: Comparison) -> Paragraph:
    """The paragraph on a result outside of its report, a pass too: without the command that reproduces it."""
    allowed = ""
    if result.verdict is Verdict.PASS and result.backward_error is not None:
        found = roundoffs(result.backward_error), roundoffs(result.allowed)
        allowed = f"{result.output}: backward error {found[0]} is within the allowed {found[1]}"
    lines = (line for line in (allowed, _reason(result), _worst(result), _extent(result)) if line)
    return Paragraph(head=_head(result), lines=tuple(lines), printed=_printed(result), command="")


def remarks(report: Report) -> Iterator[Line]:
    """The lines below the paragraphs: paragraphs left out, unsupported cases, known deviations, the ledger, notes."""
    for backend, found in _occasions(report).items():
        if (more := len(found) - PARAGRAPHS) > 0:
            text = f"… and {more} more of {backend}: see the table above, or --format json"
            yield (Span(text, Role.QUIET),)
    yield from _decided_elsewhere(report)
    yield from _unsupported(report.results)
    yield from _known(report.results)
    if report.ledger is not None:
        yield (Span(f"ledger: {report.ledger}", Role.QUIET),)
    for problem in report.stale:
        yield (Span(f"{MARKS[Verdict.FAIL]} LEDGER  ", Role.BAD), Span(problem))
    for note in report.notes:
        yield (Span(f"note: {note}", Role.QUIET),)


def _occasions(report: Report) -> dict[str, list[Comparison]]:
    """The results that need a paragraph, by backend."""
    elsewhere = {id(result) for result in report.decided_elsewhere()}
    unexpected = [
        result
        for result in report.results
        if result.known is None and result.verdict not in QUIET and id(result) not in elsewhere
    ]
    first = {occasion(result): result for result in reversed(unexpected)}
    found: dict[str, list[Comparison]] = {}
    for result in reversed(first.values()):
        found.setdefault(result.backend, []).append(result)
    return found


def occasion(result: Comparison) -> tuple[str, str, str | None]:
    """What has one paragraph: an output, or a call that gave none at all."""
    output = result.output if result.verdict.compared or result.seconds is not None else None
    return result.backend, result.case_id, output


def paragraph(result: Comparison, report: Report) -> Paragraph:
    """The facts about one result."""
    lines = (line for line in (_reason(result), _worst(result), _extent(result)) if line)
    command = reproduce(result, report)
    return Paragraph(head=_head(result), lines=tuple(lines), printed=_printed(result), command=command)


def _head(result: Comparison) -> Line:
    where = [result.backend, result.case_id, *([result.output.value] if occasion(result)[2] else [])]
    return (
        Span(f"{MARKS[result.verdict]} {result.verdict.value.upper()}  ", ROLES[result.verdict]),
        Span(" · ".join(where), Role.TITLE),
    )


def _printed(result: Comparison) -> tuple[str, ...]:
    return tuple(result.stderr.rstrip().splitlines()[-STDERR_LINES:]) if result.stderr.strip() else ()


def _reason(result: Comparison) -> str:
    if not result.reason:
        return ""
    return f"{result.output}: {result.reason}" if result.verdict.compared else result.reason


def _worst(result: Comparison) -> str:
    if (worst := result.worst) is None:
        return ""
    source = "" if worst.x is None else f"x = {worst.x:.9g}, "
    reference = "the law demands" if result.law else "the oracle"
    return (
        f"worst at {list(worst.index)}: {source}{result.backend} has {worst.actual:.9g}, "
        f"{reference} {worst.expected:.9g}, |Δ| {abs(worst.actual - worst.expected):.3g}"
    )


def _extent(result: Comparison) -> str:
    if result.mismatched is None or not result.total:
        return ""
    figures = [f"max |Δ| {number(result.max_abs_diff)}"]
    if result.max_rel_diff is not None:
        figures.append(f"relative {number(result.max_rel_diff)}")
    if result.max_ulp is not None:
        figures.append(f"{result.max_ulp} ulp")
    share = f"{result.mismatched} of {result.total} elements ({result.mismatched / result.total:.0%})"
    return f"{share} exceed the allowed backward error; {', '.join(figures)}"


def _decided_elsewhere(report: Report) -> Iterator[Line]:
    """The outputs that a case leaves open and another case decides, one line for each."""
    backends: dict[tuple[str, str], list[str]] = {}
    for result in report.decided_elsewhere():
        backends.setdefault((result.case_id, result.output), []).append(result.backend)
    for (case, output), names in backends.items():
        text = f"{case} cannot decide {output} ({', '.join(names)}); other cases do"
        yield (Span(f"{MARKS[Verdict.INCONCLUSIVE]} {text}", Role.QUIET),)


def _unsupported(results: Iterable[Comparison]) -> Iterator[Line]:
    cases: dict[tuple[str, str], set[str]] = {}
    for result in results:
        if result.verdict is Verdict.UNSUPPORTED and result.known is None:
            cases.setdefault((result.backend, result.reason or ""), set()).add(result.case_id)
    for (backend, reason), found in cases.items():
        text = f"– {backend} does not support {plural(len(found), 'case')}: {reason}"
        yield (Span(text, Role.QUIET),)


def _known(results: Iterable[Comparison]) -> Iterator[Line]:
    """The known deviations, one line for each reason and backend."""
    occasions: dict[tuple[str, Known], list[Comparison]] = {}
    for result in results:
        if result.known is not None:
            occasions.setdefault((result.backend, result.known), []).append(result)
    for (backend, known), found in occasions.items():
        verdicts = " and ".join(dict.fromkeys(result.verdict.value for result in found))
        text = f"{backend}: {known.words}: {verdicts} in {plural(len(found), 'comparison')}"
        yield (Span(f"{KNOWN} known  ", Role.KNOWN), Span(text))
