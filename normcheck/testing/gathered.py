"""The reports of many tests as one, for ``--normcheck-report``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from normcheck.case import Case, Output
from normcheck.report import EXPECTED, Comparison, Known, Report

Key = tuple[str, str, Output]  # of a result: its backend, its case and law, its output
# What a report has by the name of a backend, and by the id of a case, as far as it has that.
BY_BACKEND, BY_CASE = ("arguments", "sources"), ("offsets",)
MIXED = "tests drew their inputs from several seeds; each says its own where it fails"


def merged(found: Iterable[tuple[str, Report]]) -> Report:
    """One report of all ``found``, at least one, each with the id of the test that made it.

    A backend that another test has under the same name, and a fixture that is something else there, are told apart by
    the ids of their tests.
    """
    gathered = _Gathered()
    for test, report in found:
        gathered.add(test, report)
    return gathered.report()


def with_known(report: Report, reason: str) -> Report:
    """The report of a test that is known to fail: its mismatches are known; what has no result is not."""
    failing = {id(result) for result in report.failures() if result.verdict.compared}
    known = Known(reason=reason)
    results = (replace(result, known=known) if id(result) in failing else result for result in report.results)
    return replace(report, results=tuple(results))


class _Gathered:
    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._owners: dict[
            str, str
        ] = {}  # of the names of backends: tests, without what they are parametrized by
        self._cases: dict[str, Case] = {}
        self._results: dict[Key, Comparison] = {}

    def add(self, test: str, report: Report) -> None:
        """Take in what a test found."""
        report = self._with_cases(test, report)
        names = {result.backend for result in report.results} | report.environment.backends.keys()
        for name in sorted(names - {EXPECTED}):
            own = [result for result in report.results if result.backend == name]
            report = _renamed(report, name, self._free(name, test, own))
        for result in report.results:
            self._results.setdefault(_key(result), result)
        self._reports.append(report)

    def _with_cases(self, test: str, report: Report) -> Report:
        """``report`` with cases that no other test has under the same ids."""
        for own in report.cases:
            case = own
            if not self._same(case):
                case = replace(own, fixture=f"{own.fixture} ({test})")
                report = _with_case(report, own, case)
            wanted = {*self._cases.get(case.id, case).outputs, *case.outputs}
            outputs = tuple(output for output in Output if output in wanted)
            self._cases[case.id] = replace(case, outputs=outputs)
        return report

    def _same(self, case: Case) -> bool:
        """True unless another case has the same id; with other outputs it is the same."""
        before = self._cases.get(case.id, case)
        return replace(before, outputs=case.outputs) == case

    def _free(self, name: str, test: str, results: list[Comparison]) -> str:
        """The name under which a test's backend is told from all others.

        In one file a name is one function, as long as it does not do two things in one case.
        """
        file, number = test.partition("::")[0], 1
        free = name
        while self._owners.setdefault(free, file) != file or any(self._other(free, each) for each in results):
            free = f"{name} ({test})" if number == 1 else f"{name} ({test}) {number}"
            number += 1
        return free

    def _other(self, name: str, result: Comparison) -> bool:
        """True where the backend ``name`` has another result already."""
        before = self._results.get(_key(replace(result, backend=name)))
        return before is not None and (before.judgement, before.known) != (result.judgement, result.known)

    def report(self) -> Report:
        """Everything."""
        results = tuple(replace(r, case=self._cases[r.case.id]) for r in self._results.values())
        environments = [report.environment for report in self._reports]
        seeds = {each.seed for each in environments if each.seed is not None}
        notes = tuple(dict.fromkeys(note for report in self._reports for note in report.notes))
        rest = {
            field.name: _together([getattr(report, field.name) for report in self._reports], field)
            for field in dataclasses.fields(Report)
            if field.name not in {"environment", "cases", "results", "notes"}
        }
        return Report(
            environment=replace(
                environments[0],
                backends={n: facts for each in environments for n, facts in each.backends.items()},
                seed=min(seeds) if len(seeds) == 1 else None,
            ),
            cases=tuple(self._cases.values()),
            results=results,
            notes=(*notes, MIXED) if len(seeds) > 1 else notes,
            **rest,
        )


def _together(values: list[Any], field: dataclasses.Field[Any]) -> Any:
    """What several reports say in one field: all of it, or the default where they differ."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: value for each in values for name, value in each.items()}
    if isinstance(first, tuple):
        return tuple(_distinct(item for each in values for item in each))
    alike = all(value == first for value in values)
    return first if alike or field.default is dataclasses.MISSING else field.default


def _distinct(items: Iterable[Any]) -> list[Any]:
    """Without those that are there already; they need not be hashable."""
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _key(result: Comparison) -> Key:
    return result.backend, result.case_id, result.output


def _rekeyed(report: Report, fields: Iterable[str], before: str, after: str) -> Report:
    """``report`` with another key in those of ``fields`` that it has."""
    found = {name: getattr(report, name, {}) for name in fields}
    changed: dict[str, Any] = {
        name: {after if key == before else key: value for key, value in mapping.items()}
        for name, mapping in found.items()
        if before in mapping
    }
    return replace(report, **changed)


def _renamed(report: Report, name: str, new: str) -> Report:
    """``report`` with another name for a backend."""
    if name == new:
        return report
    names = {name: new}
    facts = report.environment.backends.items()
    environment = replace(report.environment, backends={names.get(n, n): fact for n, fact in facts})
    a_b = ((pair, pair.backends) for pair in report.pairs)
    return replace(
        _rekeyed(report, BY_BACKEND, name, new),
        environment=environment,
        results=tuple(replace(r, backend=names.get(r.backend, r.backend)) for r in report.results),
        pairs=tuple(replace(p, backends=(names.get(a, a), names.get(b, b))) for p, (a, b) in a_b),
    )


def _with_case(report: Report, before: Case, case: Case) -> Report:
    """``report`` with another name for the fixture of one case."""
    fixtures = dict(report.fixtures)
    if before.fixture in fixtures:
        fixtures[case.fixture] = fixtures[before.fixture]
    return replace(
        _rekeyed(report, BY_CASE, before.id, case.id),
        fixtures=fixtures,
        results=tuple(replace(r, case=case) if r.case == before else r for r in report.results),
        pairs=tuple(replace(p, case=case.id) if p.case == before.id else p for p in report.pairs),
    )
