"""Running statistics in the place of the sets' own, as in eval mode.

    e  = r·(|x| + cond(running_mean) + |x - running_mean|·p)       p = ½·cond(running_var)/(running_var + eps)
    e₂ = r·(cond₂(running_mean) + (|x| + cond(running_mean))·p + |x - running_mean|·s)
    s  = ½·cond₂(running_var)/(running_var + eps) + 3/2·p²

where the condition numbers of statistics that are given are their magnitudes. Under other conventions of eps p and s
follow from the derivatives of :class:`normcheck.oracle.rule.Rule`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.conventions.catalogue import EpsPlacement
from normcheck.oracle.elements import Piece, Standardized
from normcheck.oracle.reals import Array, Real, high, overflown, where
from normcheck.oracle.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running mean or variance with its condition numbers: arrays of shape (C, 1).

    ``excused`` is what updating it in the half precision in which it is held may cost. Where ``unsettled`` x is
    infinite: a plain sum is too, Welford's recurrence is NaN.
    """

    value: Real
    cond: Array
    cond2: Array
    excused: Array | None = None
    unsettled: NDArray[np.bool_] | None = None

    def for_sets(self, start: int, stop: int) -> Running:
        """The statistics of the sets from ``start`` to ``stop``, which go through the channels again and again."""
        at = np.arange(start, stop) % len(self.cond)
        return Running(value=self.value[at], cond=self.cond[at], cond2=self.cond2[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Running statistics in the place of the sets' own, as in eval mode; their uncertainty is passed on.

    ``unknown`` marks the sets of which x̂ has no condition; None: none.
    """

    mean: Running
    inverse_root: Real
    tiny: float
    p: Array
    s: Array
    unknown: NDArray[np.bool_] | None

    @classmethod
    def of(cls, mean: Running, var: Running, rule: Rule, *, tiny: float, roundoffs: float) -> Given:
        """The statistics, one for each set; the variance may be off by so many ``roundoffs``."""
        held = high(var.value)
        nothing = np.zeros(held.shape, dtype=np.int_)
        lost = roundoffs * var.cond + roundoffs**2 * var.cond2
        unknown = rule.unknown_given(held, lost)
        # of an infinite variance, which half precision holds sooner, the error-free transformations make NaN
        root = overflown(rule.inverse_root(var.value, nothing), high(rule.inverse_root(held, nothing)))
        if rule.placement is EpsPlacement.INSIDE_SQRT:
            total_var = high(overflown(var.value + rule.eps, held + rule.eps))
            gain, gain2 = var.cond / total_var, var.cond2 / total_var
            first, second = 0.5 * gain, 0.5 * gain2 + 0.375 * np.square(gain)
        else:
            a, b = rule.slopes(held, high(root), lost, nothing)
            first, second = a * var.cond, a * var.cond2 + b * np.square(var.cond)
        if unknown.any():
            zeros = np.zeros(unknown.shape)
            root = where(~unknown, root, zeros)
            first, second = np.where(unknown, zeros, first), np.where(unknown, zeros, second)
        return cls(
            mean=mean,
            inverse_root=root,
            tiny=tiny,
            p=first,
            s=second,
            unknown=unknown if unknown.any() else None,
        )

    def standardize(self, piece: Piece) -> Standardized:
        """x̂ of elements of the sets; 0 where it is unknown."""
        deviation = overflown(piece.real - self.mean.value, high(piece.real) - high(self.mean.value))
        r, distance = high(self.inverse_root), np.abs(high(deviation))
        e = piece.size + self.tiny + self.mean.cond  # of the deviation
        x_hat = overflown(deviation * self.inverse_root, high(deviation) * r)
        return Standardized(
            x_hat=x_hat,
            magnitude=np.abs(high(x_hat)),
            e=r * (e + distance * self.p),
            e2=r * (self.mean.cond2 + e * self.p + distance * self.s),
            unknown=None if self.unknown is None else np.where(self.unknown, np.inf, 0.0),
        )
