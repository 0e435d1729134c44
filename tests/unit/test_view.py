"""The view of a report: whether the backends agree, where the worst is, and no rich in it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from test_reports import CASE, CRASHED, FAILED, PASSED, judged, report

from normcheck.case import Case, Method, Output
from normcheck.dtype import DType
from normcheck.fixtures import catalogue
from normcheck.parameters import Params
from normcheck.report import EXPECTED, Comparison, Judgement, Known, Pair, Report
from normcheck.reports.compose import compose
from normcheck.reports.untested import untested
from normcheck.reports.view import Detail, Line, Role
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


def rows(found: Report, detail: Detail = Detail.USUAL) -> list[tuple[str, str]]:
    (section,) = compose(found, detail).sections
    return [(row.name, row.detail) for row in section.matrices[0].rows]


def test_what_needs_attention_is_first_and_what_passes_is_one_row() -> None:
    third = judged(replace(PASSED, case=replace(CASE, fixture="h")), backward_error=4.0)
    failed = replace(FAILED, case=replace(CASE, fixture="z"))
    found = report(PASSED, replace(PASSED, case=OTHER), third, failed)
    assert ["z", "3 others that pass"] == [name for name, _ in rows(found)]
    assert ["z", "f", "g", "h"] == [name for name, _ in rows(found, Detail.ALL)]
    (section,) = compose(found).sections
    worst, absent = section.matrices[0].rows[1].cells
    assert absent is None
    assert worst is not None
    assert "4.00" == worst.backward_error
    assert ["f", "g", "h"] == [name for name, _ in rows(report(PASSED, replace(PASSED, case=OTHER), third))]


def test_of_several_methods_what_passes_is_a_row_for_each() -> None:
    layer = replace(CASE, method=Method.LAYER, params=Params())
    two = (PASSED, replace(PASSED, case=OTHER))
    found = report(*two, *(replace(r, case=replace(layer, fixture=r.case.fixture)) for r in two))
    assert [["2 cases"], ["2 cases"]] == [
        [row.name for row in section.matrices[0].rows] for section in compose(found).sections
    ]


def test_beside_beta_is_a_multiple_of_the_frameworks_own() -> None:
    """Where it was compared in the same case under its own name; it changes no verdict."""
    own, mine = judged(of("torch"), backward_error=2.0), judged(of("mine"), backward_error=5.0)
    found = replace(report(own, mine), arguments={"torch": "torch", "mine": "mine=torch:a.py:f"})
    (section,) = compose(found).sections
    (row,) = section.matrices[0].rows
    assert ["", "2.50×"] == [cell.multiple for cell in row.cells if cell]
    assert "multiple of the framework's own" in text(section.title)
    for none in (
        replace(found, arguments={}),
        replace(found, results=(mine, judged(own, backward_error=0.0))),
    ):
        (section,) = compose(none).sections
        assert {""} == {cell.multiple for cell in section.matrices[0].rows[0].cells if cell}
        assert "multiple" not in text(section.title)


def test_the_verdict_alone_is_the_summary() -> None:
    found = report(PASSED, FAILED)
    alone, usual = compose(found, Detail.VERDICT), compose(found)
    assert usual.summary == alone.summary
    assert ((), (), ()) == (alone.sections, alone.paragraphs, alone.untested)


def test_what_was_not_tested_is_said_by_kind() -> None:
    found = replace(report(PASSED), fixtures={"f": "documents"})
    told = dict(untested(found))
    assert {"dtypes", "fixtures", "outputs", "laws"} == set(told)
    assert "float64, float16, bfloat16" == told["dtypes"]
    core = len([f for f in catalogue().values() if "core" in f.tags and "stateless" not in f.excluded])
    assert f"{core - 1} of {core} core" in told["fixtures"]


@pytest.mark.parametrize(
    ("result", "kind", "said"),
    [
        (replace(PASSED, case=replace(CASE, outputs=(Output.Y,))), "outputs", "gradients"),
        (replace(PASSED, law="shift"), "dtypes", "float64, float32, float16, bfloat16"),
        (CRASHED, "dtypes", "float64, float32, float16, bfloat16"),
        (of(EXPECTED), "dtypes", "float64, float32, float16, bfloat16"),
    ],
    ids=["no gradients", "a law", "no result", "expected values"],
)
def test_what_gave_no_result_was_not_tested(result: Comparison, kind: str, said: str) -> None:
    found = replace(report(result), cases=(result.case,))
    assert said == dict(untested(found))[kind]


def test_outputs_that_a_backend_does_not_have_are_named_with_it() -> None:
    lacking = replace(
        PASSED, output=Output.GRAD_X, judgement=Judgement(verdict=Verdict.UNSUPPORTED, reason="r")
    )
    assert "gradients; grad_x of numpy" == dict(untested(report(PASSED, lacking)))["outputs"]
    assert (
        "gradients"
        == dict(untested(report(PASSED, replace(PASSED, output=Output.GRAD_X), lacking)))["outputs"]
    )


def test_a_mode_and_devices_that_were_left_out_are_named() -> None:
    batch = Case(
        method=Method.BATCH, params=Params(momentum=0.1), fixture="f", shape=(2, 3), dtype=DType.FLOAT32
    )
    found = replace(report(replace(PASSED, case=batch)), cases=(batch,))
    devices = replace(found.environment, backends={"a": {"device": "cpu"}, "b": {"device": "cuda"}})
    told = dict(untested(replace(found, environment=devices)))
    assert ("eval of batch norm", "all but cpu and cuda") == (told["modes"], told["devices"])
