"""grad_x, and how well conditioned it is. With g = dL/dy, w' the weight or 1 + the weight, h = g·w', and M the mean
over the statistic set; P, κ, p, q, s of :mod:`normcheck.oracle.rule` and :mod:`normcheck.oracle.statistics`:

grad_x = r·(P h - κ·x̂·M(h·x̂))     or r·h with running statistics

With D = 2·|g·w'|, to which |g·w| comes where the weight is 1 + w, |P||a| = |a| + M|a| or |a|,
T = |M(h·x̂)|·e + |x̂|·M(|h|·e):

cond  = r·[|P|D + κ·|x̂|·M(D·|x̂|) + κ·T] + r·|p·P h - q·κ·x̂·M(h·x̂)|
cond₂ = r·[κ·e·M(|h|·e) + p·|P|D + q·κ·(|x̂|·M(D·|x̂|) + T)] + 2r·|s·P h - s_q·κ·x̂·M(h·x̂)|

where s and s_q have κ in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from normcheck.methods.tiles import Tile
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.elements import Standardized
from normcheck.oracle.given import Given
from normcheck.oracle.inputs import Inputs, Weight
from normcheck.oracle.reals import Array, Real, high, ldexp, sum_of, total, where
from normcheck.oracle.statistics import Own


@dataclass(frozen=True, slots=True, kw_only=True)
class H:
    """The incoming gradient times the weight, of elements of sets; its magnitude, and ``size``, which is D/2.

    ``unknown``, infinite where h has no value that can be decided and else 0, makes grad_x of its set so; None: it has.
    """

    value: Real
    magnitude: Array
    size: Array
    unknown: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The means over each statistic set of what comes in, arrays of shape (sets, 1).

    M(h), M(h·x̂), M(D/2), M(D/2·x̂) and M(|h|·e); ``unknown`` of any h.
    """

    mean: Real
    product: Real
    magnitude: Array
    cross: Array
    spread: Array
    unknown: Array | None

    @classmethod
    def of(cls, parts: Iterable[tuple[Real, ...]], n: int) -> Incoming:
        """The means over sets of ``n`` elements, from the :func:`addends` of their pieces."""
        columns = [list(column) for column in zip(*parts, strict=True)]
        mean, product, *others = (sum_of(column) / float(n) for column in columns)
        magnitude, cross, spread, *unknown = map(high, others)
        return cls(
            mean=mean,
            product=product,
            magnitude=magnitude,
            cross=cross,
            spread=spread,
            unknown=unknown[0] if unknown else None,
        )


def addends(x: Standardized, h: H) -> tuple[Real, ...]:
    """What the elements of a piece add to the means of :class:`Incoming`."""
    return (
        total(h.value),
        total(h.value * x.x_hat),
        total(h.size),
        total(h.size * x.magnitude),
        total(h.magnitude * x.e),
        *(() if h.unknown is None else (total(h.unknown),)),
    )


def h_of(inputs: Inputs, weight: Weight, tile: Tile, *, precise: bool) -> H:
    """H at ``tile``: the incoming gradient times the weight, which broadcasts against x."""
    g, part = inputs.grad_y_of(tile), weight.at(tile)
    value = DoubleDouble(g) * part.value if precise else g * part.value
    magnitude = np.abs(high(value))
    size = magnitude if part.stored is None else magnitude + 0.5 * np.abs(g * part.stored)
    return H(value=value, magnitude=magnitude, size=size)


def through_own(own: Own, incoming: Incoming, x: Standardized, h: H) -> tuple[Real, Array, Array]:
    """grad_x of elements of the sets of ``own``, with its condition numbers."""
    r, centered = own.reach, own.centre is not None
    projected = h.value - incoming.mean if centered else h.value
    along = x.x_hat * _scaled(incoming.product, own.kappa)
    grad_x = (projected - along) * own.inverse_root
    magnitude = np.abs(high(grad_x))
    direct = h.size + incoming.magnitude if centered else h.size
    cross = x.magnitude * incoming.cross
    through = np.abs(high(incoming.product)) * x.e + x.magnitude * incoming.spread
    spread = x.e * incoming.spread
    if own.kappa is None:
        both = 2.0 * (direct + cross) + through
        cond = r * both + magnitude * own.p
        cond2 = r * (spread + own.p * both) + 2.0 * magnitude * own.s
    else:
        kappa = high(own.kappa)
        rest = kappa * (2.0 * cross + through)
        first, second = (
            r * np.abs(high(projected) * of_r - high(along) * of_both)
            for of_r, of_both in ((own.p, own.q), (own.s, own.s_q))
        )
        cond = r * (2.0 * direct + rest) + first
        cond2 = r * (kappa * spread + (own.p * 2.0 * direct + own.q * rest)) + 2.0 * second
    back = -own.exponent  # r belongs to the scaled x
    grad_x, cond, cond2 = ldexp(grad_x, back), high(ldexp(cond, back)), high(ldexp(cond2, back))
    if own.undecided is not None:
        grad_x = where(~own.undecided | np.isfinite(high(grad_x)), grad_x, np.zeros(()))
        cond = np.where(own.undecided, np.inf, cond)
    if incoming.unknown is not None:
        cond = cond + incoming.unknown
    return grad_x, cond, cond2


def _scaled(a: Real, kappa: Real | None) -> Real:
    return a if kappa is None else a * kappa


def through_given(given: Given, h: H) -> tuple[Real, Array, Array, Array | None]:
    """grad_x with running statistics, which do not depend on x, its condition numbers, and where it is unknown."""
    grad_x = h.value * given.inverse_root
    magnitude = np.abs(high(grad_x))
    stored = h.size - h.magnitude  # ½|g·w| where the weight is 1 + w
    cond = magnitude * (2.0 + given.p) + np.abs(high(given.inverse_root)) * 2.0 * stored
    unknown = h.unknown
    if given.unknown is not None:
        unknown = np.where(given.unknown, np.inf, 0.0 if unknown is None else unknown)
    return grad_x, cond, magnitude * (1.0 + 2.0 * given.p + given.s), unknown
