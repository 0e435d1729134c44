"""The view of a report: whether the backends agree, where the worst is, and no rich in it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from test_reports import CASE, CRASHED, FAILED, PASSED, judged, report

from normcheck.case import Output
from normcheck.report import EXPECTED, Comparison, Known, Pair
from normcheck.reports.compose import compose
from normcheck.reports.view import Line, Role
from normcheck.verdict import Verdict

OTHER = replace(CASE, fixture="g")


def text(line: Line) -> str:
    return "".join(span.text for span in line)


def answer(*results: Comparison) -> str:
    (section,) = compose(report(*results)).sections
    return text(section.answer)


def of(backend: str, result: Comparison = PASSED) -> Comparison:
    return replace(result, backend=backend)


def test_backends_that_agree_are_named_with_the_worst_figure_and_its_case() -> None:
    worst = judged(of("jax"), backward_error=9.0)
    expected = "✓ numpy, torch and jax agree: worst 0.50 of the allowed (f groups=0,1|2, jax y)"
    assert expected == answer(PASSED, of("torch"), worst)


def test_one_backend_agrees_with_the_oracle() -> None:
    assert answer(PASSED).startswith("✓ numpy agrees with the oracle: worst 0.03 of the allowed ")


def test_a_backend_that_differs_is_named_with_the_number_of_its_cases() -> None:
    found = answer(PASSED, of("torch"), FAILED, replace(of("bad"), case=OTHER))
    assert found.startswith("✗ bad differs in 1 of 2 cases; numpy and torch agree: worst ")


UNSUPPORTED = of("u", judged(CRASHED, verdict=Verdict.UNSUPPORTED))
KNOWN = replace(FAILED, known=Known(reason="r"))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (CRASHED, "! gone gives no result in 1 of 1 case"),
        (replace(FAILED, law="shift"), "✗ bad breaks a law in 1 of 1 case"),
        (judged(FAILED, verdict=Verdict.INCONCLUSIVE), "? bad is inconclusive in 1 of 1 case"),
        (KNOWN, "† bad has known deviations in 1 of 1 case"),
        (UNSUPPORTED, "– u supports none of 1 case"),
        (of(EXPECTED, FAILED), "✗ an expected value of the fixture differs in 1 of 1 case"),
        (of(EXPECTED), "– no backend was compared"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_backend_that_does_not_agree_says_why(result: Comparison, expected: str) -> None:
    assert expected == answer(result)


def test_the_other_outputs_name_the_case_in_which_they_are_worst() -> None:
    gradient = replace(PASSED, output=Output.GRAD_X)
    worse = judged(replace(gradient, case=OTHER), backward_error=3.0)
    worst = judged(of("torch", gradient), backward_error=5.0)
    (section,) = compose(report(PASSED, gradient, worse, worst)).sections
    _, others = section.matrices
    (row,) = others.rows
    assert ["g groups=0,1|2", "f groups=0,1|2"] == [cell.place for cell in row.cells if cell]
    assert "f groups=0,1|2 (torch)" == row.last


def test_a_law_that_was_not_applied_to_a_backend_has_no_cell() -> None:
    shift = replace(PASSED, law="shift")
    (section,) = compose(report(PASSED, of("torch"), shift, of("torch", replace(shift, law="sum")))).sections
    _, laws = section.matrices
    assert [("shift", [True, False]), ("sum", [False, True])] == [
        (row.name, [cell is not None for cell in row.cells]) for row in laws.rows
    ]


def test_what_is_bad_has_that_role_and_what_is_known_has_not() -> None:
    (section,) = compose(report(PASSED, FAILED)).sections
    (row,) = section.matrices[0].rows
    assert [Role.GOOD, Role.BAD] == [cell.role for cell in row.cells if cell]
    (section,) = compose(report(KNOWN)).sections
    (cell,) = section.matrices[0].rows[0].cells
    assert cell is not None
    assert (Role.KNOWN, "fail", "†") == (cell.role, cell.word, cell.mark)


def test_a_result_without_figures_says_its_verdict_aloud() -> None:
    (section,) = compose(report(CRASHED)).sections
    (cell,) = section.matrices[0].rows[0].cells
    assert cell is not None
    assert ("CRASH", "") == (cell.word, cell.backward_error)


def test_the_view_is_made_without_rich() -> None:
    code = "import sys, normcheck.reports.compose; sys.exit('rich' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_expected_values_stand_before_the_backends_in_the_matrix_of_pairs() -> None:
    """They are the first of each of their pairs, also where the first case has none."""
    names = [("numpy", "torch"), (EXPECTED, "numpy"), (EXPECTED, "torch")]
    pairs = tuple(Pair(case=CASE.id, output=Output.Y, backends=each, max_abs_diff=1.0) for each in names)
    (section,) = compose(replace(report(PASSED), pairs=pairs)).sections
    assert section.pairs is not None
    assert (EXPECTED, "numpy", "torch") == section.pairs.names
    assert set(names) == set(section.pairs.cells)
