"""What is particular to TensorFlow."""

from __future__ import annotations

from driver import compare, on_the_worker_of

from normcheck.case import Output
from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("tensorflow")
METHODS = ["batch", "layer", "instance", "group"]


def test_tensorflow_half_precision_fails_in_its_statistics() -> None:
    report = compare(METHODS, fixtures=["nchw"], backend="tensorflow", dtype=["float16", "bfloat16"])
    assert {Verdict.FAIL} == {r.verdict for r in report.results if r.output is Output.Y}


def test_tensorflow_passes_in_every_memory_layout_and_grouping() -> None:
    chosen = ["nc", "nhwc", "odd", "documents", "channels-last-memory", "strided-memory"]
    report = compare(METHODS, fixtures=chosen, backend="tensorflow", dtype=["float32", "float64"])
    # instance norm of nc: sets of one element, whose y is the bias; x·s + (bias - mean·s) is not quite
    assert {("instance", "nc", Output.Y, Verdict.LOOSE)} == {
        (r.case.method, r.case.fixture, r.output, r.verdict)
        for r in report.results
        if r.verdict is not Verdict.PASS
    }
    assert {Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS} <= {r.output for r in report.results}
