"""In what an error is measured: roundoffs, and units in the last place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What an error is measured in: the dtype, the unit roundoff, and what writing the result down costs."""

    dtype: DType
    unit: float
    half_unit: float = 0.0  # of the last printed decimal

    def rounding(self, value: Array, forgiven: Array | None = None) -> Array | float:
        """ρ: how far the result may be from ``value`` for having been written down, and ``forgiven`` beyond that.

        Half the smallest number of a half precision is absolute: it is lost in whatever dtype the sums are.
        """
        allowed: Array | float = self.half_unit
        coarser = self.dtype.output_roundoff > self.unit
        if coarser:
            allowed = self.dtype.output_roundoff * np.abs(value)
        if coarser or self.dtype.half:
            allowed = allowed + 0.5 * self.dtype.smallest_subnormal
        return allowed if forgiven is None else allowed + forgiven

    def short_of_infinity(self, value: Array) -> Array:
        """How far ``value`` is from what is written down as an infinity of its sign; 0 beyond that."""
        largest, unit = self.dtype.largest, self.dtype.output_roundoff
        half_spacing = largest * (0.5 * unit / (1.0 - unit))
        return np.maximum((largest - np.abs(value)) + half_spacing, 0.0)

    def beta(
        self, difference: Array, value: Array, cond: Array, cond2: Array, forgiven: Array | None = None
    ) -> Array:
        """The backward error of each element that is off by ``difference``; results and canaries alike."""
        error = np.maximum(difference - self.rounding(value, forgiven), 0.0)
        beta = backward_error(error, cond, cond2, self.unit)
        beta[np.isnan(beta)] = math.inf
        return beta


def backward_error(error: Array, cond: Array, cond2: Array, unit: float) -> Array:
    """β, element by element, of absolute errors: 0 for an error of 0, infinite where nothing allows any."""
    with np.errstate(all="ignore"):
        divisor = cond + np.sqrt(np.square(cond) + 4.0 * cond2 * error)
        beta = 2.0 * error / (unit * divisor)
        if not np.isfinite(divisor).all():  # squares that overflow would let any error pass
            share = error / cond
            scaled = (
                2.0 * share / (unit * (1.0 + np.hypot(1.0, 2.0 * np.sqrt(cond2 / cond) * np.sqrt(share))))
            )
            beta = np.where(np.isfinite(divisor), beta, scaled)
        return np.where(error == 0, 0.0, beta)


def ulp_distance(a: Floats, b: Floats) -> NDArray[np.uint64]:
    """How many representable numbers lie from a to b, in their common dtype; infinities count as numbers."""
    bits = a.dtype.itemsize * 8
    sign = np.uint64(1 << (bits - 1))
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    left, right = (v.view(unsigned).astype(np.uint64) for v in (a, b))
    left_magnitude, right_magnitude = left & ~sign, right & ~sign
    apart = np.maximum(left_magnitude, right_magnitude) - np.minimum(left_magnitude, right_magnitude)
    same_side = (left & sign) == (right & sign)
    result: NDArray[np.uint64] = np.where(same_side, apart, left_magnitude + right_magnitude)
    return result
