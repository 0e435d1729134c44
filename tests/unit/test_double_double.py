"""Double-double arithmetic against exact rational arithmetic; the square root against ball arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from normcheck.oracle.double_double import DoubleDouble, fast_two_sum, two_prod, two_sum

U = Fraction(1, 2**53)

# No overflow and no underflow of the error terms: the oracle scales its data so that neither happens.
moderate = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda v: v == 0 or 1e-120 < abs(v) < 1e120
)


def array(value: float) -> np.ndarray:
    return np.array([value])


def exact(number: DoubleDouble) -> Fraction:
    return Fraction(float(number.hi[0])) + Fraction(float(number.lo[0]))


@st.composite
def double_doubles(draw: st.DrawFn) -> DoubleDouble:
    """hi + lo with lo at most half an ulp of hi."""
    hi = draw(moderate)
    lo = draw(st.floats(-0.5, 0.5)) * float(np.spacing(abs(hi)))
    return DoubleDouble(*fast_two_sum(array(hi), array(lo)))


@given(moderate, moderate)
def test_two_sum_is_exact(a: float, b: float) -> None:
    total, error = two_sum(array(a), array(b))
    assert Fraction(a) + Fraction(b) == Fraction(float(total[0])) + Fraction(float(error[0]))


@given(moderate, moderate)
def test_two_prod_is_exact(a: float, b: float) -> None:
    product, error = two_prod(array(a), array(b))
    assert Fraction(a) * Fraction(b) == Fraction(float(product[0])) + Fraction(float(error[0]))


OPERATIONS: list[tuple[str, Callable[..., DoubleDouble], Callable[..., Fraction], Fraction]] = [
    ("+", lambda a, b: a + b, lambda a, b: a + b, 3 * U**2 + 13 * U**3),
    ("-", lambda a, b: a - b, lambda a, b: a - b, 3 * U**2 + 13 * U**3),
    ("*", lambda a, b: a * b, lambda a, b: a * b, 6 * U**2),
    ("/", lambda a, b: a / b, lambda a, b: a / b, 15 * U**2 + 56 * U**3),
]


@pytest.mark.parametrize(("name", "ours", "exactly", "bound"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
@given(a=double_doubles(), b=double_doubles())
def test_operations_are_within_their_published_bounds(
    name: str, ours: Callable[..., DoubleDouble], exactly: Callable[..., Fraction], bound: Fraction,
    a: DoubleDouble, b: DoubleDouble,
) -> None:  # fmt: skip
    if name == "/" and exact(b) == 0:
        return
    expected = exactly(exact(a), exact(b))
    assert abs(exact(ours(a, b)) - expected) <= bound * abs(expected)


@given(double_doubles())
def test_square_root_is_within_a_few_units_of_twice_the_precision(a: DoubleDouble) -> None:
    ctx.prec = 400
    value = abs(exact(a))
    positive = a if exact(a) >= 0 else -a
    expected = (arb(value.numerator) / value.denominator).sqrt()
    found = exact(positive**0.5)
    difference = abs(arb(found.numerator) / found.denominator - expected)
    assert difference <= expected * arb(2) ** -103


@given(st.lists(moderate, min_size=1, max_size=40))
def test_total_is_far_more_precise_than_float64(values: list[float]) -> None:
    found = DoubleDouble(np.array([values])).total()
    assert (1, 1) == found.hi.shape
    scale = sum((abs(Fraction(v)) for v in values), Fraction(0))
    total = Fraction(float(found.hi[0, 0])) + Fraction(float(found.lo[0, 0]))
    assert abs(total - sum(map(Fraction, values), Fraction(0))) <= scale * 32 * U**2


def test_the_bounds_above_would_catch_plain_float64() -> None:
    a, b = DoubleDouble(array(1.0), array(2.0**-60)), DoubleDouble(array(1 / 3), array(2.0**-70))
    plain = Fraction(float((a.hi * b.hi)[0]))
    assert abs(plain - exact(a) * exact(b)) > 6 * U**2 * exact(a) * exact(b)
    assert abs(exact(a * b) - exact(a) * exact(b)) <= 6 * U**2 * exact(a) * exact(b)


@given(moderate, moderate)
def test_plain_numbers_and_arrays_mix_with_double_doubles_on_both_sides(a: float, b: float) -> None:
    x = DoubleDouble(array(a))
    assert Fraction(a) + Fraction(b) == exact(x + b) == exact(array(b) + x) == exact(b + x)
    assert Fraction(a) - Fraction(b) == exact(x - b) == exact(a - DoubleDouble(array(b)))
    assert Fraction(a) * Fraction(b) == exact(x * b) == exact(array(b) * x) == exact(b * x)


def test_scaling_by_powers_of_two_is_exact() -> None:
    scaled = DoubleDouble(array(1 / 3), array(2.0**-60)).ldexp(np.array([-700]))
    assert (Fraction(1 / 3) + Fraction(2.0**-60)) / 2**700 == exact(scaled)


def test_only_the_square_root_is_a_power() -> None:
    with pytest.raises(NotImplementedError):
        DoubleDouble(array(2.0)) ** 2.0
