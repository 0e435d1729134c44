"""y = weight·x̂ + bias in twice the working precision, with its condition numbers.

The formulas are those of any statistic set, whatever the method (see :mod:`normcheck.methods`):

    mean = sum(x)/n    d = x - mean    var = sum(d²)/n    r = 1/sqrt(var + eps)    x̂ = d·r

and the componentwise condition numbers (N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
2nd ed., chapter 1), M being the mean over the statistic set:

    e        = r·(|x| + M|x| + |x̂|·M|x̂·x|)
    cond(y)  = |weight|·e + |weight·x̂| + |bias|
    cond₂(y) = |weight|·(e·p + 2·|x̂|·s)       p = r·M|x̂·x|    s = r²·M(x²)

cond₂ is the second order: where the inputs' roundoff is not small against the standard deviation, the
noise multiplies itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.methods import Partition
from normcheck.model import DType
from normcheck.oracle.double_double import DoubleDouble
from normcheck.partition import join, split

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One output as the oracle has it.

    ``value`` + ``tail`` is the result (``tail`` is None up to float32, where float64 alone is twice the
    precision); ``cond`` and ``cond2`` its condition numbers of first and second order; ``n`` the largest
    count of elements summed. All arrays are float64 and have the output's shape. ``unit`` is the unit
    roundoff that the oracle worked in.
    """

    value: Array
    tail: Array | None
    cond: Array
    cond2: Array
    n: int
    unit: float

    def claimed_error(self) -> Array:
        """A bound of the oracle's own absolute error, checked against ball arithmetic in the tests.

        The oracle's algorithm is as backward stable as the candidates', so its error is bounded as theirs
        is, in its own, smaller unit; and what is stored is rounded once.
        """
        steps = (16 + math.sqrt(self.n)) * self.unit
        return steps * self.cond + steps**2 * self.cond2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normalized:
    """x̂ of one block of statistic sets, with the condition of it: arrays of shape (sets, n)."""

    value: Array
    tail: Array | None
    error: Array  # e
    error2: Array  # e·p + 2·|x̂|·s


def forward(
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    *,
    eps: float,
    partition: Partition,
    dtype: DType,
) -> Truth:
    """Compute y for ``x`` with the statistic sets of ``partition``.

    ``weight`` and ``bias`` are None (1 and 0) or broadcast against x. A set that holds NaN or ±Inf is NaN
    throughout, as the formulas have it.
    """
    precise = dtype is DType.FLOAT64
    normalize = _normalize_double_double if precise else _normalize_float64
    with np.errstate(all="ignore"):  # non-finite numbers are answers here, not accidents
        blocks = [normalize(block, eps) for block in split(x.astype(np.float64, copy=False), partition)]
        value = join([block.value for block in blocks], partition)
        tail = (
            join([block.tail for block in blocks if block.tail is not None], partition) if precise else None
        )
        error = join([block.error for block in blocks], partition)
        error2 = join([block.error2 for block in blocks], partition)
        return _affine(value, tail, error, error2, weight, bias, n=partition.max_n, precise=precise)


def _normalize_float64(x: Array, eps: float) -> _Normalized:
    """x̂ for inputs of at most float32, whose squares neither overflow nor underflow in float64."""
    deviation = x - x.mean(axis=1, keepdims=True)
    deviation -= deviation.mean(axis=1, keepdims=True)  # the mean, refined once
    variance = np.square(deviation).mean(axis=1, keepdims=True)
    inverse_root = 1.0 / np.sqrt(variance + eps)
    return _condition(x, deviation * inverse_root, None, inverse_root)


def _normalize_double_double(x: Array, eps: float) -> _Normalized:
    """x̂ for float64 inputs, scaled by a power of two so that squares neither overflow nor underflow."""
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), math.sqrt(eps))
    _, exponent = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    scaled = DoubleDouble(np.ldexp(x, -exponent))
    scaled_eps = np.ldexp(eps, -2 * exponent)
    deviation = scaled - scaled.mean()
    root = ((deviation * deviation).mean() + scaled_eps).sqrt()
    result = deviation / root
    return _condition(scaled.hi, result.hi, result.lo, 1.0 / root.hi)


def _condition(x: Array, x_hat: Array, tail: Array | None, inverse_root: Array) -> _Normalized:
    magnitude = np.abs(x)
    x_hat_magnitude = np.abs(x_hat)
    correlation = (x_hat_magnitude * magnitude).mean(axis=1, keepdims=True)  # M|x̂·x|
    error = magnitude + magnitude.mean(axis=1, keepdims=True)
    error += x_hat_magnitude * correlation
    error *= inverse_root
    p = inverse_root * correlation
    s = np.square(inverse_root * x).mean(axis=1, keepdims=True)
    return _Normalized(value=x_hat, tail=tail, error=error, error2=error * p + 2.0 * x_hat_magnitude * s)


def _affine(
    value: Array,
    tail: Array | None,
    error: Array,
    error2: Array,
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    *,
    n: int,
    precise: bool,
) -> Truth:
    w = np.float64(1.0) if weight is None else weight.astype(np.float64)
    b = np.float64(0.0) if bias is None else bias.astype(np.float64)
    w_magnitude = np.abs(w)
    cond = w_magnitude * (error + np.abs(value)) + np.abs(b)
    cond2 = w_magnitude * error2
    if tail is None:
        return Truth(value=w * value + b, tail=None, cond=cond, cond2=cond2, n=n, unit=2.0**-53)
    fraction, exponent = np.frexp(w)  # so that the splitting in the product cannot overflow
    y = (DoubleDouble(value, tail) * fraction).ldexp(exponent) + b
    return Truth(value=y.hi, tail=y.lo, cond=cond, cond2=cond2, n=n, unit=2.0**-104)
