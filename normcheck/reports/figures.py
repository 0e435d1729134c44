"""Results as figures in a table: how bad, in which role, and the worst of several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from normcheck.case import Case, Output
from normcheck.dtype import DType
from normcheck.report import EXPECTED, Comparison
from normcheck.reports.text import KNOWN, MARKS, number, plural, roundoffs
from normcheck.reports.view import Figures, Matrix, Role, Row
from normcheck.verdict import SEVERITY, Verdict

ROLES = {
    Verdict.PASS: Role.GOOD,
    Verdict.LOOSE: Role.NOTICE,
    Verdict.FAIL: Role.BAD,
    Verdict.INCONCLUSIVE: Role.NOTICE,
    Verdict.ERROR: Role.BAD,
    Verdict.CRASH: Role.BAD,
    Verdict.TIMEOUT: Role.BAD,
    Verdict.UNSUPPORTED: Role.QUIET,
    Verdict.UNAVAILABLE: Role.BAD,
}


def badness(result: Comparison) -> tuple[int, float]:
    """The key to sort results by, the worst last; a known deviation is no worse than LOOSE."""
    verdict = result.verdict if result.known is None else Verdict.LOOSE
    return len(SEVERITY) - SEVERITY.index(verdict), ratio(result)


def ratio(result: Comparison) -> float:
    """The backward error in units of the allowed one; infinite where there is none."""
    if result.backward_error is None or not result.allowed:
        return math.inf
    return result.backward_error / result.allowed


def mark(result: Comparison) -> str:
    """The mark of the verdict, or of a known deviation."""
    return MARKS[result.verdict] if result.known is None else KNOWN


def role(result: Comparison) -> Role:
    """The role of the verdict, or of a known deviation."""
    return ROLES[result.verdict] if result.known is None else Role.KNOWN


def case_name(case: Case) -> tuple[str, str]:
    """The fixture, and what else sets the case apart from others of its method."""
    details = [*case.options, *([case.dtype.value] if case.dtype is not DType.FLOAT32 else [])]
    return case.fixture, " ".join(details)


def place(result: Comparison) -> str:
    """The name of the result's case on one line."""
    return " ".join(filter(None, case_name(result.case)))


def by_case(
    results: Iterable[Comparison], multiples: Mapping[int, str], *, folds: bool, several: bool
) -> Matrix:
    """A row for each case of ``results``, which are of y: first those that need attention.

    Where it ``folds`` the cases that pass are one row, if another one needs attention or there are ``several`` tables.
    ``multiples`` are by the id of a result.
    """
    results = list(results)
    backends = _backends(results)
    rows: list[Row] = []
    passed: list[Row] = []
    folded: list[Comparison] = []
    for case, group in groupby(results, key=lambda result: result.case):
        found = {result.backend: result for result in group if result.backend != EXPECTED}
        name, detail = case_name(case)
        allowed = next((r.allowed for r in found.values() if r.allowed is not None), None)
        cells = tuple(
            _figures(found.get(backend), multiple=multiples.get(id(found.get(backend)), ""))
            for backend in backends
        )
        fine = all(result.verdict is Verdict.PASS for result in found.values())
        if fine:
            folded += found.values()
        (passed if fine else rows).append(Row(name=name, detail=detail, cells=cells, last=roundoffs(allowed)))
    if folds and len(passed) > 1 and (rows or several):
        said = f"{len(passed)} others that pass" if rows else plural(len(passed), "case")
        (worst,) = _worst_rows(results, {said: folded})
        passed = [replace(worst, detail="the worst of each", last="")]
    rows += passed
    return Matrix(title="", corner="case", columns=backends, last="allowed", rows=tuple(rows))


def by_output(results: Sequence[Comparison]) -> Matrix:
    """A row for each output: of each backend, the case in which it is worst."""
    order = [output for output in Output if any(result.output is output for result in results)]
    rows = _worst_rows(
        results, {output.value: [r for r in results if r.output is output] for output in order}
    )
    return Matrix(
        title="the other outputs, each in the case where it is worst",
        corner="output",
        columns=_backends(results),
        last="worst in",
        rows=rows,
    )


def by_law(results: Sequence[Comparison]) -> Matrix:
    """A row for each law, with the backward error in units of the allowed one.

    An empty cell says that the law was not applied to the backend: it is no pass.
    """
    laws = {law: [r for r in results if r.law == law] for law in dict.fromkeys(r.law for r in results)}
    return Matrix(
        title="laws, each in the case where it is worst: backward error in units of the allowed",
        corner="law",
        columns=_backends(results),
        last="worst in",
        rows=_worst_rows(results, laws),
    )


def _worst_rows(results: Sequence[Comparison], by_name: dict[str, list[Comparison]]) -> tuple[Row, ...]:
    """A row for each name: the worst result of each backend, and where the worst of these is."""
    backends = _backends(results)
    rows = []
    for name, own in by_name.items():
        ordered = sorted(own, key=badness)
        worst = {result.backend: result for result in ordered}
        last = f"{place(ordered[-1])} ({ordered[-1].backend})" if len(worst) > 1 else place(ordered[-1])
        cells = tuple(_figures(worst.get(backend), placed=True) for backend in backends)
        rows.append(Row(name=name, cells=cells, last=last))
    return tuple(rows)


def _backends(results: Iterable[Comparison]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.backend for r in results if r.backend != EXPECTED))


def _figures(result: Comparison | None, *, placed: bool = False, multiple: str = "") -> Figures | None:
    if result is None:
        return None
    quiet = result.verdict.good or result.known is not None
    compared = result.verdict.compared and result.backward_error is not None
    figures = ("", "", "")
    if compared and result.law:
        figures = ("", roundoffs(ratio(result)), "")
    elif compared:
        figures = (number(result.max_abs_diff), roundoffs(result.backward_error), roundoffs(result.allowed))
    return Figures(
        difference=figures[0],
        backward_error=figures[1],
        allowed=figures[2],
        mark=mark(result),
        word=result.verdict.value if quiet else result.verdict.value.upper(),
        place=place(result) if placed else "",
        role=role(result),
        multiple=multiple,
    )
