"""What is particular to the backends onnxruntime, onnx.reference, tinygrad and mlx; and ONNX's own test data."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import normcheck
from normcheck.backends._base import UnavailableError
from normcheck.case import Output
from normcheck.report import EXPECTED, Report
from normcheck.verdict import Verdict

Requires = Callable[[str], None]

ONNX = ("onnxruntime", "onnx.reference")
ALL = (*ONNX, "tinygrad", "mlx")
EXACT = {"eps": 2.0**-10, "momentum": 0.25}  # which float32 holds


def compare(*arguments: Any, backend: str, **options: Any) -> Report:
    """Compare one backend; skip where it is installed but not usable, as tinygrad without a compiler."""
    report = normcheck.compare(*arguments, backends=[backend], **options)
    unavailable = [r.reason for r in report.results if r.verdict is Verdict.UNAVAILABLE]
    if unavailable:
        pytest.skip(f"{backend}: {unavailable[0]}")
    return report


def verdicts(report: Report, output: Output = Output.Y) -> dict[str, set[Verdict]]:
    """The verdicts on ``output``, by method, of all but the fixtures' own expected values."""
    found: dict[str, set[Verdict]] = {}
    for r in report.results:
        if r.backend != EXPECTED and r.output is output:
            found.setdefault(r.case.method.value, set()).add(r.verdict)
    return found


def reasons(report: Report) -> str:
    return " ".join({r.reason or "" for r in report.results})


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_weight_counts_without_a_bias_and_the_reverse(
    backend: str, parameter: str, requires: Requires, tmp_path: Path
) -> None:
    requires(backend)
    rng = np.random.default_rng(1)
    path = tmp_path / "one.npz"
    np.savez(path, **{"x": rng.standard_normal((3, 4, 5)), parameter: rng.standard_normal(4)})
    report = compare(["batch", "instance", "group"], backend=backend, fixtures=[path], num_groups=2)
    assert verdicts(report) == {method: {Verdict.PASS} for method in ("batch", "instance", "group")}


@pytest.mark.parametrize("backend", ALL)
def test_an_empty_batch_is_refused_where_it_is_reshaped(backend: str, requires: Requires) -> None:
    requires(backend)
    report = compare(["layer", "instance", "group"], backend=backend, fixtures=["empty-batch"])
    computed, refused = {Verdict.INCONCLUSIVE}, {Verdict.UNSUPPORTED}
    instance = computed if backend in ONNX else refused
    assert verdicts(report) == {"layer": computed, "instance": instance, "group": refused}


@pytest.mark.parametrize("backend", ONNX)
def test_running_variances_are_translated_to_the_precision_of_float64(
    backend: str, requires: Requires
) -> None:
    requires(backend)
    report = compare("batch", backend=backend, fixtures=["n-2", "nchw"], dtype="float64", **EXACT)
    for output in (Output.Y, Output.RUNNING_MEAN, Output.RUNNING_VAR):
        assert verdicts(report, output) == {"batch": {Verdict.PASS}}


@pytest.mark.parametrize("backend", ONNX)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dtype": "float64"}, "epsilon in float32"),
        ({"dtype": "float64", "eps": EXACT["eps"]}, "momentum in float32"),
        ({"momentum": 0.001}, "momentum in float32"),
    ],
)
def test_what_onnx_cannot_hold_in_an_attribute_is_unsupported(
    backend: str, options: dict[str, Any], reason: str, requires: Requires
) -> None:
    requires(backend)
    report = compare("batch", backend=backend, fixtures=["nchw"], **options)
    assert verdicts(report) == {"batch": {Verdict.UNSUPPORTED}}
    assert reason in reasons(report)


@pytest.mark.parametrize("backend", ONNX)
@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm_is_one_pass_by_onnx_definition(backend: str, opset: int, requires: Requires) -> None:
    """See docs/findings/onnx-group-norm-one-pass.py; if this fails, ONNX has a better definition by now."""
    requires(backend)
    report = compare(["layer", "group"], backend=f"{backend}[opset={opset}]", fixtures=["offset-1e2"])
    assert verdicts(report) == {"layer": {Verdict.PASS}, "group": {Verdict.FAIL}}


