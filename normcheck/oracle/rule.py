"""How r follows from a set: where eps is added, what the variance is divided by, whether the mean is taken away.

With v the variance (of x about its mean or, not centered, about 0), σ = √v, and c = n/(n-1) where v is the unbiased
one, else 1, the factor of x̂ and its derivatives are

    placement    r                 r(v + δ)/r(v) = 1 - aδ + bδ² …                    κ = 2ca/r²
    inside       1/√(v + eps)      a = ½/(v + eps)   b = ⅜/(v + eps)²                c
    outside      1/(σ + eps)       a = r/(2σ)        b = r/(8σ³) + r²/(4σ²)          c/(rσ)
    max          1/√max(v, eps)    as without eps where v > eps, else 0              c or 0
    none         1/√v              as inside, with eps 0                             c

κ is what the backward pass multiplies x̂·M(h·x̂) by. Inside the root an eps of 0 is no eps at all.

What cannot be decided: where roundoffs may take away all variance, x̂ itself without eps, and grad_x with eps outside,
whose root has no derivative there; grad_x where they may take the variance from one side of eps to the other, with max.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.conventions import Convention
from normcheck.conventions.catalogue import EpsPlacement, Variance
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.reals import Array, Real, high, where

LEAST_EPS = 2.0**-900  # below any variance that is not 0, and its inverse root is in range
LEAST_OF_EPS = 2.0**-500  # what is less than this part of an eps outside the root may underflow
Mask = NDArray[np.bool_]
Exponent = NDArray[np.int_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How r follows from a set; arrays of its arguments have the shape (sets, 1).

    Sets may be divided by 2**``exponent``: their variances are then, and their roots are those of the scaled x.
    """

    eps: float
    centered: bool = True
    unbiased: bool = False
    placement: EpsPlacement = EpsPlacement.INSIDE_SQRT

    @classmethod
    def of(cls, eps: float, convention: Convention) -> Rule:
        """The rule of a resolved ``convention``."""
        return cls(
            eps=eps,
            centered=convention.centered is not False,
            unbiased=convention.variance is Variance.UNBIASED,
            placement=convention.eps_placement if eps else EpsPlacement.NONE,
        )

    @property
    def decides_everything(self) -> bool:
        """True if there is no input for which an output cannot be decided."""
        return self.placement is EpsPlacement.INSIDE_SQRT and self.eps > 0

    @property
    def least(self) -> float:
        """A magnitude of x below which all that counts is eps."""
        if self.placement is EpsPlacement.NONE:
            return 0.0
        return self.eps * LEAST_OF_EPS if self.placement is EpsPlacement.OUTSIDE_SQRT else math.sqrt(self.eps)

    def corrected(self, squares: Real, variance: Real, n: int) -> Real:
        """The variance that is used, from the sum of squares and the biased one; NaN for one unbiased element."""
        return squares / float(n - 1) if self.unbiased else variance

    def root(self, variance: Real, exponent: Exponent) -> Real:
        """The r of ``variance``, of the precision that it has."""
        eps = self._scaled(exponent)
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return 1.0 / (variance**0.5 + eps)
        if self.placement is EpsPlacement.MAX:
            return 1.0 / where(high(variance) > eps, variance, eps + 0.0 * high(variance)) ** 0.5
        return 1.0 / (variance + eps) ** 0.5

    def root_of_nothing(self, exponent: Exponent) -> Array:
        """The r of a variance of 0."""
        eps = self._scaled(exponent)
        return 1.0 / (eps if self.placement is EpsPlacement.OUTSIDE_SQRT else np.sqrt(eps))

    def kappa(self, variance: Real, root: Real, n: int, exponent: Exponent) -> Real | None:
        """The κ of sets of ``n`` elements; None where it is 1. It is 0 where the root has no derivative."""
        correction: Real | None = None
        if self.unbiased:
            whole = np.full((1, 1), float(n))
            lifted = DoubleDouble(whole) if isinstance(variance, DoubleDouble) else whole
            correction = lifted / float(n - 1)
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            share = root * variance**0.5
            kappa = (1.0 if correction is None else correction) / share
            return where(high(share) != 0, kappa, np.zeros_like(high(share)))
        if self.placement is EpsPlacement.MAX:
            ones = np.ones_like(high(variance))
            one: Real = ones if correction is None else correction * ones
            return where(~(high(variance) <= self._scaled(exponent)), one, 0.0 * ones)
        return correction

    def steepest(self, kappa: Real | None, undecided: Mask | None, n: int) -> Array | None:
        """The κ of the condition numbers: the larger one where v may be on either side of eps."""
        if kappa is None or undecided is None or self.placement is not EpsPlacement.MAX:
            return None if kappa is None else high(kappa)
        return np.where(undecided, n / (n - 1) if self.unbiased and n > 1 else 1.0, high(kappa))

    def share(self, variance: Real, root: Real) -> Array | None:
        """How much smaller a movement of r is than that of κ: rσ, or 1 without variance; None where they are equal."""
        if self.placement is not EpsPlacement.OUTSIDE_SQRT:
            return None
        share = high(root) * np.sqrt(high(variance))
        return np.where(share == 0, 1.0, share)

    def undecided_x(self, lost: Mask) -> Mask | None:
        """Where x̂ cannot be decided; ``lost``: where roundoffs may take away all variance."""
        return lost if self.placement is EpsPlacement.NONE and lost.any() else None

    def undecided_gradient(self, lost: Mask, variance: Real, noise: Array, exponent: Exponent) -> Mask | None:
        """Where grad_x cannot be decided; ``noise`` is by how much roundoffs may move the variance."""
        found: Mask | None = None
        if self.placement in {EpsPlacement.NONE, EpsPlacement.OUTSIDE_SQRT}:
            found = lost
        elif self.placement is EpsPlacement.MAX:
            found = np.abs(high(variance) - self._scaled(exponent)) <= noise
        return found if found is not None and found.any() else None

    def moved(
        self, variance: Real, root: Real, cond: Array, cond2: Array, steps: float
    ) -> tuple[Array, Array]:
        """By how much r moves, relative to it, with a given variance of these conditions: first and second order.

        ``steps`` is a number of roundoffs within which the variance may be on either side of eps.
        """
        v = high(variance)
        share: Array | float = 1.0
        total = v
        if self.placement is EpsPlacement.INSIDE_SQRT:
            total = high(variance + self.eps)
        elif self.placement is EpsPlacement.OUTSIDE_SQRT:
            share = high(root) * np.sqrt(v)
        elif self.placement is EpsPlacement.MAX:
            share = np.where(v + steps * cond < self.eps, 0.0, 1.0)
        gain, gain2 = cond / total, cond2 / total
        first, second = 0.5 * gain * share, 0.5 * gain2 * share + self._curvature(share) * np.square(gain)
        if self.decides_everything:
            return first, second
        still = cond == 0
        return np.where(still, 0.0, first), np.where(still, 0.0, second)

    def _curvature(self, share: Array | float) -> Array | float:
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return 0.125 * share + 0.25 * np.square(share)
        return 0.375 * share

    def _scaled(self, exponent: Exponent) -> Array:
        """Eps for x divided by 2**``exponent``; not 0 where it would underflow."""
        if self.placement is EpsPlacement.NONE:
            return np.zeros(np.shape(exponent))
        if self.placement is EpsPlacement.OUTSIDE_SQRT:
            return np.maximum(np.ldexp(self.eps, -exponent), LEAST_OF_EPS)
        return np.maximum(np.ldexp(self.eps, -2 * exponent), LEAST_EPS)
