"""Each rule of a verdict in both directions: what is right passes, what is wrong does not."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_helpers import oracle, truth

from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.judge.array import Bound, Judgement, judge, judge_printed
from normcheck.judge.distance import AT_ONCE, max_abs_difference
from normcheck.judge.scale import backward_error, ulp_distance
from normcheck.verdict import Verdict

BOUND = Bound.for_sums_of(4)  # 18 and 20 roundoffs
U = 2.0**-24


def judged(
    actual: Any, value: Any, *, bound: Bound = BOUND, dtype: DType = DType.FLOAT32, **conds: Any
) -> Judgement:
    """``actual``, in ``dtype`` if it is a list, against an oracle that has ``value``."""
    array = actual if isinstance(actual, np.ndarray) else np.array(actual, numpy_dtype(dtype))
    return judge(array, truth(value, **conds), dtype=dtype, bound=bound)


def test_the_oracles_own_values_pass_with_nothing_to_report() -> None:
    found = judged([1.0, -2.0, 3.0], [1.0, -2.0, 3.0])
    figures = (found.max_abs_diff, found.max_rel_diff, found.max_ulp, found.backward_error, found.mismatched)
    assert Verdict.PASS is found.verdict
    assert (0.0, 0.0, 0, 0.0, 0) == figures
    assert (3, 18.0, None) == (found.total, found.allowed, found.reason)


def test_an_output_that_was_not_returned_fails() -> None:
    found = judge(None, truth([1.0, 2.0]), dtype=DType.FLOAT32, bound=BOUND)
    assert (Verdict.FAIL, "was not returned", 2) == (found.verdict, found.reason, found.total)


@pytest.mark.parametrize(
    "shape", [(), (1,), (6,), (1, 6), (3, 2), (1, 3), (2, 1), (2, 3, 1), (1, 2, 3), (0,), (2, 0)], ids=str
)
def test_another_shape_fails_also_where_it_would_broadcast(shape: tuple[int, ...]) -> None:
    found = judged(np.zeros(shape, np.float32), np.zeros((2, 3)))
    assert Verdict.FAIL is found.verdict
    assert f"has shape {shape}, expected (2, 3)" == found.reason
    assert found.max_abs_diff is None


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "int64", "bool", "uint8", "complex64"])
def test_another_dtype_fails_though_its_values_are_right(dtype: str) -> None:
    found = judged(np.ones((2, 3), dtype), np.ones((2, 3)))
    assert Verdict.FAIL is found.verdict
    assert f"has dtype {dtype}, expected float32" == found.reason


def test_float32_is_not_promoted_to_float64() -> None:
    found = judged(np.ones((2, 3), np.float32), np.ones((2, 3)), dtype=DType.FLOAT64)
    assert Verdict.FAIL is found.verdict


def test_bfloat16_is_told_from_float16_by_its_name() -> None:
    ones = np.ones(2, ml_dtypes.bfloat16)
    assert Verdict.PASS is judged(ones, [1.0, 1.0], dtype=DType.BFLOAT16).verdict
    assert "has dtype bfloat16, expected float16" == judged(ones, [1.0, 1.0], dtype=DType.FLOAT16).reason


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("actual", "value"),
    [
        pytest.param([NAN, 1.0], [1.0, 1.0], id="one NaN"),
        pytest.param([NAN, NAN], [1.0, 1.0], id="all NaN"),
        pytest.param([1.0, 1.0], [NAN, 1.0], id="a NaN hidden"),
        pytest.param([INF, 1.0], [1.0, 1.0], id="one infinity"),
        pytest.param([1.0, 1.0], [INF, 1.0], id="an infinity hidden"),
        pytest.param([-INF, 1.0], [INF, 1.0], id="infinity of the wrong sign"),
        pytest.param([NAN, 1.0], [INF, 1.0], id="NaN for infinity"),
        pytest.param([INF, 1.0], [NAN, 1.0], id="infinity for NaN"),
        pytest.param([1.0, NAN], [NAN, 1.0], id="NaN in the wrong place"),
    ],
)
def test_nan_and_infinity_must_be_where_the_oracle_has_them(actual: list[float], value: list[float]) -> None:
    found = judged(actual, value)
    assert Verdict.FAIL is found.verdict
    assert found.worst is not None
    assert math.inf == found.backward_error
    assert math.isnan(found.max_abs_diff or 0.0)


def test_the_first_misplaced_nan_is_named_and_all_are_counted() -> None:
    actual = np.ones((3, 4), np.float32)
    actual[1, 2] = actual[2, 0] = np.nan
    found = judge(actual, truth(np.ones((3, 4))), dtype=DType.FLOAT32, bound=BOUND, x=np.full((3, 4), 7.0))
    assert found.worst is not None
    assert ((1, 2), 7.0, 1.0) == (found.worst.index, found.worst.x, found.worst.expected)
    assert math.isnan(found.worst.actual)
    assert (2, 12) == (found.mismatched, found.total)


def test_nan_where_the_oracle_has_it_too_passes_on_the_finite_rest() -> None:
    found = judged([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0])
    assert Verdict.PASS is found.verdict
    assert 0.0 == found.max_abs_diff


def test_beside_a_rightful_nan_a_wrong_number_still_fails() -> None:
    found = judged([NAN, INF, 1.5], [NAN, INF, 1.0])
    assert Verdict.FAIL is found.verdict
    assert found.worst is not None
    assert ((2,), 0.5, 1) == (found.worst.index, found.max_abs_diff, found.mismatched)


def test_what_overflows_the_dtype_is_rightly_infinite() -> None:
    assert Verdict.PASS is judged([INF, 1.0], [1e39, 1.0]).verdict
    assert Verdict.FAIL is judged([1.0, 1.0], [1e39, 1.0]).verdict


@pytest.mark.parametrize(
    ("actual", "value"),
    [
        pytest.param(np.zeros((0,), np.float32), np.zeros((0,)), id="empty"),
        pytest.param(np.zeros((2, 0), np.float32), np.zeros((2, 0)), id="empty of rank 2"),
        pytest.param([NAN, NAN], [NAN, NAN], id="NaN everywhere"),
        pytest.param([INF, -INF], [INF, -INF], id="infinite everywhere"),
    ],
)
def test_nothing_finite_to_compare_is_never_a_pass(actual: Any, value: Any) -> None:
    found = judged(actual, value)
    assert Verdict.INCONCLUSIVE is found.verdict
    assert "no element that is finite and can be decided" == found.reason


# --- backward error ----------------------------------------------------------------------------------


def test_backward_error_of_a_case_by_hand() -> None:
    """An error of 2⁻²⁰ = 16 u, where each roundoff may move the result by 2 u, is 8 roundoffs."""
    found = judged([1 + 2.0**-20], [1.0], cond=2.0)
    assert (8.0, Verdict.PASS) == (found.backward_error, found.verdict)
    assert (2.0**-20, 2.0**-20, 8) == (found.max_abs_diff, found.max_rel_diff, found.max_ulp)


def test_backward_error_of_second_order_by_hand() -> None:
    """With β = 4: β·u·1 + (β·u)²·2²² = 2⁻²² + 2⁻²² = 2⁻²¹."""
    assert 4.0 == judged([2.0**-21], [0.0], cond=1.0, cond2=2.0**22).backward_error
    assert 8.0 == judged([2.0**-21], [0.0], cond=1.0, cond2=0.0).backward_error


@given(st.floats(1e-3, 1e6), st.floats(1e-6, 1e6), st.floats(0, 1e12))
def test_backward_error_solves_its_equation(beta: float, cond: float, cond2: float) -> None:
    error = beta * U * cond + (beta * U) ** 2 * cond2
    found = backward_error(*(np.array([value]) for value in (error, cond, cond2)), U)
    assert beta == pytest.approx(found[0], rel=1e-9)


def test_no_error_is_no_backward_error_even_where_nothing_is_allowed() -> None:
    found = judged([0.0, 0.0], [0.0, 0.0], cond=0.0)
    assert (Verdict.PASS, 0.0) == (found.verdict, found.backward_error)


def test_any_error_where_nothing_is_allowed_is_infinitely_bad() -> None:
    found = judged([0.0, 1e-45], [0.0, 0.0], cond=0.0)
    assert (Verdict.FAIL, math.inf, 1) == (found.verdict, found.backward_error, found.mismatched)


def test_a_condition_that_is_no_number_is_no_excuse() -> None:
    found = judged([1.0, 1.5], [1.0, 1.0], cond=NAN)
    assert (Verdict.FAIL, math.inf) == (found.verdict, found.backward_error)


@pytest.mark.parametrize(
    ("roundoffs", "verdict"),
    [(16, Verdict.PASS), (18, Verdict.PASS), (19, Verdict.LOOSE), (20, Verdict.LOOSE), (21, Verdict.FAIL)],
)
def test_pass_ends_at_16_and_the_root_of_n_loose_at_16_and_n(roundoffs: int, verdict: Verdict) -> None:
    """n = 4, so that PASS ends at 18 roundoffs and LOOSE at 20."""
    found = judged([roundoffs * U], [0.0])
    assert (verdict, float(roundoffs)) == (found.verdict, found.backward_error)
    assert (found.reason is None) == (verdict is Verdict.PASS)


@pytest.mark.parametrize(
    ("limit", "verdict"), [(30.0, Verdict.PASS), (25.0, Verdict.PASS), (24.9, Verdict.FAIL)]
)
def test_the_users_own_bound_replaces_the_derived_one_and_the_reason_says_so(
    limit: float, verdict: Verdict
) -> None:
    found = judged([25 * U], [0.0], bound=Bound.for_sums_of(4, max_backward_error=limit))
    assert (verdict, limit) == (found.verdict, found.allowed)
    assert f"set by --max-backward-error {limit:g}" in (found.reason or "")


def test_float64_is_judged_in_its_own_roundoffs() -> None:
    good, bad = 1 + 2.0**-50, 1 + 2.0**-40
    assert 8.0 == judged([good], [1.0], dtype=DType.FLOAT64).backward_error
    assert Verdict.FAIL is judged([bad], [1.0], dtype=DType.FLOAT64).verdict


def test_the_tail_of_a_double_double_counts() -> None:
    exact = oracle(np.array([[1.0, 2.0, 4.0]]), dtype=DType.FLOAT64)
    assert exact.tail is not None
    assert exact.tail.any()
    found = judge(exact.value, exact, dtype=DType.FLOAT64, bound=BOUND)
    assert np.abs(exact.tail).max() == found.max_abs_diff


def test_the_worst_element_is_the_one_with_the_largest_backward_error() -> None:
    """Not the largest difference: an ill-conditioned element may be off by more."""
    value, actual, cond = np.zeros((2, 3)), np.zeros((2, 3), np.float32), np.ones((2, 3))
    actual[0, 1], cond[0, 1] = 1.0, 1e9
    actual[1, 2] = 100 * U
    x = np.arange(6.0).reshape(2, 3)
    found = judge(actual, truth(value, cond), dtype=DType.FLOAT32, bound=BOUND, x=x)
    assert found.worst is not None
    assert ((1, 2), 5.0) == (found.worst.index, found.worst.x)
    assert (100 * U, 0.0) == (found.worst.actual, found.worst.expected)
    assert (1.0, 1, 6) == (found.max_abs_diff, found.mismatched, found.total)


@pytest.mark.parametrize("at", [0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 3])
def test_one_wrong_element_is_found_in_any_block(at: int) -> None:
    actual = np.zeros(2 * AT_ONCE + 4, np.float32)
    actual[at] = 1.0
    found = judged(actual, np.zeros(actual.shape))
    assert found.worst is not None
    assert (Verdict.FAIL, (at,), 1) == (found.verdict, found.worst.index, found.mismatched)


@pytest.mark.parametrize("at", [0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 3])
def test_one_nan_is_found_in_any_block(at: int) -> None:
    actual = np.zeros(2 * AT_ONCE + 4, np.float32)
    actual[at] = np.nan
    found = judged(actual, np.zeros(actual.shape))
    assert found.worst is not None
    assert (Verdict.FAIL, (at,), 1) == (found.verdict, found.worst.index, found.mismatched)


def test_mismatched_counts_every_element_beyond_the_bound() -> None:
    assert 3 == judged([1.0, 0.0, 1.0, 5 * U, 1.0], np.zeros(5)).mismatched


def test_a_strided_array_is_judged_by_its_values() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert Verdict.PASS is judged(np.asfortranarray(values, np.float32), values).verdict
    assert Verdict.FAIL is judged(np.asfortranarray(values[::-1], np.float32), values).verdict


@pytest.mark.parametrize(("dtype", "half_ulp"), [(DType.FLOAT16, 2.0**-11), (DType.BFLOAT16, 2.0**-8)])
def test_half_precision_may_round_its_result_once_and_no_more(dtype: DType, half_ulp: float) -> None:
    """1 is the nearest to 1 + half an ulp, but two ulps are not explained by writing the result down."""
    assert 0.0 == judged([1.0], [1 + half_ulp], dtype=dtype).backward_error
    found = judged([1.0], [1 + 4 * half_ulp], dtype=dtype)
    assert (Verdict.FAIL, 2) == (found.verdict, found.max_ulp)


def test_half_precision_may_round_to_a_neighbouring_subnormal() -> None:
    tiny = DType.FLOAT16.smallest_subnormal
    assert Verdict.PASS is judged([0.0], [0.5 * tiny], dtype=DType.FLOAT16, cond=0.0).verdict
    assert Verdict.FAIL is judged([0.0], [1.5 * tiny], dtype=DType.FLOAT16, cond=0.0).verdict


def test_an_error_within_a_roundoff_of_the_half_precision_is_located() -> None:
    found = judged([1.0], [1 + 2.0**-8 + 2.0**-10], dtype=DType.BFLOAT16, cond=2.0)
    assert Verdict.FAIL is found.verdict
    assert "something on the way was rounded to it" in (found.reason or "")


def test_the_unit_of_the_sums_may_differ_from_the_dtype_of_the_result() -> None:
    found = judge(np.float32([1 + 2 * U]), truth([1.0]), dtype=DType.FLOAT32, bound=BOUND, unit=2.0**-53)
    assert 2.0**29 == pytest.approx(found.backward_error)  # ρ, of one rounding to float32, is forgiven


# --- ulp ---------------------------------------------------------------------------------------------


def ulps(a: float, b: float, dtype: Any) -> int:
    return int(ulp_distance(np.array([a], dtype), np.array([b], dtype))[0])


def test_ulp_distance_does_not_wrap_around_in_float16() -> None:
    assert 63142 == ulps(60000, -60000, np.float16)


def test_ulp_distance_does_not_wrap_around_in_float64() -> None:
    largest = np.finfo(np.float64).max
    assert 2 * 0x7FEFFFFFFFFFFFFF == ulps(largest, -largest, np.float64)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_neighbours_are_one_ulp_apart_also_across_zero(dtype: Any) -> None:
    one, eps, tiny = (
        float(v) for v in (1, ml_dtypes.finfo(dtype).eps, ml_dtypes.finfo(dtype).smallest_subnormal)
    )
    assert 1 == ulps(one, one + eps, dtype)
    assert 1 == ulps(one + eps, one, dtype)
    assert 1 == ulps(0.0, tiny, dtype)
    assert 2 == ulps(-tiny, tiny, dtype)
    assert 0 == ulps(0.0, -0.0, dtype)


@given(st.floats(width=32, allow_nan=False), st.integers(0, 1000))
def test_ulp_distance_counts_steps_of_nextafter(start: float, steps: int) -> None:
    here = np.array([start], np.float32)
    there = here.copy()
    with np.errstate(over="ignore"):
        for _ in range(steps):
            there = np.nextafter(there, np.float32(np.inf))
    if np.isfinite(there).all():
        assert steps == int(ulp_distance(here, there)[0])


def test_huge_ulp_distances_are_reported_as_they_are() -> None:
    found = judged([1e300], [-1e300], dtype=DType.FLOAT64)
    assert ulps(1e300, -1e300, np.float64) == found.max_ulp
    assert 2**62 < (found.max_ulp or 0)


# --- printed values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "decimals", "verdict"),
    [
        (0.3333, 4, Verdict.PASS),
        (0.3334, 4, Verdict.FAIL),
        (0.3332, 4, Verdict.FAIL),
        (0.33333333, 8, Verdict.PASS),
        (0.33333334, 8, Verdict.FAIL),
        (0.3333, 8, Verdict.FAIL),
        (-0.3333, 4, Verdict.FAIL),
        (math.nan, 4, Verdict.FAIL),
    ],
)
def test_a_printed_value_is_right_within_half_a_unit_of_its_last_decimal(
    printed: float, decimals: int, verdict: Verdict
) -> None:
    found = judge_printed(np.array([0.5, printed]), decimals, truth([0.5, 1 / 3]))
    assert verdict is found.verdict


@pytest.mark.parametrize(
    ("printed", "verdict"), [(0.12, Verdict.PASS), (0.13, Verdict.PASS), (0.14, Verdict.FAIL)]
)
def test_a_tie_may_be_printed_either_way(printed: float, verdict: Verdict) -> None:
    assert verdict is judge_printed(np.array([printed]), 2, truth([0.125])).verdict


def test_printed_values_of_another_shape_fail() -> None:
    found = judge_printed(np.array([0.5]), 4, truth([0.5, 0.5]))
    assert (Verdict.FAIL, "has shape (1,), expected (2,)") == (found.verdict, found.reason)


# --- pairs ---------------------------------------------------------------------------------------------


def test_pairs_differ_by_the_largest_difference() -> None:
    assert 1.5 == max_abs_difference(np.float32([1, -1, 2]), np.float64([1, 0.5, 2]))
    assert 0.0 == max_abs_difference(np.float32([1, -0.0]), np.float32([1, 0.0]))


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.zeros((2, 3)), np.zeros((3, 2))), (np.zeros(3), np.zeros((1, 3))), (np.zeros(0), np.zeros(0))],
)
def test_pairs_of_other_shapes_or_of_nothing_have_no_distance(a: Any, b: Any) -> None:
    assert max_abs_difference(a, b) is None


def test_nan_on_one_side_alone_makes_the_distance_nan_on_both_none() -> None:
    assert math.isnan(max_abs_difference(np.array([1.0, NAN]), np.array([1.0, 1.0])) or 0.0)
    assert math.isnan(max_abs_difference(np.array([NAN, 1.0]), np.array([1.0, 9.0])) or 0.0)
    assert 0.5 == max_abs_difference(np.array([NAN, INF, 1.0]), np.array([NAN, INF, 1.5]))


def test_a_nan_in_an_early_block_is_not_forgotten() -> None:
    a, b = np.zeros(2 * AT_ONCE), np.zeros(2 * AT_ONCE)
    a[0], b[-1] = np.nan, 9.0
    assert math.isnan(max_abs_difference(a, b) or 0.0)


@pytest.mark.parametrize(
    ("error", "cond", "cond2"), [(1e160, 1e160, 0.0), (1e155, 1e150, 1e154), (3e307, 1e308, 1e308)]
)
def test_squares_that_overflow_let_no_error_pass(error: float, cond: float, cond2: float) -> None:
    """The same numbers a power of two smaller have the same backward error, as it has no scale."""
    unit = 2.0**-53
    scale = 2.0**-600
    given = [np.array([value]) for value in (error, cond, cond2)]
    scaled = [given[0] * scale, given[1] * scale, given[2] * scale]
    assert backward_error(*given, unit)[0] == pytest.approx(backward_error(*scaled, unit)[0], rel=1e-12)


def test_a_wrong_sign_far_into_an_array_is_counted_in_ulp() -> None:
    value = np.ones(3 * AT_ONCE)
    actual = value.astype(np.float32)
    actual[0], actual[-1] = 100.0, -1.0
    found = judge(actual, truth(value), dtype=DType.FLOAT32, bound=Bound.for_sums_of(4))
    assert 2 * 0x3F800000 == found.max_ulp