@pytest.mark.parametrize(
    ("opset", "sizes"), [("18", {"ones": 2, "zeros": 2}), ("21", {"weight": 6, "bias": 6})]
)
def test_the_opset_decides_whose_scale_and_bias_a_group_norm_has(
    opset: str, sizes: dict[str, int], requires: Requires
) -> None:
    requires("onnx.reference")
    import onnx

    models = importlib.import_module("normcheck.backends._onnx_models")
    seen: list[Any] = []

    class Recorder(models.Onnx):  # type: ignore[name-defined, misc]
        def run(self, content: bytes, feeds: dict[str, Any]) -> list[Any]:
            seen.append((onnx.load_from_string(content), feeds))
            return [feeds["x"]]

    x = np.ones((2, 6, 3), np.float32)
    Recorder({"opset": opset}).group_norm(
        x, np.ones(6, np.float32), np.zeros(6, np.float32), eps=1e-5, num_groups=2
    )
    ((model, feeds),) = seen
    if opset == "21":  # the checker takes no model with the deprecated one of opset 18
        onnx.checker.check_model(model)
    assert [imported.version for imported in model.opset_import] == [int(opset)]
    (node,) = [node for node in model.graph.node if node.op_type == "GroupNormalization"]
    constants = {initializer.name: initializer.dims[0] for initializer in model.graph.initializer}
    assert {name: constants.get(name) or feeds[name].size for name in node.input[1:]} == sizes


def test_onnxruntime_has_kernels_for_some_dtypes_only(requires: Requires) -> None:
    requires("onnxruntime")
    supported = {Verdict.PASS}
    refused = {Verdict.UNSUPPORTED}
    report = compare(backend="onnxruntime", fixtures=["nchw"], dtype="bfloat16")
    assert verdicts(report) == {"batch": refused, "layer": supported, "instance": refused, "group": refused}
    report = compare(backend="onnxruntime", fixtures=["nchw"], dtype="float64", **EXACT)
    assert verdicts(report) == {
        "batch": supported,
        "layer": supported,
        "instance": refused,
        "group": supported,
    }
    report = compare(backend="onnxruntime", fixtures=["mixed"], dtype="float16")
    assert verdicts(report) == {"batch": supported, "layer": refused, "instance": refused, "group": refused}


def test_mlx_has_its_own_interleaved_groups(requires: Requires) -> None:
    """Its two arrangements differ in precision: fast.layer_norm, and the other one not, is float32 in float64."""
    requires("mlx")
    found = {
        groups: verdicts(compare("group", backend="mlx", fixtures=["nchw"], dtype="float64", groups=groups))
        for groups in ("0,2,4,6|1,3,5,7", "0,1,2,3|4,5,6,7", "0,2,4|1,3,5,6,7")
    }
    assert list(found.values()) == [{"group": {v}} for v in (Verdict.PASS, Verdict.FAIL, Verdict.FAIL)]
    for groups in ("0,2,4,6|1,3,5,7", "0,2,4|1,3,5,6,7", "0,2,4,6,7|1,3,5"):
        report = compare("group", backend="mlx", fixtures=["nchw"], groups=groups)
        assert verdicts(report) == {"group": {Verdict.PASS}}, groups
    report = compare("group", backend="mlx", fixtures=["past-power-of-two"])  # 0,2|1: strided, but uneven
    assert verdicts(report) == {"group": {Verdict.PASS}}


@pytest.mark.parametrize(
    ("fixture", "eps", "reason"), [("ncdhw", None, "4 axes"), ("nchw", 0.0, "not positive")]
)
def test_what_mlx_refuses(fixture: str, eps: float | None, reason: str, requires: Requires) -> None:
    requires("mlx")
    report = compare("batch", backend="mlx", fixtures=[fixture], eps=eps)
    assert verdicts(report) == {"batch": {Verdict.UNSUPPORTED}}
    assert reason in reasons(report)


@pytest.mark.parametrize(
    ("backend", "adapter"),
    [
        ("onnxruntime", "onnxruntime:OnnxRuntime"),
        ("onnx.reference", "onnx_reference:OnnxReference"),
        ("tinygrad", "tinygrad:Tinygrad"),
        ("mlx", "mlx:Mlx"),
    ],
)
def test_a_device_that_is_not_there_is_unavailable(backend: str, adapter: str, requires: Requires) -> None:
    requires(backend)
    module, _, name = adapter.partition(":")
    made = getattr(importlib.import_module(f"normcheck.backends.{module}"), name)
    with pytest.raises(UnavailableError, match="abacus"):
        made({}, "abacus")


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
    report = normcheck.compare(fixtures=[path], backends=["numpy"], gradients=False, **case.options)
    assert {Verdict.PASS} == {r.verdict for r in report.results if r.backend == "numpy"}, case.name
    return {r.output: r.verdict for r in report.results if r.backend == EXPECTED}


@pytest.mark.parametrize("operator", ["LayerNormalization", "InstanceNormalization", "GroupNormalization"])
def test_onnx_published_cases_agree_with_the_oracle(
    operator: str, requires: Requires, tmp_path: Path
) -> None:
    requires("onnx.reference")
    cases = published(operator)
    assert len(cases) == ONNX_CASES[operator][-1]
    for case in cases:
        assert replay(case, tmp_path) == {Output.Y: Verdict.PASS}, case.name


def test_onnx_published_batch_norms_differ_in_the_biased_running_variance_alone(
    requires: Requires, tmp_path: Path
) -> None:
    requires("onnx.reference")
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
