"""A report prints itself as the table, and raises what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_reports import CRASHED, FAILED, PASSED, judged, report

from normcheck.errors import ExitCode, MismatchError, NormcheckError, VerdictError
from normcheck.report import Known
from normcheck.reports import render
from normcheck.verdict import Verdict
from normcheck.words import say


def test_a_report_prints_the_table_and_is_short_in_a_list() -> None:
    found = report(PASSED, FAILED)
    assert render(found, "table") == str(found)
    assert "<Report: fail, 1 cases, 2 comparisons>" == repr(found)


def test_a_pass_raises_nothing() -> None:
    report(PASSED).raise_for_verdict()
    report(PASSED, judged(FAILED, verdict=Verdict.LOOSE)).raise_for_verdict()
    report(PASSED, replace(FAILED, known=Known(reason="r"))).raise_for_verdict()


def test_a_mismatch_raises_its_paragraph() -> None:
    with pytest.raises(AssertionError) as caught:
        report(PASSED, FAILED).raise_for_verdict()
    assert isinstance(caught.value, MismatchError)
    assert isinstance(caught.value, NormcheckError)
    assert ExitCode.MISMATCH is caught.value.exit_code
    message = str(caught.value)
    assert message.startswith("✗ FAIL  bad · ")
    assert "reproduce: normcheck compare" in message
    assert message.endswith("✗ fail  1 case, 2 comparisons: 1 pass, 1 fail")


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((), ExitCode.NOTHING_COMPARED),
        ((CRASHED,), ExitCode.BACKEND),
        ((judged(CRASHED, verdict=Verdict.UNSUPPORTED),), ExitCode.NOTHING_COMPARED),
        ((PASSED, judged(CRASHED, verdict=Verdict.UNSUPPORTED)), ExitCode.BACKEND),
    ],
    ids=["nothing", "a crash", "all unsupported", "one unsupported"],
)
def test_no_result_raises_and_is_no_mismatch(results: tuple[object, ...], code: ExitCode) -> None:
    with pytest.raises(VerdictError) as caught:
        report(*results).raise_for_verdict()  # type: ignore[arg-type]
    assert code is caught.value.exit_code
    assert not isinstance(caught.value, MismatchError)
    assert str(caught.value)


def test_what_nobody_taught_is_the_repr() -> None:
    assert "3" == say("never taught", 3)
