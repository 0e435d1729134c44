"""normcheck.judge: arrays of any framework against the oracle; what is wrong with them is a verdict or a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import normcheck
from normcheck import NormcheckError, Verdict

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 8, 5)).astype(np.float32)
WEIGHT = RNG.standard_normal(8).astype(np.float32)


def group_norm(x: Any, eps: float = 1e-5) -> Any:
    sets = x.reshape(len(x), 4, -1)
    sets = (sets - sets.mean(-1, keepdims=True)) / np.sqrt(sets.var(-1, keepdims=True) + eps)
    return sets.reshape(x.shape) * WEIGHT[:, None].astype(x.dtype)


Y = group_norm(X)


def judged(y: Any = Y, x: Any = X, **more: Any) -> normcheck.Comparison:
    return normcheck.judge(y, x, **{"method": "group", "num_groups": 4, "weight": WEIGHT, **more})


def test_a_right_result_passes_and_another_eps_does_not() -> None:
    assert Verdict.PASS is judged().verdict
    assert Verdict.PASS is judged(group_norm(X, 1e-3), eps=1e-3).verdict
    wrong = judged(group_norm(X, 1e-3))
    assert Verdict.FAIL is wrong.verdict
    assert wrong.backward_error > wrong.allowed  # type: ignore[operator]


def test_a_convention_is_what_the_result_is_judged_by() -> None:
    y = (
        X
        / np.sqrt(np.square(X).mean((1, 2), keepdims=True) + 1e-6)
        * (1 + WEIGHT[:, None] * np.ones(5, "f4"))
    )
    weight = WEIGHT[:, None] * np.ones(5, "f4")
    plain = {"method": "rms", "num_groups": None, "eps": 1e-6, "weight": weight}
    assert Verdict.FAIL is judged(y, **plain).verdict
    assert Verdict.PASS is judged(y, **plain, convention="weight=1+w").verdict
    assert Verdict.PASS is judged(y, **plain, convention={"weight": "1+w"}).verdict


def test_the_bound_can_be_set_and_strictness_too() -> None:
    assert Verdict.LOOSE is judged(max_backward_error=1e-3).verdict
    assert Verdict.FAIL is judged(max_backward_error=1e-3, strict=True).verdict


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (Y[:2], "has shape (2, 8, 5), expected (4, 8, 5)"),
        (Y.astype(np.float64), "has dtype float64, expected float32; if that is meant, say dtype='float64'"),
        (Y.astype(np.int64), "has dtype int64, expected float32"),
        (np.full_like(Y, np.nan), "is nan where the oracle has"),
        (np.where(Y == Y[1, 2, 3], np.inf, Y).astype("f4"), "is inf where the oracle has"),
    ],
    ids=["shape", "wider dtype", "integers", "nan", "inf"],
)
def test_what_is_wrong_with_the_array_itself_fails(y: Any, reason: str) -> None:
    found = judged(y)
    assert Verdict.FAIL is found.verdict
    assert str(found.reason).startswith(reason)


def test_data_that_decides_nothing_is_inconclusive() -> None:
    far = X + np.float32(1e6)
    assert Verdict.INCONCLUSIVE is judged(np.zeros_like(X), far, weight=None).verdict


def test_x_of_a_wider_dtype_is_taken_as_it_is() -> None:
    x = RNG.standard_normal(X.shape)  # not one of these is a float32
    assert Verdict.PASS is judged(group_norm(x).astype(np.float32), x).verdict
    half = ml_dtypes.bfloat16
    assert Verdict.PASS is judged(group_norm(X).astype(half), X).verdict
    # rounded to bfloat16 beforehand x is another one: its y is told apart
    rounded = group_norm(X.astype(half).astype(np.float32)).astype(half)
    assert Verdict.FAIL is judged(rounded, X).verdict
    assert "; x is float32: if y was computed from x in bfloat16, give that" in str(judged(rounded, X).reason)
    assert Verdict.PASS is judged(rounded, X.astype(half)).verdict


def test_dtype_says_what_y_must_be_where_that_is_not_the_dtype_of_x() -> None:
    half = X.astype(ml_dtypes.bfloat16)
    y = group_norm(half.astype(np.float32))
    assert "expected bfloat16" in str(judged(y, half).reason)
    assert Verdict.PASS is judged(y, half, dtype="float32").verdict
    assert Verdict.FAIL is judged(y.astype(half.dtype), half, dtype="float32").verdict
    whole = np.arange(160).reshape(X.shape) % 7
    assert Verdict.PASS is judged(group_norm(whole.astype("f4")), whole, dtype="float32").verdict


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": X.astype(int)}, "x holds int64; valid: float64"),
        ({"weight": WEIGHT.astype(int)}, "weight holds int64"),
        ({"weight": WEIGHT[:3]}, r"it has weight \(3,\)"),
        ({"x": X[0, 0]}, "x has 1 axes"),
        ({"y": None}, "y is a NoneType, not an array; give a NumPy array"),
        ({"y": [1.0, 2.0]}, "y is a list, not an array"),
        ({"x": object()}, "x is a object, not an array"),
        ({"num_groups": 3}, "8 channels cannot be split into 3"),
        ({"num_groups": None}, "add --num-groups"),
        ({"num_group": 3}, "Did you mean 'num_groups'"),
        ({"method": "gruop"}, "Did you mean 'group'"),
        ({"mode": "test"}, "unknown mode 'test'"),
        ({"dtype": "half"}, "unknown dtype 'half'"),
        ({"output": "grad"}, "unknown output 'grad'"),
        ({"output": "grad_x"}, "output 'grad_x' needs grad_y"),
        ({"output": "running_mean"}, "this case has none; with these arrays, in mode 'train', it has: y"),
        ({"grad_y": Y}, "grad_y: y does not depend on it"),
        ({"running_mean": WEIGHT}, "running_mean: group norm does not use it here"),
        ({"convention": "weight=2w"}, "weight"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_judged_is_refused_in_words(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(NormcheckError, match=message):
        judged(**changed)


def test_a_weight_of_the_last_axis_says_what_is_normalized() -> None:
    last = {"method": "layer", "num_groups": None, "weight": WEIGHT[:5]}
    with pytest.raises(NormcheckError, match=r"needs \(8, 5\), or .*; --normalized-ndim 1 has this one$"):
        judged(Y, **last)
    y = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + np.float32(1e-5)) * WEIGHT[:5]
    assert Verdict.PASS is judged(y, **last, normalized_ndim=1).verdict


def test_running_statistics_are_for_eval_mode_and_for_their_update() -> None:
    mean, var = X.mean((0, 2)), X.var((0, 2))
    state: dict[str, Any] = {"method": "batch", "num_groups": None, "weight": None}
    state |= {"running_mean": mean, "running_var": var}
    y = (X - mean[:, None]) / np.sqrt(var[:, None] + np.float32(1e-5))
    assert Verdict.PASS is judged(y, mode="eval", **state).verdict
    with pytest.raises(NormcheckError, match="does not depend on it in mode 'train'; say mode='eval'"):
        judged(y, **state)
    zeros, ones = np.zeros(8, np.float32), np.ones(8, np.float32)
    state |= {"running_mean": zeros, "running_var": ones}
    assert Verdict.PASS is judged(np.float32(0.1) * mean, output="running_mean", **state).verdict
    assert Verdict.FAIL is judged(np.float32(0.9) * mean, output="running_mean", **state).verdict


def test_torch_tensors_and_gradients(requires: Callable[[str], None]) -> None:
    requires("torch")
    import torch

    torch.set_num_threads(2)
    x, weight = torch.tensor(X, requires_grad=True), torch.nn.Parameter(torch.tensor(WEIGHT))
    y = torch.nn.functional.group_norm(x, 4, weight)
    grad_y = torch.tensor(RNG.standard_normal(X.shape).astype(np.float32))
    y.backward(grad_y)  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert Verdict.PASS is judged(y, x, weight=weight).verdict
    for output, found in (("grad_x", x.grad), ("grad_weight", weight.grad)):
        how = {"weight": weight, "grad_y": grad_y, "output": output}
        assert Verdict.PASS is judged(found, x, **how).verdict
        assert Verdict.FAIL is judged(2 * found, x, **how).verdict  # type: ignore[operator]
    half = y.detach().bfloat16()
    assert Verdict.PASS is judged(half, x, weight=weight).verdict
    assert Verdict.PASS is judged(y.detach().permute(0, 2, 1).contiguous().permute(0, 2, 1), x).verdict
    assert 2 == torch.get_num_threads()
    with pytest.raises(
        NormcheckError, match="x is a Tensor whose numbers cannot be had: NotImplementedError"
    ):
        judged(y, torch.empty(4, 8, 5, device="meta"))


def test_jax_arrays(requires: Callable[[str], None]) -> None:
    requires("jax")
    import jax
    import jax.numpy as jnp

    assert Verdict.PASS is judged(jnp.asarray(Y), jnp.asarray(X), weight=jnp.asarray(WEIGHT)).verdict
    assert Verdict.PASS is judged(jnp.asarray(Y, jnp.bfloat16), jnp.asarray(X)).verdict
    with pytest.raises(NormcheckError, match="numbers cannot be had: TracerArrayConversionError"):
        jax.jit(judged)(Y, X)


def test_the_comparison_says_itself() -> None:
    assert "<Comparison: pass, yours · group[num_groups=4]/arrays/float32 · y>" == repr(judged())
    assert "y: backward error" in str(judged())
    assert "is within the allowed" in str(judged())
    wrong = str(judged(group_norm(X, 1e-3)))
    assert wrong.startswith("✗ FAIL  yours · group[num_groups=4]/arrays/float32 · y\n")
    assert "exceeds the allowed" in wrong
    assert "reproduce" not in wrong


def test_the_name_is_the_functions_also_when_the_room_has_been_imported() -> None:
    code = """
import sys, warnings
warnings.simplefilter("error")
import normcheck
import normcheck.judge.case
from normcheck.judge.array import Bound
from normcheck import judge
assert judge is normcheck.judge and callable(judge) and judge.__module__ == "normcheck.api.judging", judge
import normcheck.run.repeats
assert callable(normcheck.judge)
import numpy as np
x = np.arange(6, dtype="f4").reshape(2, 3)
assert normcheck.judge(x, x, method="layer").verdict is normcheck.Verdict.FAIL
assert not {"torch", "jax", "ml_dtypes"} & set(sys.modules), "a framework was imported"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_what_is_judged_may_be_computed_by_a_candidate_that_judges(requires: Callable[[str], None]) -> None:
    """Nothing waits for itself."""
    requires("torch")
    import torch

    def curious(x: Any) -> Any:
        y = torch.nn.functional.layer_norm(x, x.shape[1:])
        assert normcheck.judge(y, x, method="layer").verdict is Verdict.PASS
        return y

    fixtures = {"mine": X}
    report = normcheck.compare("layer", backends={"curious": curious}, fixtures=fixtures, gradients=False)
    assert Verdict.PASS is report.verdict
