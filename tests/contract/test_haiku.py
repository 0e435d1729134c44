"""What is particular to haiku."""

from __future__ import annotations

from driver import compare, on_the_worker_of, verdicts

from normcheck.case import Method, Output
from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("haiku")


def test_the_unclipped_variance_of_haiku_is_seen() -> None:
    report = compare(backend="haiku", fixtures=["offset-1e4"], gradients=False)
    failed = {(r.case.method, r.output) for r in report.results if r.verdict is Verdict.FAIL}
    assert {(Method.BATCH, Output.Y), (Method.BATCH, Output.RUNNING_VAR)} == failed


def test_a_momentum_that_the_library_does_not_have_is_unsupported() -> None:
    assert {"batch": {Verdict.UNSUPPORTED}} == verdicts(
        compare("batch", backend="haiku", fixtures=["nc"], momentum=0.0)
    )
