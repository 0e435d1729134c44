"""Backward errors of users' code as multiples of those of the framework that hosts it. They are no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from normcheck.backend import host_in
from normcheck.report import Comparison, Report
from normcheck.reports.text import roundoffs


def multiples(report: Report, results: Iterable[Comparison]) -> Mapping[int, str]:
    """``1.6×`` for each of ``results``, by its id, whose framework was compared in the same case under its own name."""
    found = list(results)
    own = {(r.case.id, r.backend): r.backward_error for r in found}
    said = {}
    for result in found:
        host = host_in(report.arguments.get(result.backend, ""))
        base = own.get((result.case.id, host)) if host != result.backend else None
        if base and result.backward_error is not None and result.verdict.compared:
            said[id(result)] = f"{roundoffs(result.backward_error / base)}×"
    return said
