"""What is particular to the two backends that run ONNX models."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import compare, reasons, verdicts
from support import in_one_place, require_backend

from normcheck.case import Mode, Output
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
ONNX = ("onnxruntime", "onnx.reference")


EXACT = {"eps": 2.0**-10, "momentum": 0.25}  # which float32 holds


@pytest.mark.parametrize("backend", in_one_place("backend", ONNX))
def test_running_variances_are_translated_to_the_precision_of_float64(backend: str) -> None:
    report = compare("batch", backend=backend, fixtures=["n-2", "nchw"], dtype="float64", **EXACT)
    for output in (Output.Y, Output.RUNNING_MEAN, Output.RUNNING_VAR):
        assert verdicts(report, output) == {"batch": {Verdict.PASS}}


@pytest.mark.parametrize("backend", in_one_place("backend", ONNX))
@pytest.mark.parametrize(
    ("options", "reason", "evaluated"),
    [
        ({"dtype": "float64"}, "epsilon in float32", Verdict.UNSUPPORTED),
        ({"dtype": "float64", "eps": EXACT["eps"]}, "momentum in float32", Verdict.PASS),
        ({"momentum": 0.001}, "momentum in float32", Verdict.PASS),
    ],
)
def test_what_onnx_cannot_hold_in_an_attribute_is_unsupported(
    backend: str, options: dict[str, Any], reason: str, evaluated: Verdict
) -> None:
    """In eval mode no momentum is needed."""
    report = compare("batch", backend=backend, fixtures=["nchw"], **options)
    found = {r.case.mode: r.verdict for r in report.results if r.output is Output.Y}
    assert {Mode.TRAIN: Verdict.UNSUPPORTED, Mode.EVAL: evaluated} == found
    assert reason in reasons(report)


@pytest.mark.parametrize("backend", in_one_place("backend", ONNX))
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("layer", {"weight": (3, 5), "bias": (3, 5)}),
        ("rms", {"weight": (5,), "bias": (5,)}),  # whose operator has no bias
        ("instance", {"weight": (3, 6), "bias": (6,)}),
        ("group", {"weight": (6,), "bias": (3, 6)}),
        ("batch", {"weight": (3, 6), "bias": (3, 6)}),
    ],
)
@pytest.mark.parametrize("parameter_dtype", ["float16", "float32"])
def test_half_precision_is_float32_in_an_operator_that_something_follows(
    backend: str,
    method: str,
    parameters: dict[str, tuple[int, ...]],
    parameter_dtype: str,
    tmp_path: Path,
) -> None:
    """What onnxruntime refuses of half precision does not come about then."""
    random, path = np.random.default_rng(7), tmp_path / "half.npz"
    arrays = {
        name: random.standard_normal(shape).astype(parameter_dtype) for name, shape in parameters.items()
    }
    np.savez(path, x=random.standard_normal((3, 6, 5)).astype(np.float16), **arrays)
    more = {"layer": {"normalized_ndim": 1}, "rms": {"normalized_ndim": 1}, "group": {"num_groups": 2}}
    report = compare(method, backend=backend, fixtures=[path], mode="train", **more.get(method, {}))
    assert {method: {Verdict.PASS}} == verdicts(report)


@pytest.mark.parametrize("backend", in_one_place("backend", ONNX))
@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm_is_one_pass_by_onnx_definition(backend: str, opset: int) -> None:
    """See docs/findings/onnx-group-norm-one-pass.py; if this fails, ONNX has a better definition by now."""
    report = compare(["layer", "group"], backend=f"{backend}[opset={opset}]", fixtures=["offset-1e2"])
    assert verdicts(report) == {"layer": {Verdict.PASS}, "group": {Verdict.FAIL}}


@pytest.mark.parametrize(
    ("opset", "sizes"), [("18", {"ones": 2, "zeros": 2}), ("21", {"weight": 6, "bias": 6})]
)
def test_the_opset_decides_whose_scale_and_bias_a_group_norm_has(opset: str, sizes: dict[str, int]) -> None:
    require_backend("onnx.reference")
    import onnx

    models = importlib.import_module("normcheck.backends._onnx_models")
    seen: list[Any] = []

    class Recorder(models.Onnx):  # type: ignore[name-defined, misc]
        def run(self, content: bytes, feeds: dict[str, Any]) -> list[Any]:
            seen.append((onnx.load_from_string(content), feeds))
            return [feeds["x"]]

    x = np.ones((2, 6, 3), np.float32)
    group_norm = Recorder({"opset": opset}).METHODS["group"]
    group_norm(x, np.ones(6, np.float32), np.zeros(6, np.float32), eps=1e-5, num_groups=2)
    ((model, feeds),) = seen
    if opset == "21":  # the checker takes no model with the deprecated one of opset 18
        onnx.checker.check_model(model)
    assert [imported.version for imported in model.opset_import] == [int(opset)]
    (node,) = [node for node in model.graph.node if node.op_type == "GroupNormalization"]
    constants = {initializer.name: initializer.dims[0] for initializer in model.graph.initializer}
    assert {name: constants.get(name) or feeds[name].size for name in node.input[1:]} == sizes
