"""Where the bound could not turn down a result that is certainly wrong, the case says which one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from unit_helpers import inputs, shaped_params

from normcheck.case import Case, Method, Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell
from normcheck.judge.array import Bound
from normcheck.judge.canaries import Power
from normcheck.judge.scale import Scale
from normcheck.judge.traversal import Traversal
from normcheck.oracle import oracle_of

ORDINARY = bell(1, 24).reshape(2, 3, 4) + np.arange(3)[:, None]


def power_of(
    x: Any, method: Method, dtype: DType = DType.FLOAT32, *, limit: float | None = None, **rest: Any
) -> Power:
    """What a case with y alone can decide."""
    arrays = {name: rest.pop(name) for name in ("weight", "bias") if name in rest}
    given = inputs(x, method, dtype=dtype, **arrays)
    params = shaped_params(method, given.x.ndim, **rest)
    case = Case(method=method, params=params, fixture="f", shape=given.x.shape, dtype=dtype)
    present = {"x": given.x, "weight": given.weight, "bias": given.bias}
    oracle = oracle_of(case, {name: array for name, array in present.items() if array is not None})
    bound = Bound.for_sums_of(oracle.formulas.terms(Output.Y), max_backward_error=limit)
    scale = Scale(dtype=dtype, unit=dtype.unit_roundoff)
    _, powers = Traversal(case, oracle, {Output.Y: bound}, {Output.Y: scale}).run([])
    return powers[Output.Y]


def blind_to(*args: Any, **rest: Any) -> str | None:
    """What a case with y alone cannot tell from the truth, where it decides nothing at all."""
    power = power_of(*args, **rest)
    return None if power.decided else power.missed


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("method", Method)
def test_an_ordinary_case_tells_right_from_wrong(method: Method, dtype: DType) -> None:
    assert None is blind_to(ORDINARY, method, dtype)


def test_zeros_cannot_be_told_where_the_deviation_is_lost_in_the_roundoff_of_the_mean() -> None:
    x = 1e6 + np.arange(4.0)[None] / 16
    assert "all-zero output" == blind_to(x, Method.LAYER)
    assert None is blind_to(x, Method.LAYER, DType.FLOAT64)


def test_a_bias_that_is_large_enough_makes_zeros_tell_again() -> None:
    x = 1e6 + np.arange(4.0)[None] / 16
    assert "all-zero output" != blind_to(x, Method.LAYER, bias=[1e7, 2e7, 3e7, 4e7])


def test_zeros_that_are_right_are_no_canary() -> None:
    """A constant input without a bias is all zeros: that is the truth, not something to be told from it."""
    assert None is blind_to(np.full((2, 3, 4), 5.0), Method.LAYER)


def test_input_that_is_normalized_already_cannot_be_told_from_the_result() -> None:
    x = [[1.0, -1.0, 1.0, -1.0]]
    assert "its input unchanged" == blind_to(x, Method.LAYER, eps=1e-12)
    assert None is blind_to(x, Method.LAYER, eps=1e-3)


def test_channels_that_are_alike_cannot_tell_another_method() -> None:
    x = [[[1.0, -1.0], [1.0 + 2.0**-23, -1.0]]]
    assert "batch norm" == blind_to(x, Method.LAYER, eps=1e-3)
    assert None is blind_to([[[1.0, -1.0], [1.5, -1.0]]], Method.LAYER, eps=1e-3)


def test_a_bound_without_end_can_tell_nothing() -> None:
    assert "all-zero output" == blind_to(ORDINARY, Method.LAYER, limit=1e12)
    assert "all-zero output" == blind_to(ORDINARY, Method.LAYER, limit=float("inf"))


def test_one_set_that_decides_does_not_vouch_for_the_others() -> None:
    """The second sample has a deviation that is lost in the roundoff of its mean."""
    x = np.stack([np.arange(8.0), 1e6 + np.arange(8.0) / 64])
    power = power_of(x, Method.LAYER)
    assert (16, 8) == (power.finite, power.decided)
    assert "all-zero output" == power.missed


def test_the_bound_of_loose_lets_more_canaries_through_than_that_of_pass() -> None:
    x = 300 + np.ldexp(bell(3, 4096), -1).reshape(1, -1)
    power = power_of(x, Method.LAYER)
    assert (4096, 0) == (power.decided, power.decided_loosely)
    assert None is power.missed
    assert "group norm" == power.missed_loosely


def test_elements_that_are_not_finite_decide_nothing() -> None:
    x = np.stack([np.arange(4.0), [0.0, 1.0, np.nan, 2.0]])
    power = power_of(x, Method.LAYER)
    assert (4, 4) == (power.finite, power.decided)


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
def test_half_a_subnormal_is_forgiven_to_canaries_as_to_results(dtype: DType) -> None:
    """All of x̂·weight is less than half the smallest subnormal: zeros are as near as any."""
    weight = np.full((3, 4), dtype.smallest_subnormal)
    assert "all-zero output" == blind_to(ORDINARY, Method.LAYER, dtype, weight=weight, eps=100.0)
