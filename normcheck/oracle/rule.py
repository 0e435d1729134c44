"""How the elements of a statistic set become x̂, by the convention of a case, and how sensitive that is.

With P x = x - mean where the method is centered, else x; c = n/(n-1) for the unbiased variance, else 1;
v = c·M((P x)²):

    x̂ = r·P x      r = 1/√(v + eps), 1/(√v + eps), 1/√max(v, eps) or 1/√v

Where v moves by δ, r moves by r·(-a·δ + b·δ²):

    inside the root   a = ½/(v + eps)     b = ⅜/(v + eps)²
    outside           a = ½·r/√v          b = ⅛·r/v^(3/2) + ¼·r²/v
    max               as without eps where v > eps, and 0 below
    none              as inside, with eps = 0

κ = 2·c·a/r² is c inside and without eps, c/(r·√v) outside, and c or 0 for max. Second order: |δr/r| <= 2·κ·s in units
of the roundoff squared, s = r²·M(x²), whatever the placement: inside ½·c·s + 3/2·c²·(r·M|x̂·x|)² <= 2·c·s, for
M(x̂²) <= 1/c; outside c·s·(1 + 1/(r·√v)) <= 2·κ·s, for r·√v <= 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.conventions.catalogue import Convention, EpsPlacement, Variance
from normcheck.oracle.reals import Array, Real, high, like, where

LEAST_EPS = 2.0**-900  # below any variance that is not 0, and its inverse root is in range


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is taken away from x, what the sum of squares is divided by, and where ``eps`` is added."""

    eps: float
    centered: bool = True
    variance: Variance = Variance.BIASED
    placement: EpsPlacement = EpsPlacement.INSIDE_SQRT

    @classmethod
    def of(cls, eps: float, convention: Convention) -> Rule:
        """The rule of a convention that states whether the mean is taken away."""
        return cls(
            eps=eps,
            centered=bool(convention.centered),
            variance=convention.variance,
            placement=convention.eps_placement,
        )

    @property
    def least_deviation(self) -> float:
        """The standard deviation that weighs as much as an eps beside the variance; 0 where there is none."""
        inside = self.placement in {EpsPlacement.INSIDE_SQRT, EpsPlacement.MAX}
        return math.sqrt(self.eps) if inside else 0.0

    @property
    def plain(self) -> bool:
        """True for eps inside the root and the biased variance, for which κ is 1."""
        return self.placement is EpsPlacement.INSIDE_SQRT and self.variance is Variance.BIASED

    def correction(self, n: int) -> float:
        """C, by which the biased variance is multiplied; infinite for one element and the unbiased variance."""
        if self.variance is Variance.BIASED:
            return 1.0
        return n / (n - 1) if n > 1 else float("inf")

    def corrected(self, biased: Real, n: int) -> Real:
        """V, from the mean of squares."""
        if self.variance is Variance.BIASED:
            return biased
        if n == 1:  # infinite, which error-free transformations make NaN
            return like(biased, high(biased) * np.inf)
        return biased * float(n) / float(n - 1)

    def inverse_root(self, v: Real, exponent: NDArray[np.int_]) -> Real:
        """R of sets whose elements are divided by 2**``exponent``."""
        eps = self.scaled_eps(exponent)
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return 1.0 / (v**0.5 + self.scaled_outside(exponent))
        if self.placement is EpsPlacement.MAX:
            return 1.0 / where(~(high(v) <= eps), v, np.broadcast_to(eps, high(v).shape)) ** 0.5
        return 1.0 / (v + eps) ** 0.5

    def kappa(self, v: Real, r: Real, n: int, exponent: NDArray[np.int_]) -> Real | None:
        """κ, of shape (sets, 1); None where it is 1."""
        if self.plain:
            return None
        correction = self.corrected(like(v, np.ones_like(high(v))), n)
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return correction / (r * v**0.5)
        if self.placement is EpsPlacement.MAX:
            return where(~(high(v) <= self.scaled_eps(exponent)), correction, np.zeros_like(high(v)))
        return correction

    def of_constant(self, exponent: NDArray[np.int_]) -> Array:
        """R where the variance is 0; infinite without eps."""
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return 1.0 / self.scaled_outside(exponent)
        return 1.0 / np.sqrt(self.scaled_eps(exponent))

    def undecided(self, v: Array, lost: Array, exponent: NDArray[np.int_]) -> NDArray[np.bool_] | None:
        """The sets of which grad_x has no condition: r has no derivative within roundoffs ``lost`` of σ."""
        root, finite = np.sqrt(v), np.isfinite(v)
        if self.placement is EpsPlacement.MAX and self.eps:
            near = np.abs(v - self.scaled_eps(exponent)) <= lost * (2.0 * root + lost)
            return np.asarray(near & finite)
        if self.placement is EpsPlacement.OUTSIDE_SQRT or self.without_eps:
            return np.asarray((root <= lost) & finite)
        return None

    @property
    def without_eps(self) -> bool:
        """True if nothing is added to the variance, so that x̂ of a constant set has no value."""
        return not self.eps or self.placement is EpsPlacement.NONE

    def unknown_given(self, v: Array, lost: Array) -> NDArray[np.bool_]:
        """The sets whose x̂ has no condition, by a variance that is given, within ``lost`` of what it might be.

        One of 0 that is given stays 0, and beside an eps that has an inverse root.
        """
        if self.without_eps:
            return np.asarray(v <= lost)
        outside = self.placement is EpsPlacement.OUTSIDE_SQRT
        return np.asarray((v <= lost) & (lost > 0)) if outside else np.zeros(v.shape, bool)

    def slopes(self, v: Array, r: Array, lost: Array, exponent: NDArray[np.int_]) -> tuple[Array, Array]:
        """A and b: how r moves at most, relative to itself, with v and what is within ``lost`` of it."""
        eps = self.scaled_eps(exponent)
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            root = np.sqrt(v)
            still = v == 0  # a variance of 0 that is given stays 0
            a, b = 0.5 * r / root, 0.125 * r / (v * root) + 0.25 * r * r / v
            return np.where(still, 0.0, a), np.where(still, 0.0, b)
        if self.placement is EpsPlacement.MAX:
            moves, most = v + lost > eps, np.maximum(v, eps)
            return np.where(moves, 0.5 / most, 0.0), np.where(moves, 0.375 / np.square(most), 0.0)
        return 0.5 / (v + eps), 0.375 / np.square(v + eps)

    def scaled_eps(self, exponent: NDArray[np.int_]) -> Array:
        """Eps beside the variance of sets that are divided by 2**``exponent``."""
        eps = 0.0 if self.placement is EpsPlacement.NONE else self.eps
        scaled: Array = np.maximum(np.ldexp(eps, -2 * exponent), LEAST_EPS if eps else 0.0)
        return scaled

    def scaled_outside(self, exponent: NDArray[np.int_]) -> Array:
        """Eps beside the root of the variance."""
        scaled: Array = np.maximum(np.ldexp(self.eps, -exponent), np.sqrt(LEAST_EPS) if self.eps else 0.0)
        return scaled
