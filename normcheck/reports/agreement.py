"""Whether the backends agree, in one line: which do, which differ in how many cases, and the worst figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from normcheck.report import EXPECTED, Comparison
from normcheck.reports.figures import badness, mark, place, ratio, role
from normcheck.reports.text import joined, plural, roundoffs
from normcheck.reports.view import Line, Role, Span
from normcheck.verdict import Verdict

NO_RESULT = {Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR, Verdict.UNAVAILABLE}

# The words for a backend that does not agree: the first that apply to one of its results.
_TROUBLES: tuple[tuple[Callable[[Comparison], bool], str], ...] = (
    (lambda r: r.known is None and r.verdict is Verdict.FAIL and not r.law, "differs"),
    (lambda r: r.known is None and r.verdict is Verdict.FAIL, "breaks a law"),
    (lambda r: r.known is None and r.verdict in NO_RESULT, "gives no result"),
    (lambda r: r.known is None and r.verdict is Verdict.INCONCLUSIVE, "is inconclusive"),
    (lambda r: r.known is not None, "has known deviations"),
)


def agreement(results: Sequence[Comparison]) -> Line:
    """One line on the ``results`` of one method, at least one."""
    backends = list(dict.fromkeys(result.backend for result in results))
    told = {name: _trouble([r for r in results if r.backend == name]) for name in backends}
    agreeing = [name for name in backends if told[name] is None and name != EXPECTED]
    clauses = [f"{_subject(name)} {trouble}" for name, trouble in told.items() if trouble]
    if agreeing:
        verb = "agree" if len(agreeing) > 1 else "agrees with the oracle"
        clauses.append(f"{joined(agreeing)} {verb}: {_extent([r for r in results if r.backend in agreeing])}")
    if not clauses:
        return (Span("– no backend was compared", Role.QUIET),)
    worst = max(results, key=badness)
    return (Span(f"{mark(worst)} ", role(worst)), Span("; ".join(clauses)))


def _subject(name: str) -> str:
    return "an expected value of the fixture" if name == EXPECTED else name


def _trouble(results: Sequence[Comparison]) -> str | None:
    """Why a backend does not agree, and in how many of its cases; None if it agrees."""
    cases = {result.case.id for result in results}
    for applies, words in _TROUBLES:
        if found := {result.case.id for result in results if applies(result)}:
            return f"{words} in {len(found)} of {plural(len(cases), 'case')}"
    if not any(result.verdict.compared for result in results):
        return f"supports none of {plural(len(cases), 'case')}"
    return None


def _extent(results: Iterable[Comparison]) -> str:
    """The backward error that is closest to its bound, and where it is; short, as it has one line."""
    worst = max((result for result in results if result.verdict.compared), key=ratio)
    what = f"law {worst.law}" if worst.law else worst.output.value
    return f"worst {roundoffs(ratio(worst))} of the allowed ({place(worst)}, {worst.backend} {what})"
