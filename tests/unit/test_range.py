"""At the ends of a dtype's range: what writing a result down may make of it is no mistake, and anything else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layers import layer
from unit_helpers import truth

from normcheck.case import Method, Output
from normcheck.conventions.catalogue import EpsPlacement, parse
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.judge.array import Bound, Judgement, judge
from normcheck.judge.scale import Scale
from normcheck.verdict import Verdict

BOUND = Bound.for_sums_of(4)  # 18 and 20 roundoffs
NARROW = (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)


def judged(actual: float, value: float, cond: float, *, dtype: DType, sums: DType) -> Judgement:
    """One element beside a 1 that is right; statistics are in the dtype ``sums``."""
    array = np.array([1.0, actual]).astype(numpy_dtype(dtype))
    return judge(
        array, truth([1.0, value], cond=[1.0, cond]), dtype=dtype, bound=BOUND, unit=sums.output_roundoff
    )


@pytest.mark.parametrize("sums", [DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16])
@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
def test_half_of_the_smallest_number_is_forgiven_whatever_the_sums_are_held_in(
    dtype: DType, sums: DType
) -> None:
    least = dtype.smallest_subnormal
    assert Verdict.PASS is judged(0.0, 0.5 * least, 1e-30 * least, dtype=dtype, sums=sums).verdict
    assert Verdict.FAIL is judged(0.0, 0.6 * least, 1e-30 * least, dtype=dtype, sums=sums).verdict


def test_a_result_in_the_dtype_of_the_sums_is_forgiven_nothing() -> None:
    scale = Scale(dtype=DType.FLOAT32, unit=DType.FLOAT32.unit_roundoff)
    assert scale.rounding(np.ones(1)) == 0.0


@pytest.mark.parametrize("dtype", DType)
def test_what_is_short_of_infinity_by_something_is_not_rounded_to_it(dtype: DType) -> None:
    scale = Scale(dtype=dtype, unit=dtype.unit_roundoff)
    largest = dtype.largest
    half_spacing = float(scale.short_of_infinity(np.array([largest]))[0])
    spacing = largest - float(np.array(largest * (1 - dtype.output_roundoff)).astype(numpy_dtype(dtype)))
    assert spacing == 2 * half_spacing
    if dtype is not DType.FLOAT64:
        ends = np.array([largest + half_spacing * 0.999, -(largest + half_spacing)])
        with np.errstate(over="ignore"):
            assert [False, True] == np.isinf(ends.astype(numpy_dtype(dtype))).tolist()
        assert [True, False] == (scale.short_of_infinity(ends) > 0).tolist()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", NARROW)
def test_what_the_bound_lets_overflow_may_be_infinite(dtype: DType, sign: int) -> None:
    """18 roundoffs pass, 20 are LOOSE: what is short of infinity by 8, by 18.5 or by 30 of them."""
    unit = dtype.output_roundoff
    for roundoffs, verdict in ((8, Verdict.PASS), (18.5, Verdict.LOOSE), (30, Verdict.FAIL)):
        value = sign * dtype.largest * (1 - roundoffs * unit)
        found = judged(sign * np.inf, value, dtype.largest, dtype=dtype, sums=dtype)
        assert verdict is found.verdict
    assert f"is {sign * np.inf:g} where the oracle has {value:g}" == found.reason
    other = judged(-sign * np.inf, sign * dtype.largest, dtype.largest, dtype=dtype, sums=dtype)
    assert Verdict.FAIL is other.verdict


def test_infinities_alone_pass_nothing() -> None:
    array = np.full(2, np.inf, np.float16)
    near = truth([65510.0, 65510.0], cond=[65510.0, 65510.0])
    found = judge(array, near, dtype=DType.FLOAT16, bound=BOUND, unit=DType.BFLOAT16.output_roundoff)
    assert Verdict.INCONCLUSIVE is found.verdict


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize("placement", EpsPlacement)
def test_rms_norm_of_one_element_by_the_unbiased_variance_is_its_bias(
    placement: EpsPlacement, dtype: DType
) -> None:
    """The mean square is divided by 0: x̂ is 0, exactly, and its gradient is NaN as autograd has it."""
    conventions: Any = parse(["variance=unbiased", f"eps_placement={placement}"])
    of = layer([[1.5], [-2.0]], Method.RMS, dtype, convention=conventions)
    found, bias = of.oracle(), float(of.inputs.bias[0])
    assert [bias, bias] == found[Output.Y].value.reshape(-1).tolist()
    assert [0.0] == found[Output.GRAD_WEIGHT].value.tolist()
    for output in (Output.Y, Output.GRAD_WEIGHT):
        assert np.isfinite(found[output].cond).all()
    assert np.isnan(found[Output.GRAD_X].value).all()
