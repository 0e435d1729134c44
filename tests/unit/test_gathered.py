"""The reports of many tests as one: nothing is lost, nothing is taken for something else, and it is read back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_reports import CASE, CRASHED, FAILED, PASSED, judged, report

from normcheck.case import Output
from normcheck.report import Comparison, Pair, Report
from normcheck.reports import json
from normcheck.testing.gathered import MIXED, merged, with_known
from normcheck.verdict import Verdict


def by(name: str, *results: Comparison, **more: object) -> Report:
    """A report of one backend."""
    named = [replace(result, backend=name) for result in results]
    found = report(*named)
    facts = {name: {"version": "1"}}
    environment = replace(found.environment, backends=facts)
    cases = tuple({result.case.id: result.case for result in named}.values())
    return replace(found, environment=environment, cases=cases, pairs=(), **more)  # type: ignore[arg-type]


def keys(found: Report) -> list[tuple[str, str]]:
    return [(result.backend, result.case.id) for result in found.results]


def read_back(found: Report) -> Report:
    assert found == json.read(json.render(found))
    return found


OTHER = replace(PASSED, case=replace(CASE, fixture="g"))


def test_one_report_is_itself() -> None:
    found = by("mine", PASSED, OTHER)
    assert found == read_back(merged([("a.py::t", found)]))


def test_a_function_of_one_file_is_one_backend() -> None:
    found = read_back(merged([("a.py::t", by("mine", PASSED)), ("a.py::u", by("mine", OTHER, PASSED))]))
    assert [("mine", CASE.id), ("mine", OTHER.case.id)] == keys(found)
    assert Verdict.PASS is found.verdict


def test_functions_of_one_name_are_told_apart() -> None:
    found = read_back(merged([("a.py::t", by("mine", PASSED)), ("b.py::u[1]", by("mine", FAILED))]))
    assert {"mine", "mine (b.py::u[1])"} == {name for name, _ in keys(found)}
    assert {"mine", "mine (b.py::u[1])"} == set(found.environment.backends)
    assert Verdict.FAIL is found.verdict


def test_two_findings_in_one_case_are_both_there() -> None:
    worse = judged(PASSED, verdict=Verdict.FAIL, backward_error=99.0)
    found = read_back(merged([("a.py::t", by("mine", each)) for each in (PASSED, worse, PASSED, FAILED)]))
    assert ["mine", "mine (a.py::t)", "mine (a.py::t) 2"] == [name for name, _ in keys(found)]


def test_a_case_with_other_outputs_is_the_same_and_one_of_other_data_is_not() -> None:
    more = replace(CASE, outputs=(Output.Y, Output.GRAD_X))
    gradient = replace(PASSED, case=more, output=Output.GRAD_X)
    other = replace(PASSED, case=replace(CASE, shape=(9, 3, 1, 1)), backend="torch")
    found = read_back(
        merged(
            [
                ("a.py::t", by("mine", PASSED)),
                ("a.py::u", by("mine", gradient)),
                ("b.py::v", by("torch", other)),
            ]
        )
    )
    first, second = found.cases
    assert (Output.Y, Output.GRAD_X) == first.outputs
    assert f"{CASE.fixture} (b.py::v)" == second.fixture
    assert [first.id, first.id, second.id] == [case for _, case in keys(found)]


def test_pairs_and_arguments_go_with_the_names() -> None:
    pair = Pair(case=CASE.id, output=Output.Y, backends=("mine", "torch"), max_abs_diff=1.0)
    second = replace(by("mine", FAILED, arguments={"mine": "mine=torch:a.py:f"}), pairs=(pair,))
    found = merged([("a.py::t", by("mine", PASSED)), ("b.py::u", second)])
    assert ("mine (b.py::u)", "torch") == found.pairs[0].backends
    assert {"mine (b.py::u)": "mine=torch:a.py:f"} == found.arguments


def test_what_is_said_by_name_goes_with_the_names() -> None:
    first, second = (by("mine", each, arguments={"mine": str(n)}) for n, each in enumerate((PASSED, FAILED)))
    found = merged([("a.py::t", first), ("b.py::u", second)])
    assert {"mine": "0", "mine (b.py::u)": "1"} == found.arguments


@pytest.mark.parametrize(("seeds", "expected"), [((3, 3, None), 3), ((3, 4), None), ((None, None), None)])
def test_one_seed_is_the_reports_and_several_are_a_note(
    seeds: tuple[int | None, ...], expected: int | None
) -> None:
    reports = [by(f"f{number}", PASSED) for number in range(len(seeds))]
    seeded = [
        replace(each, environment=replace(each.environment, seed=seed))
        for each, seed in zip(reports, seeds, strict=True)
    ]
    found = merged((f"{number}.py::t", each) for number, each in enumerate(seeded))
    assert expected == found.environment.seed
    assert ((3, 4) == seeds) is (MIXED in found.notes)


def test_what_differs_from_test_to_test_is_not_said_of_all() -> None:
    found = merged([("a.py::t", by("f", PASSED, max_backward_error=3.0)), ("a.py::u", by("g", PASSED))])
    assert found.max_backward_error is None
    same = [(f"a.py::{n}", by(n, PASSED, max_backward_error=3.0, notes=("said",))) for n in ("f", "g")]
    assert (3.0, ("said",)) == (merged(same).max_backward_error, merged(same).notes)


def test_the_failures_of_a_known_test_are_known() -> None:
    found = with_known(by("mine", PASSED, FAILED), "why")
    assert [None, "why"] == [each.known and each.known.reason for each in found.results]
    assert found.all_known
    assert Verdict.CRASH is with_known(by("mine", PASSED, CRASHED), "why").verdict
