"""Double-double arithmetic over NumPy arrays: an unevaluated sum hi + lo of two float64.

About 106 bits of significand from error-free transformations alone, so that results are the same on
every machine with IEEE float64 (long double is 64, 80 or 128 bits depending on the platform, and a fused
multiply-add is not needed).

Sources: T. J. Dekker, "A floating-point technique for extending the available precision" (1971), for
TwoProd by Veltkamp splitting; D. E. Knuth, TAOCP vol. 2, 4.2.2, for TwoSum; M. Joldes, J.-M. Muller,
V. Popescu, "Tight and rigorous error bounds for basic building blocks of double-word arithmetic" (2017),
algorithms 6 (sum), 12 (product), 17 (quotient), whose relative errors are at most 3u², 5u² and 15u²+56u³
with u = 2⁻⁵³.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SPLITTER = 2.0**27 + 1.0


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum of a and b, and its exact error (Knuth); any order of magnitudes."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def fast_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum of a and b, and its exact error (Dekker), where abs(a) >= abs(b) or a is 0."""
    total = a + b
    return total, b - (total - a)


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def two_prod(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded product of a and b, and its exact error (Dekker); any order of magnitudes."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    if not np.isfinite(error).all():  # splitting overflows from 2^996 on
        lost = np.isfinite(product) & ~np.isfinite(error)
        error = np.where(lost, _error_of_large(a, b), error)
    return product, error


def _error_of_large(a: Array, b: Array) -> Array:
    """The exact error of the rounded product, with the exponents kept apart."""
    (a, a_exponent), (b, b_exponent) = np.frexp(a), np.frexp(b)
    _, error = two_prod(np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0))
    scaled: Array = np.ldexp(error, a_exponent + b_exponent)
    return scaled


class DoubleDouble:
    """An array of numbers hi + lo with abs(lo) <= ulp(hi)/2; arithmetic operators work element by element.

    ``hi`` and ``lo`` are float64 arrays of one shape. Operands may be DoubleDouble, float64 arrays or floats.
    """

    __slots__ = ("hi", "lo")
    __array_ufunc__ = None  # let array + DoubleDouble come here

    def __init__(self, hi: Array, lo: Array | None = None) -> None:
        self.hi = hi
        self.lo = np.zeros_like(hi) if lo is None else lo

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.hi, -self.lo)

    def __add__(self, other: DoubleDouble | Array | float) -> DoubleDouble:
        other = _lift(other)
        high, high_error = two_sum(self.hi, other.hi)
        low, low_error = two_sum(self.lo, other.lo)
        high, middle = fast_two_sum(high, high_error + low)
        return DoubleDouble(*fast_two_sum(high, middle + low_error))

    def __rsub__(self, other: Array | float) -> DoubleDouble:
        return _lift(other) + -self

    def __sub__(self, other: DoubleDouble | Array | float) -> DoubleDouble:
        return self + -_lift(other)

    def __mul__(self, other: DoubleDouble | Array | float) -> DoubleDouble:
        other = _lift(other)
        product, error = two_prod(self.hi, other.hi)
        return DoubleDouble(*fast_two_sum(product, error + (self.hi * other.lo + self.lo * other.hi)))

    def __truediv__(self, other: DoubleDouble | Array | float) -> DoubleDouble:
        other = _lift(other)
        quotient = self.hi / other.hi
        remainder = self - other * quotient
        return DoubleDouble(*fast_two_sum(quotient, remainder.hi / other.hi))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rtruediv__(self, other: Array | float) -> DoubleDouble:
        return _lift(other) / self

    def __pow__(self, exponent: float) -> DoubleDouble:
        """The square root, for exponent 0.5, of numbers that are not negative."""
        if exponent != 0.5:
            raise NotImplementedError(f"power {exponent}")
        root = np.sqrt(self.hi)
        remainder = self - DoubleDouble(*two_prod(root, root))
        return DoubleDouble(*fast_two_sum(root, remainder.hi / (2.0 * np.where(root == 0, 1.0, root))))

    def total(self) -> DoubleDouble:
        """The sum over axis 1, kept as an axis of length 1; pairwise."""
        part = self if self.hi.shape[1] else DoubleDouble(np.zeros((len(self.hi), 1)))
        while (length := part.hi.shape[1]) > 1:
            half = length // 2
            paired, odd = part[:, :half] + part[:, half : 2 * half], part[:, 2 * half :]
            part = DoubleDouble(
                np.concatenate((paired.hi, odd.hi), axis=1), np.concatenate((paired.lo, odd.lo), axis=1)
            )
        return part

    def ldexp(self, exponent: NDArray[np.int_]) -> DoubleDouble:
        """Multiply by 2**exponent: exact unless the result leaves the range of float64."""
        return DoubleDouble(np.ldexp(self.hi, exponent), np.ldexp(self.lo, exponent))

    def __getitem__(self, index: Any) -> DoubleDouble:
        return DoubleDouble(self.hi[index], self.lo[index])

    def __setitem__(self, index: Any, value: DoubleDouble) -> None:
        self.hi[index], self.lo[index] = value.hi, value.lo


def _lift(value: DoubleDouble | Array | float) -> DoubleDouble:
    return value if isinstance(value, DoubleDouble) else DoubleDouble(np.asarray(value, dtype=np.float64))
