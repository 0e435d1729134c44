"""Arrays in twice the working precision: float64, or double-double for float64 cases; the same functions for both."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from normcheck.oracle.double_double import DoubleDouble

Array = NDArray[np.float64]
Real = Array | DoubleDouble


def high(a: Real) -> Array:
    """The leading float64 of each number."""
    return a.hi if isinstance(a, DoubleDouble) else a


def low(a: Real) -> Array | None:
    """What the leading float64 leaves out; None where there is nothing more."""
    return a.lo if isinstance(a, DoubleDouble) else None


def like(a: Real, value: Array) -> Real:
    """``value``, exact, in the precision of ``a``."""
    return DoubleDouble(value) if isinstance(a, DoubleDouble) else value


def ldexp(a: Real, exponent: NDArray[np.int_]) -> Real:
    """a·2**exponent: exact unless the result leaves the range of float64."""
    return a.ldexp(exponent) if isinstance(a, DoubleDouble) else np.ldexp(a, exponent)


def where(known: NDArray[np.bool_], a: Real, other: Array) -> Real:
    """``a`` where it is ``known``, ``other`` elsewhere."""
    if not isinstance(a, DoubleDouble):
        return np.where(known, a, other)
    return DoubleDouble(np.where(known, a.hi, other), np.where(known, a.lo, 0.0))


def overflown(a: Real, plain: Array) -> Real:
    """``a``, infinite where float64 alone says so: the error-free transformations make that NaN."""
    if not isinstance(a, DoubleDouble):
        return a
    return where(np.isfinite(a.hi), a, plain)


def stacked(parts: Sequence[Real], axis: int = 0) -> Real:
    """Parts one below the other."""
    value: Array = np.concatenate([high(part) for part in parts], axis=axis)
    tails = [tail for part in parts if (tail := low(part)) is not None]
    return DoubleDouble(value, np.concatenate(tails, axis=axis)) if tails else value


def beside(parts: Sequence[Real]) -> Real:
    """Parts one beside the other."""
    return stacked(parts, axis=1)


def total(a: Real) -> Real:
    """The sum over axis 1, kept as an axis of length 1; pairwise."""
    if isinstance(a, DoubleDouble):
        return a.total()
    result: Array = np.ascontiguousarray(a).sum(axis=1, keepdims=True)  # pairwise only where contiguous
    return result


def total_as_laid_out(a: Real) -> Real:
    """The sum over axis 1 in the order of memory: without a copy, but pairwise only where rows are contiguous."""
    if isinstance(a, DoubleDouble):
        return a.total()
    result: Array = a.sum(axis=1, keepdims=True)
    return result


def mean(a: Real) -> Real:
    """The mean over axis 1, kept as an axis of length 1."""
    return total(a) / float(high(a).shape[1])


def average(a: Array) -> Array:
    """M: the mean over the statistic set of a condition number's part, for which float64 will do."""
    result: Array = a.mean(axis=1, keepdims=True)
    return result


def sum_of(parts: Iterable[Real]) -> Real:
    """The parts added up, in their order."""
    first, *others = parts
    return functools.reduce(operator.add, others, first)
