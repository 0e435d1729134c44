"""The oracle against ONNX's own test data."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from driver import compare
from support import require_backend

from normcheck.case import Output
from normcheck.report import EXPECTED
from normcheck.verdict import Verdict


class Published(NamedTuple):
    """A case of onnx.backend.test: what goes in and comes out, and the options that say the same."""

    name: str
    arrays: dict[str, Any]
    options: dict[str, Any]


ONNX_CASES = {
    "BatchNormalization": ("batch", "batch_normalization", 4),
    "LayerNormalization": ("layer", "layernormalization", 19),
    "InstanceNormalization": ("instance", "instance_normalization", 2),
    "GroupNormalization": ("group", "groupnormalization", 2),
}


def published(operator: str) -> list[Published]:
    """ONNX's node test cases of ``operator``: importing the module computes them, from a fixed seed.

    They are what its repository has as input_N.pb and output_N.pb, which the wheel leaves out.
    """
    method, module, _ = ONNX_CASES[operator]
    from onnx import helper

    node_cases = importlib.import_module("onnx.backend.test.case.node")
    importlib.import_module(f"onnx.backend.test.case.node.{module}")
    cases = [c for c in node_cases._NodeTestCases if [n.op_type for n in c.model.graph.node] == [operator]]
    return [
        _published(
            c, method, {a.name: helper.get_attribute_value(a) for a in c.model.graph.node[0].attribute}
        )
        for c in cases
    ]


def _published(case: Any, method: str, attributes: dict[str, Any]) -> Published:
    ((inputs, outputs),) = case.data_sets
    arrays = dict(zip(("x", "weight", "bias", "running_mean", "running_var"), inputs, strict=False))
    arrays["expected.y"] = outputs[0]
    options: dict[str, Any] = {"method": method, "eps": attributes.get("epsilon", 1e-5)}
    if method == "layer":
        axis = attributes.get("axis", -1)
        options["normalized_ndim"] = -axis if axis < 0 else inputs[0].ndim - axis
    elif method == "group":
        options["num_groups"] = attributes["num_groups"]
    elif method == "batch":
        options["momentum"] = round(1 - attributes.get("momentum", 0.9), 6)
        options["mode"] = "train" if attributes.get("training_mode") else "eval"
        if options["mode"] == "train":
            arrays["expected.running_mean"], arrays["expected.running_var"] = outputs[1:]
    return Published(case.name, arrays, options)


def replay(case: Published, directory: Path) -> dict[Output, Verdict]:
    """The verdicts on the values that ONNX expects; NumPy's are all right."""
    path = directory / f"{case.name}.npz"
    np.savez(path, **case.arrays)
    report = compare(fixtures=[path], backend="numpy", gradients=False, **case.options)
    assert {Verdict.PASS} == {r.verdict for r in report.results if r.backend == "numpy"}, case.name
    return {r.output: r.verdict for r in report.results if r.backend == EXPECTED}


@pytest.mark.parametrize("operator", ["LayerNormalization", "InstanceNormalization", "GroupNormalization"])
def test_onnx_published_cases_agree_with_the_oracle(operator: str, tmp_path: Path) -> None:
    require_backend("onnx.reference")
    cases = published(operator)
    assert len(cases) == ONNX_CASES[operator][-1]
    for case in cases:
        assert replay(case, tmp_path) == {Output.Y: Verdict.PASS}, case.name


def test_onnx_published_batch_norms_differ_in_the_biased_running_variance_alone(tmp_path: Path) -> None:
    require_backend("onnx.reference")
    cases = published("BatchNormalization")
    assert len(cases) == ONNX_CASES["BatchNormalization"][-1]
    passes = {Output.Y: Verdict.PASS, Output.RUNNING_MEAN: Verdict.PASS}
    for case in cases:
        if case.options["mode"] == "eval":
            assert replay(case, tmp_path) == {Output.Y: Verdict.PASS}, case.name
            continue
        assert replay(case, tmp_path) == {**passes, Output.RUNNING_VAR: Verdict.FAIL}, case.name
        kept = (1 - case.options["momentum"]) * case.arrays["running_var"].astype(np.float64)
        n = case.arrays["x"].size // case.arrays["x"].shape[1]
        unbiased = kept + (case.arrays["expected.running_var"] - kept) * n / (n - 1)
        case.arrays["expected.running_var"] = unbiased.astype(np.float32)
        assert replay(case, tmp_path) == {**passes, Output.RUNNING_VAR: Verdict.PASS}, case.name
