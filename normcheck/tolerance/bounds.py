"""The tolerance that sound code needs: from the bound of each element to one rtol and one atol.

The oracle says how far an element of a sound y may be from its value v: b = B·u·cond + (B·u)²·cond₂ + ρ, with
B = 16 + √n (:mod:`normcheck.judge.array`). ``assert_close`` has one line for all elements, atol + rtol·|expected|. Any
line that is nowhere below the bounds lets all sound code pass. The best one leaves the least room: it is the lowest on
average over the elements, an edge of the upper hull of the points (|expected|, bound).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType
from normcheck.judge.scale import Scale
from normcheck.oracle import Truth, probable_roundoffs

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
DIGITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """One rtol and one atol, as ``assert_close`` takes them; ``name`` and ``source`` say whose they are."""

    name: str
    rtol: float
    atol: float
    source: str = ""

    def passes(self, actual: Floats, expected: Floats) -> bool:
        """True if each element of ``actual`` is as near to ``expected`` as assert_close demands; NaN never is."""
        a, e = actual.astype(np.float64), expected.astype(np.float64)
        with np.errstate(all="ignore"):
            close = (a == e) | (np.isfinite(a) & (np.abs(a - e) <= self.atol + self.rtol * np.abs(e)))
        return bool(close.all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What sound code needs against an exact result, rounded to its dtype, and two sound ones against each other."""

    exact: Tolerance
    each_other: Tolerance


BY_TORCH = {  # torch.testing.assert_close: _DTYPE_PRECISIONS in torch/testing/_comparison.py, torch 2.13
    DType.FLOAT16: (1e-3, 1e-5),
    DType.BFLOAT16: (1.6e-2, 1e-5),
    DType.FLOAT32: (1.3e-6, 1e-5),
    DType.FLOAT64: (1e-7, 1e-7),
}
BY_NUMPY = (1e-7, 0.0)  # numpy.testing.assert_allclose, for every dtype: its signature, NumPy 2.4


def usual(dtype: DType) -> tuple[Tolerance, ...]:
    """The tolerances that assert_close and assert_allclose have for ``dtype`` where none is given."""
    (rtol, atol), (rtol_of_numpy, atol_of_numpy) = BY_TORCH[dtype], BY_NUMPY
    return (
        Tolerance(name="torch", rtol=rtol, atol=atol, source="default of torch.testing.assert_close"),
        Tolerance(
            name="numpy",
            rtol=rtol_of_numpy,
            atol=atol_of_numpy,
            source="default of numpy.testing.assert_allclose",
        ),
    )


def needed(truth: Truth, scale: Scale) -> Needed:
    """The tolerances for an output that is ``truth``, in the dtype of ``scale``.

    They have room for any rounding to the dtype, and for an element that is 0 or nearly so: if these numbers happen to
    be rounded well, and are all far from 0, is the luck of the data.
    """
    dtype = scale.dtype
    exact = np.append(np.abs(truth.value), 0.0)
    of_sound = np.append(allowed(truth, scale), scale.rounding(np.zeros(1)))
    rounding = dtype.output_roundoff * exact + 0.5 * dtype.smallest_subnormal  # of the reference

    def tolerance(name: str, off: Array, most: Array) -> Tolerance:
        """That for a difference of at most ``most`` from an expected value that is ``off`` itself."""
        return lowest(name, np.maximum(exact - off, 0.0), compared(most, dtype))

    return Needed(
        exact=tolerance("exact", rounding, of_sound + rounding),
        each_other=tolerance("each other", of_sound, 2 * of_sound),
    )


def allowed(truth: Truth, scale: Scale) -> Array:
    """How far each element of a sound result may be from the oracle's."""
    steps = probable_roundoffs(truth.n) * scale.unit
    bound: Array = steps * truth.cond + steps**2 * truth.cond2 + scale.rounding(truth.value, truth.forgiven)
    return bound


def compared(bound: Array, dtype: DType) -> Array:
    """``bound``, with room for the roundings of the comparison, which assert_close makes in the dtype.

    The difference is rounded once; rtol, its product with the expected value, atol and the sum are three roundings on
    the way of each addend, and may lose a smallest number.
    """
    u = dtype.output_roundoff
    found: Array = (bound * (1 + u) + dtype.smallest_subnormal) / (1 - u) ** 3
    return found


def lowest(name: str, expected: Array, bound: Array) -> Tolerance:
    """Of all lines above the points (|expected|, bound) the one that is lowest on average, its numbers rounded up."""
    rtol = rounded_up(_slope(expected.reshape(-1), bound.reshape(-1)))
    with np.errstate(over="ignore"):
        atol = float(np.max(bound - rtol * expected, initial=0.0))
    return Tolerance(name=name, rtol=rtol, atol=rounded_up(atol))


def _slope(a: Array, c: Array) -> float:
    """That of the edge of the upper hull of points (a, c), all from 0 on, over the mean of ``a``; at least 0.

    With the origin as one more point the line is never below 0 there. Each step finds the point that is furthest above
    the line through two, one on either side of the mean, and puts it in the place of the one on its side.
    """
    middle = float(a.mean())
    top = int(np.argmax(c))
    if a[top] <= middle:
        return 0.0
    left, right = (0.0, 0.0), (float(a[top]), float(c[top]))
    height = (
        -1.0
    )  # of the line at the mean: each step raises it, but for roundoffs, which would go round in circles
    while True:
        slope = (right[1] - left[1]) / (right[0] - left[0])
        reached = left[1] + slope * (middle - left[0])
        if not reached > height:
            return max(slope, 0.0)
        height = reached
        furthest = int(np.argmax(c - slope * a))
        point = float(a[furthest]), float(c[furthest])
        left, right = (point, right) if point[0] <= middle else (left, point)


def rounded_up(value: float) -> float:
    """``value`` to two significant digits, never less than it is."""
    return float(Context(prec=DIGITS, rounding=ROUND_CEILING).create_decimal(Decimal(value)))
