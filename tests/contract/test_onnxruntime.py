"""What is particular to ONNX Runtime."""

from __future__ import annotations

from driver import compare, on_the_worker_of, verdicts

from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("onnxruntime")
EXACT = {"eps": 2.0**-10, "momentum": 0.25}  # which float32 holds


def test_onnxruntime_has_kernels_for_some_dtypes_only() -> None:
    supported = {Verdict.PASS}
    refused = {Verdict.UNSUPPORTED}
    report = compare(backend="onnxruntime", fixtures=["nchw"], dtype="bfloat16")
    assert verdicts(report) == {
        **dict.fromkeys(["batch", "instance", "group"], refused),
        **dict.fromkeys(["layer", "rms"], supported),
    }
    report = compare(backend="onnxruntime", fixtures=["nchw"], dtype="float64", **EXACT)
    assert verdicts(report) == {
        "batch": supported,
        "layer": supported,
        "instance": refused,
        "group": supported,
        "rms": supported,
    }
    report = compare(backend="onnxruntime", fixtures=["mixed"], dtype="float16")
    refusing = dict.fromkeys(["layer", "instance", "group", "rms"], refused)
    assert verdicts(report) == {"batch": supported, **refusing}
