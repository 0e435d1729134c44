"""grad_x, and how well conditioned it is. With g = dL/dy, h = g·weight, and M the mean over the statistic set:

grad_x = r·(Ph - κ·x̂·M(h·x̂)),   Ph = h - M(h), or h where the mean is not taken away;   or r·h with running statistics

cond  = r·[|P|D + κ|x̂|·M(D·|x̂|) + κ(|M(h·x̂)|·e + |x̂|·M(|h|·e))] + r·|p·Ph - q·κ·x̂·M(h·x̂)|
cond₂ = r·[κ·e·M(|h|·e) + p·|P|D + q·κ(|x̂|·M(D·|x̂|) + |M(h·x̂)|·e + |x̂|·M(|h|·e))] + 2r·|s·Ph - t·κ·x̂·M(h·x̂)|

with D = 2|h|, or |g|·(2|weight| + |weight - 1|) where the weight is stored less 1; |P|D = D + M(D), or D; q = p and
t = s but for eps outside the root, where they are p/(rσ) and s/(rσ). Ordinarily κ is 1, and the last terms are
|grad_x|·p and 2|grad_x|·s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from normcheck.oracle.given import Given
from normcheck.oracle.reals import Array, Real, high, ldexp, sum_of, total
from normcheck.oracle.statistics import Own, Standardized


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The means over each statistic set of what comes in, arrays of shape (sets, 1).

    M(h), κ·M(h·x̂), ½M(D), ½κ·M(D·|x̂|) and κ·M(|h|·e).
    """

    mean: Real
    product: Real
    magnitude: Array
    cross: Array
    spread: Array

    @classmethod
    def of(cls, own: Own, parts: Iterable[tuple[Real, ...]], n: int) -> Incoming:
        """The means over sets of ``n`` elements, from the :func:`addends` of their pieces."""
        columns = [list(column) for column in zip(*parts, strict=True)]
        mean, product, *others = (sum_of(column) / float(n) for column in columns)
        magnitude, cross, spread = map(high, others)
        if own.kappa is not None:
            product = product * own.kappa
        if own.steepest is not None:
            cross, spread = cross * own.steepest, spread * own.steepest
        return cls(mean=mean, product=product, magnitude=magnitude, cross=cross, spread=spread)


def addends(x: Standardized, h: Real, more: Array | None) -> tuple[Real, ...]:
    """What the elements of a piece add to the means of :class:`Incoming`; ``more`` as in :func:`through_own`."""
    size = np.abs(high(h))
    half = size if more is None else size + 0.5 * more
    return total(h), total(h * x.x_hat), total(half), total(half * x.magnitude), total(size * x.e)


def through_own(
    own: Own, incoming: Incoming, x: Standardized, h: Real, more: Array | None
) -> tuple[Real, Array, Array]:
    """grad_x of elements of the sets of ``own``, with its condition numbers.

    ``more`` is by how much h moves beyond twice its magnitude, None for not at all.
    """
    size, r = np.abs(high(h)), own.reach
    half = size if more is None else size + 0.5 * more
    projected = h
    if own.mean is not None:
        projected, half = h - incoming.mean, half + incoming.magnitude
    back = x.x_hat * incoming.product
    grad_x = (projected - back) * own.inverse_root
    leading = high(grad_x)
    direct = 2.0 * (half + x.magnitude * incoming.cross)
    through = np.abs(high(incoming.product)) * x.e + x.magnitude * incoming.spread
    first, second = np.abs(leading) * own.p, np.abs(leading) * own.s
    products = x.e * incoming.spread + own.p * (through + direct)
    if own.more_p is not None and own.more_s is not None:
        turned = r * high(back)
        first = np.abs(leading * own.p - turned * own.more_p)
        second = np.abs(leading * own.s - turned * own.more_s)
        products = products + own.more_p * (through + 2.0 * x.magnitude * incoming.cross)
    cond = r * (direct + through) + first
    cond2 = r * products + 2.0 * second
    exponent = -own.exponent  # r belongs to the scaled x
    cond, cond2 = np.ldexp(cond, exponent), np.ldexp(cond2, exponent)
    if own.unknown_gradient is not None:
        cond = cond + own.unknown_gradient
    return ldexp(grad_x, exponent), cond, cond2


def through_given(given: Given, h: Real, more: Array | None) -> tuple[Real, Array, Array]:
    """grad_x with running statistics, which do not depend on x; ``more`` as in :func:`through_own`."""
    grad_x = h * given.inverse_root
    magnitude = np.abs(high(grad_x))
    cond, cond2 = magnitude * (2.0 + given.p), magnitude * (1.0 + 2.0 * given.p + given.s)
    if more is None:
        return grad_x, cond, cond2
    further = more * high(given.inverse_root)
    return grad_x, cond + further, cond2 + further * (1.0 + given.p)
