"""What every backend is expected to do with degenerate input: a value, or a refusal. Stated, then put to the test."""

from __future__ import annotations

import pytest
from driver import compare, verdicts
from support import in_one_place

import normcheck
from normcheck.case import Method, Output
from normcheck.errors import ParameterError
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
RAISES = Verdict.UNSUPPORTED  # the worker calls it all the same: a refusal that does not come is an ERROR
NOTHING = Verdict.INCONCLUSIVE  # the right shape and dtype, but not one number to compare
VALUE = Verdict.PASS
ROUNDED = Verdict.LOOSE  # x·s + (bias - mean·s), where y is the bias whatever x is

# By fixture and method: what y is expected to be, and where a backend differs.
STATED: dict[tuple[str, Method], dict[str, Verdict]] = {
    ("n-1", Method.LAYER): {"numpy": VALUE, "jax": VALUE, "torch": VALUE},
    ("n-1", Method.RMS): {"numpy": VALUE, "jax": VALUE, "torch": VALUE},
    ("empty-batch", Method.RMS): {"numpy": NOTHING, "jax": NOTHING, "torch": NOTHING},
    ("n-1", Method.GROUP): {"numpy": VALUE, "jax": VALUE, "torch": ROUNDED},
    ("n-1", Method.INSTANCE): {"numpy": VALUE, "jax": VALUE, "torch": RAISES},
    ("empty-batch", Method.LAYER): {"numpy": NOTHING, "jax": NOTHING, "torch": NOTHING},
    ("empty-batch", Method.GROUP): {"numpy": NOTHING, "jax": NOTHING, "torch": NOTHING},
    ("empty-batch", Method.INSTANCE): {"numpy": NOTHING, "jax": NOTHING, "torch": RAISES},
}


@pytest.mark.parametrize("backend", in_one_place("backend", ["numpy", "torch", "jax"]))
def test_degenerate_input_gives_what_is_stated(backend: str) -> None:
    report = compare(fixtures=["n-1", "empty-batch"], backend=backend)
    found: dict[tuple[str, Method], set[Verdict]] = {}
    for result in report.results:
        if result.output is Output.Y:
            found.setdefault((result.case.fixture, result.case.method), set()).add(result.verdict)
    assert {key: {stated[backend]} for key, stated in STATED.items()} == found


@pytest.mark.parametrize("backend", in_one_place("backend", ["numpy", "torch", "jax"]))
def test_the_gradients_of_an_empty_batch_are_zeros_of_the_parameters_shape(backend: str) -> None:
    report = compare(["layer", "group"], fixtures=["empty-batch"], backend=backend)
    sums = [r for r in report.results if r.output in {Output.GRAD_WEIGHT, Output.GRAD_BIAS}]
    assert {(Verdict.PASS, 0.0)} == {(r.verdict, r.max_abs_diff) for r in sums}
    assert normcheck.ExitCode.MISMATCH is report.exit_code  # nothing to compare in y is never a pass


def test_batch_norm_of_an_empty_batch_is_refused() -> None:
    with pytest.raises(ParameterError, match="empty batch"):
        compare("batch", fixtures=["empty-batch"], backend="numpy")


@pytest.mark.parametrize("backend", ["onnxruntime", "onnx.reference", "tinygrad", "mlx"])
def test_an_empty_batch_is_refused_where_it_is_reshaped(backend: str) -> None:
    report = compare(["layer", "instance", "group"], backend=backend, fixtures=["empty-batch"])
    computed, refused = {Verdict.INCONCLUSIVE}, {Verdict.UNSUPPORTED}
    instance = computed if backend in ("onnxruntime", "onnx.reference") else refused
    assert verdicts(report) == {"layer": computed, "instance": instance, "group": refused}
