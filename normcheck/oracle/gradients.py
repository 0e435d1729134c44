"""grad_x, and how well conditioned it is. With g = dL/dy, h = g·weight, and M the mean over the statistic set:

grad_x = r·(h - M(h) - x̂·M(h·x̂))     or r·h with running statistics

cond  = r·[2(|h| + M|h| + |x̂|·M|h·x̂|) + |M(h·x̂)|·e + |x̂|·M(|h|·e)] + |grad_x|·p
cond₂ = r·[e·M(|h|·e) + p·(|M(h·x̂)|·e + |x̂|·M(|h|·e) + 2(|h| + M|h| + |x̂|·M|h·x̂|))] + 2|grad_x|·s
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from normcheck.methods.tiles import Tile
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.reals import Array, Real, high, ldexp, sum_of, total
from normcheck.oracle.statistics import Given, Own, Standardized


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The means over each statistic set of what comes in, arrays of shape (sets, 1).

    M(h), M(h·x̂), M|h|, M|h·x̂| and M(|h|·e).
    """

    mean: Real
    product: Real
    magnitude: Array
    cross: Array
    spread: Array

    @classmethod
    def of(cls, parts: Iterable[tuple[Real, ...]], n: int) -> Incoming:
        """The means over sets of ``n`` elements, from the :func:`addends` of their pieces."""
        columns = [list(column) for column in zip(*parts, strict=True)]
        mean, product, *others = (sum_of(column) / float(n) for column in columns)
        magnitude, cross, spread = map(high, others)
        return cls(mean=mean, product=product, magnitude=magnitude, cross=cross, spread=spread)


def addends(x: Standardized, h: Real) -> tuple[Real, ...]:
    """What the elements of a piece add to the means of :class:`Incoming`."""
    size = np.abs(high(h))
    return total(h), total(h * x.x_hat), total(size), total(size * x.magnitude), total(size * x.e)


def times(a: Real, b: Array) -> Real:
    """a·b; in double-double with b's exponent apart, so that the splitting in the product cannot overflow."""
    if not isinstance(a, DoubleDouble):
        return a * b
    fraction, exponent = np.frexp(b)
    return (a * fraction).ldexp(exponent)


def h_of(inputs: Inputs, weight: Array, tile: Tile, *, precise: bool) -> Real:
    """H at ``tile``: the incoming gradient times ``weight``, which broadcasts against x."""
    g, part = inputs.grad_y_of(tile), inputs.cut(weight, tile)
    return times(DoubleDouble(g), part) if precise else g * part


def through_own(own: Own, incoming: Incoming, x: Standardized, h: Real) -> tuple[Real, Array, Array]:
    """grad_x of elements of the sets of ``own``, with its condition numbers."""
    size, r = np.abs(high(h)), own.reach
    grad_x = (h - incoming.mean - x.x_hat * incoming.product) * own.inverse_root
    magnitude = np.abs(high(grad_x))
    direct = 2.0 * (size + incoming.magnitude + x.magnitude * incoming.cross)
    through = np.abs(high(incoming.product)) * x.e + x.magnitude * incoming.spread
    cond = r * (direct + through) + magnitude * own.p
    cond2 = r * (x.e * incoming.spread + own.p * (through + direct)) + 2.0 * magnitude * own.s
    back = -own.exponent  # r belongs to the scaled x
    return ldexp(grad_x, back), np.ldexp(cond, back), np.ldexp(cond2, back)


def through_given(given: Given, h: Real) -> tuple[Real, Array, Array]:
    """grad_x with running statistics, which do not depend on x."""
    grad_x = h * given.inverse_root
    magnitude = np.abs(high(grad_x))
    return grad_x, magnitude * (2.0 + given.p), magnitude * (1.0 + 2.0 * given.p + given.s)
