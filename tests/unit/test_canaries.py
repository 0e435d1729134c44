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
from normcheck.judge.canaries import undetected
from normcheck.methods import partition_of
from normcheck.oracle import evaluate

ORDINARY = bell(1, 24).reshape(2, 3, 4) + np.arange(3)[:, None]


def blind_to(
    x: Any, method: Method, dtype: DType = DType.FLOAT32, *, limit: float | None = None, **rest: Any
) -> str | None:
    """What a case with y alone cannot tell from the truth."""
    arrays = {name: rest.pop(name) for name in ("weight", "bias") if name in rest}
    given = inputs(x, method, dtype=dtype, **arrays)
    params = shaped_params(method, given.x.ndim, **rest)
    own = partition_of(method, given.x.shape, params)
    case = Case(method=method, params=params, fixture="f", shape=given.x.shape, dtype=dtype)
    truths = evaluate(given, case.outputs, eps=params.eps, partition=own, precise=dtype is DType.FLOAT64)
    bounds = {
        output: Bound.for_sums_of(truth.n, max_backward_error=limit) for output, truth in truths.items()
    }
    return undetected(truths, case, given, own, bounds).get(Output.Y)


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
