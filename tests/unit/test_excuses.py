"""What is neither pass nor failure, or was accused without cause: one element, half precision, infinities, range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import host

import normcheck
from normcheck import Comparison, Verdict
from normcheck.answer import Answer
from normcheck.case import Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell
from normcheck.judge.array import Bound, judge
from normcheck.oracle.truth import Truth
from normcheck.verdict import Excuse
from normcheck.worker.offers import differentiates

F = np.float32
State = tuple[Any, Any]


def compared(
    folder: Path, method: str, function: Any, arrays: dict[str, Any], **options: Any
) -> dict[Output, Comparison]:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    options = {"gradients": False, **options}
    report = normcheck.compare(method, backends={"mine": function}, fixtures=[path], **options)
    return {result.output: result for result in report.results}


# sets of one element

ONE = {"x": np.array([[7.25], [-3.5], [1e6]], F), "weight": np.array([2], F), "bias": np.array([3], F)}


def subtracted(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    return (x - x) / np.sqrt(x.dtype.type(eps)) * weight + bias


def folded(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    scale = weight / np.sqrt(x.dtype.type(eps))
    return (x.astype(np.float64) * scale + (bias - x * scale)).astype(x.dtype)


def far_off(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    return folded(x, weight, bias, eps=eps) + F(0.01) * x


@pytest.mark.parametrize(("error", "verdict"), [(0.5, Verdict.LOOSE), (1.5, Verdict.FAIL)])
def test_a_whole_array_is_excused_as_its_pieces_are(error: float, verdict: Verdict) -> None:
    zeros = np.zeros(3)
    truth = Truth(
        value=zeros,
        tail=None,
        cond=zeros + 1e-30,
        cond2=zeros,
        n=1,
        unit=2.0**-53,
        excused=zeros + 1,
        excuse=Excuse.ONE_ELEMENT,
    )
    assert (
        verdict
        is judge((zeros + error).astype(F), truth, dtype=DType.FLOAT32, bound=Bound.for_sums_of(1)).verdict
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("function", "verdict", "excuse"),
    [
        (subtracted, Verdict.PASS, None),
        (folded, Verdict.LOOSE, Excuse.ONE_ELEMENT),
        (far_off, Verdict.FAIL, None),
    ],
)
def test_y_of_one_element_is_the_bias(
    function: Any, verdict: Verdict, excuse: Excuse | None, dtype: str, tmp_path: Path
) -> None:
    """An error of |x|·s·u is what another x would explain, but x does not matter."""
    options = {"normalized_ndim": 1, "dtype": dtype}
    (result,) = compared(
        tmp_path,
        "layer",
        lambda x, weight, bias, *, eps: function(
            x.astype(F), weight.astype(F), bias.astype(F), eps=eps
        ).astype(x.dtype),
        ONE,
        **options,
    ).values()
    assert (verdict, excuse) == (result.verdict, result.judgement.excuse)


def test_one_element_beside_larger_sets_is_judged_by_itself(tmp_path: Path) -> None:
    """Groups [0] and [1, 2]: what excuses the first does not excuse the second."""
    x = np.array([[1e3, 1.0, 4.0], [-2e3, 3.0, 1.0]], F)
    arrays = {"x": x, "weight": np.ones(3, F), "bias": np.full(3, 2, F)}

    def group_norm(wrong: float) -> Any:
        def function(x: Any, weight: Any, bias: Any, *, eps: float, groups: Any) -> Any:
            y = np.empty_like(x)
            y[:, :1] = folded(x[:, :1], weight[:1], bias[:1], eps=eps)
            pair = x[:, 1:].astype(np.float64)
            deviation = pair - pair.mean(axis=1, keepdims=True)
            y[:, 1:] = (
                deviation / np.sqrt(np.square(deviation).mean(axis=1, keepdims=True) + eps) + bias[1:] + wrong
            )
            return y

        return function

    for wrong, verdict in ((0.0, Verdict.LOOSE), (1e-4, Verdict.FAIL)):
        (result,) = compared(tmp_path, "group", group_norm(wrong), arrays, groups="0|1,2").values()
        assert verdict is result.verdict


# running statistics


def batch_norm(state: Any) -> Any:
    """Batch norm whose running statistics are ``state(old, mean, unbiased variance)``."""

    def function(
        x: Any,
        weight: Any,
        bias: Any,
        *,
        eps: float,
        running_mean: Any,
        running_var: Any,
        training: bool,
        momentum: float,
    ) -> Any:
        wide = x.astype(np.float64)
        with np.errstate(all="ignore"):
            mean, var = wide.mean(axis=0), wide.var(axis=0)
            y = (wide - mean) / np.sqrt(var + eps)
            return (
                y.astype(x.dtype),
                *state((running_mean, running_var), (mean, var * len(x) / (len(x) - 1))),
            )

    return function


def halves(old: State, new: State) -> State:
    """Every product and every sum in the dtype of the statistics."""
    keep, take = (old[0].dtype.type(share) for share in (0.9, 0.1))
    first, second = (keep * a + take * b.astype(a.dtype) for a, b in zip(old, new, strict=True))
    return first, second


def biased(old: State, new: State) -> State:
    return halves(old, (new[0], new[1] * 5 / 6))


HALVES = {"x": bell(7, 24).reshape(6, 4) + 2, "running_mean": bell(8, 4) * 4, "running_var": bell(9, 4) + 4}


@pytest.mark.parametrize(
    ("state", "verdicts"),
    [(halves, {Verdict.LOOSE, Verdict.PASS}), (biased, {Verdict.FAIL})],
    ids=["halves", "biased"],
)
def test_statistics_that_are_updated_in_half_precision_are_loose(
    state: Any, verdicts: set[Verdict], tmp_path: Path
) -> None:
    found = compared(tmp_path, "batch", batch_norm(state), HALVES, dtype="float16")
    assert found[Output.RUNNING_VAR].verdict in verdicts
    if state is halves:
        (excuse,) = {r.judgement.excuse for r in found.values() if r.verdict is Verdict.LOOSE}
        assert Excuse.HALF_STATE is excuse


def not_a_number(old: State, new: State) -> State:
    """Welford's recurrence: infinity minus infinity."""
    mean, var = ((0.9 * a + 0.1 * b).astype(a.dtype) for a, b in zip(old, new, strict=True))
    return np.where(np.isinf(mean), np.nan, mean), var


