"""x̂ of blocks of statistic sets, in twice the working precision, and how well conditioned it is.

    mean = sum(x)/n    d = x - mean    var = sum(d²)/n    r = 1/sqrt(var + eps)    x̂ = d·r

The condition numbers are componentwise (N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
2nd ed., chapter 1), M being the mean over the statistic set:

    e  = r·(|x| + M|x| + |x̂|·M|x̂·x|)                      of x̂, first order
    e₂ = e·p + 2·|x̂|·s,   p = r·M|x̂·x|,   s = r²·M(x²)     second order

The second order matters where the inputs' roundoff is not small against the standard deviation: there the
noise multiplies itself. With running statistics in place of the set's own,

    e  = r·(|x| + cond(running_mean) + |x - running_mean|·p)       p = ½·cond(running_var)/(running_var + eps)
    e₂ = r·(cond₂(running_mean) + (|x| + cond(running_mean))·p + |x - running_mean|·s)
    s  = ½·cond₂(running_var)/(running_var + eps) + 3/2·p²

where the condition numbers of statistics that are given are their magnitudes.

Both orders expand around the inputs as they are. Where the standard deviation σ is within reach of roundoffs,

    σ <= (16 + √n)·u·√M(x²)

that says too little: inputs that are roundoffs away have no variance at all. The r of the condition numbers is
then theirs, 1/√eps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.truth import probable_roundoffs

Array = NDArray[np.float64]
Real = Array | DoubleDouble  # float64 where that is twice the working precision, double-double otherwise
LEAST_EPS = 2.0**-900  # below any variance that is not 0, and its inverse root is in range


def high(a: Real) -> Array:
    """The leading float64 of each number."""
    return a.hi if isinstance(a, DoubleDouble) else a


def low(a: Real) -> Array | None:
    """What the leading float64 leaves out; None where there is nothing more."""
    return a.lo if isinstance(a, DoubleDouble) else None


def ldexp(a: Real, exponent: NDArray[np.int_]) -> Real:
    """a·2**exponent: exact unless the result leaves the range of float64."""
    return a.ldexp(exponent) if isinstance(a, DoubleDouble) else np.ldexp(a, exponent)


def where(known: NDArray[np.bool_], a: Real, other: Array) -> Real:
    """``a`` where it is ``known``, ``other`` elsewhere."""
    if not isinstance(a, DoubleDouble):
        return np.where(known, a, other)
    return DoubleDouble(np.where(known, a.hi, other), np.where(known, a.lo, 0.0))


def total(a: Real) -> Real:
    """The sum over axis 1, kept as an axis of length 1; pairwise."""
    if isinstance(a, DoubleDouble):
        return a.total()
    result: Array = np.ascontiguousarray(a).sum(axis=1, keepdims=True)  # pairwise only where contiguous
    return result


def mean(a: Real) -> Real:
    """The mean over axis 1, kept as an axis of length 1."""
    return total(a) / float(high(a).shape[1])


def average(a: Array) -> Array:
    """M: the mean over the statistic set of a condition number's part, for which float64 will do."""
    result: Array = a.mean(axis=1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running mean or variance with its condition numbers: arrays of shape (C, 1)."""

    value: Real
    cond: Array
    cond2: Array

    def for_sets(self, sets: int) -> Running:
        """The statistics of as many statistic sets, which go through the channels again and again."""
        times = (sets // len(self.cond), 1)
        value: Real
        if isinstance(self.value, DoubleDouble):
            value = DoubleDouble(np.tile(self.value.hi, times), np.tile(self.value.lo, times))
        else:
            value = np.tile(self.value, times)
        return Running(value=value, cond=np.tile(self.cond, times), cond2=np.tile(self.cond2, times))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardized:
    """One block of statistic sets: arrays of shape (sets, n), or (sets, 1) where said.

    ``x`` is the input divided by 2**exponent (sets, 1), ``deviation`` and ``inverse_root`` (sets, 1) belong
    to that; ``x_hat`` and the condition numbers do not depend on the scale. ``reach`` (sets, 1) is the r of
    the condition numbers. ``own`` is False where the running statistics took the place of the set's own.
    """

    x: Array
    exponent: NDArray[np.int_]
    mean: Real
    deviation: Real
    variance: Real
    inverse_root: Real
    reach: Array
    x_hat: Real
    e: Array
    e2: Array
    p: Array
    s: Array
    own: bool


def standardize(x: Array, eps: float, *, precise: bool, tiny: float, unit: float) -> Standardized:
    """x̂ with each set's own mean and variance; ``precise`` in double-double, for float64 inputs.

    An input below ``tiny`` may move by as much as one of that size does: what underflows is lost. ``unit``
    is the unit roundoff of the inputs.
    """
    exponent = _exponent(x, eps) if precise else np.zeros((len(x), 1), dtype=np.int_)
    scaled = np.ldexp(x, -exponent) if precise else x
    scaled_eps = np.maximum(np.ldexp(eps, -2 * exponent), LEAST_EPS if eps else 0.0)
    real: Real = DoubleDouble(scaled) if precise else scaled
    centre = mean(real)
    deviation = real - centre
    correction = mean(deviation)  # the mean, refined once
    deviation = deviation - correction
    variance = mean(deviation * deviation)
    inverse_root = 1.0 / (variance + scaled_eps) ** 0.5
    x_hat = deviation * inverse_root
    x_hat_magnitude = np.abs(high(x_hat))
    magnitude = np.abs(scaled) + np.ldexp(tiny, -exponent)
    lost = probable_roundoffs(x.shape[1]) * unit * np.sqrt(average(np.square(magnitude)))
    r = np.where(np.sqrt(high(variance)) <= lost, 1.0 / np.sqrt(scaled_eps), high(inverse_root))
    correlation = average(x_hat_magnitude * magnitude)  # M|x̂·x|
    e = r * (magnitude + average(magnitude) + x_hat_magnitude * correlation)
    p, s = r * correlation, average(np.square(r * scaled))
    return Standardized(
        x=scaled,
        exponent=exponent,
        mean=_poisoned(centre + correction, scaled),
        deviation=deviation,
        variance=variance,
        inverse_root=inverse_root,
        reach=r,
        x_hat=x_hat,
        e=e,
        e2=e * p + 2.0 * x_hat_magnitude * s,
        p=p,
        s=s,
        own=True,
    )


def standardize_with(x: Array, mean: Running, var: Running, eps: float, *, tiny: float) -> Standardized:
    """x̂ with running statistics, one for each set, as in eval mode; what they are uncertain by is passed on."""
    deviation = x - mean.value
    total_var = var.value + eps
    inverse_root = 1.0 / total_var**0.5
    r, distance = high(inverse_root), np.abs(high(deviation))
    gain, gain2 = var.cond / high(total_var), var.cond2 / high(total_var)
    first, second = 0.5 * gain, 0.5 * gain2 + 0.375 * np.square(gain)  # of the inverse root, relative to it
    e = np.abs(x) + tiny + mean.cond  # of the deviation
    return Standardized(
        x=x,
        exponent=np.zeros((len(x), 1), dtype=np.int_),
        mean=mean.value,
        deviation=deviation,
        variance=var.value,
        inverse_root=inverse_root,
        reach=r,
        x_hat=_scaled_product(deviation, inverse_root),
        e=r * (e + distance * first),
        e2=r * (mean.cond2 + e * first + distance * second),
        p=first,
        s=second,
        own=False,
    )


def _poisoned(mean: Real, x: Array) -> Real:
    """A mean that is infinite where x is: the error-free transformations make it NaN."""
    plain = x.mean(axis=1, keepdims=True)
    if np.isfinite(plain).all():
        return mean
    return where(np.isfinite(plain), mean, plain)


def _scaled_product(a: Real, b: Real) -> Real:
    """a·b with a's exponents apart, so that the splitting in double-double products cannot overflow."""
    if not isinstance(a, DoubleDouble):
        return a * b
    exponent = np.frexp(a.hi)[1]
    return (a.ldexp(-exponent) * b).ldexp(exponent)


def _exponent(x: Array, eps: float) -> NDArray[np.int_]:
    """The power of two that brings a set, and the root of eps, to at most 1: squares stay in range."""
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), math.sqrt(eps))
    exponent: NDArray[np.int_] = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    return exponent
