"""The view of a report: for each method, every backend against the oracle; then how far backends are apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from normcheck.case import Method, Output
from normcheck.report import EXPECTED, Comparison, Report
from normcheck.reports import paragraphs, since
from normcheck.reports.agreement import agreement
from normcheck.reports.figures import ROLES, by_case, by_law, by_output
from normcheck.reports.multiples import multiples
from normcheck.reports.text import KNOWN, MARKS, number, plural
from normcheck.reports.untested import untested
from normcheck.reports.view import Detail, Line, Pairs, Role, Section, Span, View
from normcheck.verdict import Verdict


def compose(report: Report, detail: Detail = Detail.USUAL) -> View:
    """The view of ``report`` that every format for people draws."""
    if detail is Detail.VERDICT:
        nothing = View(head=(), sections=(), paragraphs=(), remarks=(), untested=(), summary=())
        return replace(nothing, summary=tuple(summary(report)))
    methods = dict.fromkeys(result.case.method for result in report.results)
    return View(
        head=_head(report),
        sections=tuple(_section(report, method, folds=detail is Detail.USUAL) for method in methods),
        paragraphs=tuple(paragraphs.paragraphs(report)),
        remarks=(*since.lines(report), *paragraphs.remarks(report)),
        untested=untested(report),
        summary=tuple(summary(report)),
    )


def _head(report: Report) -> Line:
    backends = report.environment.backends.items()
    versions = [f"{name} {facts.get('version', '')}".rstrip() for name, facts in backends]
    seed = [] if report.environment.seed is None else [f"--seed {report.environment.seed}"]
    suite = [] if report.suite is None else [f"--suite {report.suite}"]
    return (
        Span(" · ".join([f"normcheck {report.normcheck_version}", *versions, *suite, *seed]), Role.QUIET),
    )


def _section(report: Report, method: Method, *, folds: bool) -> Section:
    results = [result for result in report.results if result.case.method is method]
    elsewhere = {id(result) for result in report.decided_elsewhere()}
    decisive = [result for result in results if id(result) not in elsewhere]
    by_oracle = [result for result in results if not result.law and result.output is Output.Y]
    others = [r for r in decisive if not r.law and r.output is not Output.Y and r.backend != EXPECTED]
    laws = [result for result in decisive if result.law]
    several = len({result.case.method for result in report.results}) > 1
    own = multiples(report, by_oracle)
    words = "  max |Δ| and backward error β of y against the oracle"
    return Section(
        title=(
            Span(f"{method} norm", Role.TITLE),
            Span(f"{words}, β also as a multiple of the framework's own" if own else words, Role.QUIET),
        ),
        answer=agreement(decisive),
        matrices=(
            by_case(by_oracle, own, folds=folds, several=several),
            *([by_output(others)] if others else []),
            *([by_law(laws)] if laws else []),
        ),
        remarks=tuple(_stated(results)),
        pairs=_pairs(report, method),
    )


def _stated(results: Sequence[Comparison]) -> Iterator[Line]:
    """The fixtures' own expected values that are right."""
    for result in results:
        if result.backend == EXPECTED and result.verdict.good:
            yield (
                Span(f"{result.case.fixture}: the expected values of the fixture agree with the oracle "),
                Span(f"(max |Δ| {number(result.max_abs_diff)}) ", Role.QUIET),
                Span(MARKS[result.verdict], ROLES[result.verdict]),
            )


def _pairs(report: Report, method: Method) -> Pairs | None:
    """The largest difference between each two backends over all cases of ``method``."""
    cases = {case.id for case in report.cases if case.method is method}
    largest: dict[tuple[str, str], float] = {}
    for pair in report.pairs:
        if pair.case in cases and pair.output is Output.Y:
            difference = math.inf if pair.max_abs_diff is None else pair.max_abs_diff
            before = largest.get(pair.backends, 0.0)
            either_nan = math.isnan(difference) or math.isnan(before)
            largest[pair.backends] = math.nan if either_nan else max(before, difference)
    if not largest:
        return None
    names = dict.fromkeys(name for pair in largest for name in pair)
    return Pairs(
        title=f"max |Δ| of y between backends, over {plural(len(cases), 'case')}",
        names=tuple(sorted(names, key=lambda name: name != EXPECTED)),  # first, as in each pair
        cells={pair: "shapes differ" if math.isinf(d) else number(d) for pair, d in largest.items()},
    )


def summary(report: Report) -> Iterator[Line]:
    """The verdict of the run and what it is of, in a line; then what else decides it."""
    unexpected = report.unexpected()
    parts = [f"{unexpected[verdict]} {verdict}" for verdict in Verdict if unexpected[verdict]]
    if known := len(report.results) - sum(unexpected.values()):
        parts.append(f"{known} known")
    if report.stale:
        parts.append(f"{len(report.stale)} stale in the ledger")
    if report.baseline is not None and (worse := len(report.baseline.failures)):
        parts.append(f"{worse} worse than the baseline")
    verdict = report.verdict
    head = Span(f"{MARKS[verdict]} {verdict.value}", ROLES[verdict])
    if report.all_known:
        head = Span(f"{KNOWN} known", Role.KNOWN)
    extent = f"{plural(len(report.cases), 'case')}, {plural(len(report.results), 'comparison')}"
    yield (head, Span(f"  {extent}: {', '.join(parts)}"))
    if report.max_backward_error is not None:
        yield (Span(f"allowed backward error set by --max-backward-error: {report.max_backward_error:g}"),)
    for backend, method in report.uncovered():
        yield (Span(f"{backend} was not compared in any case of {method} norm", Role.BAD),)
    if report.baseline is not None and report.misses_baseline:
        yield (Span(f"nothing was compared with the baseline {report.baseline.file}", Role.BAD),)