def as_if_finite(old: State, new: State) -> State:
    mean, var = not_a_number(old, new)
    return np.where(np.isnan(mean), F(1), mean), var


@pytest.mark.parametrize(
    ("state", "verdict"), [(not_a_number, Verdict.PASS), (as_if_finite, Verdict.FAIL)], ids=["NaN", "finite"]
)
def test_the_mean_of_a_set_with_an_infinity_is_not_finite_in_one_way_or_the_other(
    state: Any, verdict: Verdict, tmp_path: Path
) -> None:
    x = bell(7, 96).reshape(24, 4).astype(F)
    x[3, 2] = np.inf
    found = compared(tmp_path, "batch", batch_norm(state), {"x": x})
    assert verdict is found[Output.RUNNING_MEAN].verdict
    if verdict is Verdict.PASS:
        assert "1 are NaN where a plain sum is infinite" in (found[Output.RUNNING_MEAN].reason or "")


# what is no result, and what has a range


def masked(mask: Any) -> Any:
    return lambda x, weight, bias, *, eps: np.ma.masked_array(subtracted(x, weight, bias, eps=eps), mask=mask)


@pytest.mark.parametrize(
    ("mask", "verdict"),
    [(True, Verdict.FAIL), ([[True], [False], [False]], Verdict.FAIL), (False, Verdict.PASS)],
)
def test_masked_elements_have_no_value(mask: Any, verdict: Verdict, tmp_path: Path) -> None:
    (result,) = compared(tmp_path, "layer", masked(mask), ONE, normalized_ndim=1).values()
    assert verdict is result.verdict
    assert (verdict is Verdict.FAIL) == ("masked" in (result.reason or ""))


@pytest.mark.parametrize("weight", [1.0, 0.5, 3.0])
def test_the_largest_numbers_have_right_values(weight: float, tmp_path: Path) -> None:
    """With a weight of 3 these are infinite."""
    x = np.array([[1.7e308], [-1.7e308], [6e307], [2.0**997]])
    arrays = {
        "x": x,
        "running_mean": np.array([0.5]),
        "running_var": np.array([1.0]),
        "weight": np.array([weight]),
    }
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    report = normcheck.compare("batch", backends=["numpy"], fixtures=[path], dtype="float64", mode="eval")
    assert {Verdict.PASS} == {result.verdict for result in report.results}


def test_hosts_that_differentiate_owe_gradients_of_whatever_they_call() -> None:
    assert differentiates(host("torch"), target=True)
    assert differentiates(host("numpy"), target=False)
    assert not differentiates(host("numpy"), target=True)
    answer = Answer(verdict=None, absent=frozenset({"grad_x", "running_mean"}))
    assert {"running_mean"} == answer.with_gradients_owed().absent
