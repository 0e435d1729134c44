"""What is particular to equinox."""

from __future__ import annotations

from driver import compare, on_the_worker_of, verdicts, wrong

from normcheck.case import Output
from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("equinox")


def test_mode_ema_of_equinox_normalizes_with_what_it_has_averaged() -> None:
    """In training; its running statistics are right, and so is evaluation."""
    report = compare("batch", backend="equinox[mode=ema]", fixtures=["nchw"], gradients=False, mode="train")
    assert {Output.Y: Verdict.FAIL, Output.RUNNING_MEAN: Verdict.PASS, Output.RUNNING_VAR: Verdict.PASS} == {
        r.output: r.verdict for r in report.results
    }
    assert [] == wrong(compare("batch", backend="equinox[mode=ema]", fixtures=["nchw"], mode="eval"))


def test_a_momentum_that_the_library_does_not_have_is_unsupported() -> None:
    assert {"batch": {Verdict.UNSUPPORTED}} == verdicts(
        compare("batch", backend="equinox", fixtures=["nc"], momentum=0.0)
    )
