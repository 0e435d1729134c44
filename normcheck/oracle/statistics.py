"""Statistics of statistic sets in twice the working precision, x̂, and how well conditioned it is.

    mean = sum(x)/n    d = x - mean    var = sum(d²)/n    r = 1/sqrt(var + eps)    x̂ = d·r

The condition numbers are componentwise (N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
2nd ed., chapter 1), M being the mean over the statistic set:

    e  = r·(|x| + M|x| + |x̂|·M|x̂·x|)                      of x̂, first order
    e₂ = e·p + 2·|x̂|·s,   p = r·M|x̂·x|,   s = r²·M(x²)     second order

The second order matters where the inputs' roundoff is not small against the standard deviation: there the
noise multiplies itself. Where the mean is not taken away, mean and M|x| are 0. The r and κ of other conventions are
those of :mod:`normcheck.oracle.rule`, and then

    e  = r·(|x| + M|x|) + |x̂|·p       p = κ·r·M|x̂·x|       s = κ·r²·M(x²)

as r moves by at most 2s, to second order and relative to it: with eps inside by ½cs' + 3/2·c²(r·M|x̂·x|)² <= 2cs', with
s' = r²·M(x²) and M(x̂²) <= 1/c; with eps outside by c·s'·(1/(rσ) + 1) <= 2s.

Both orders expand around the inputs as they are. Where the standard deviation σ is within reach of roundoffs,

    σ <= (16 + √n)·u·√M(x²)

that says too little: inputs that are roundoffs away have no variance at all. The r of the condition numbers is
then theirs, 1/√eps. A mean that is not taken away leaves no such sets.

With a residual |x| is the sum of the magnitudes of both addends. Not centered, a set with an infinity is exactly 0
elsewhere, and nothing moves there.

A set may be larger than what fits the cache: sums over it are sums over its pieces.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.reals import Array, Real, high, sum_of, total, where
from normcheck.oracle.rule import Mask, Rule
from normcheck.oracle.truth import probable_roundoffs


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean of each set: ``centre`` + ``correction``, as it is refined once."""

    centre: Real
    correction: Real

    @property
    def value(self) -> Real:
        """The mean as one number."""
        return self.centre + self.correction


class Piece:
    """Some elements of some statistic sets: ``x`` (sets, m) in float64, divided by 2**``exponent`` (sets, 1).

    With a residual x is a sum: ``tail`` is what the leading float64 leaves out of it, and ``size`` is how far the
    addends are from 0 together, which is |x| where there is none. With ``keep`` what has been computed of the elements
    is held for the next pass.
    """

    def __init__(
        self, x: Array, *, precise: bool, keep: bool, tail: Array | None = None, size: Array | None = None
    ) -> None:
        self.x, self.precise = x, precise
        self._tail, self._size, self._keep = tail, size, keep
        self._deviation: Real | None = None

    @property
    def real(self) -> Real:
        """X in the precision of the oracle."""
        return DoubleDouble(self.x, self._tail) if self.precise else self.x

    @property
    def size(self) -> Array:
        """How far each element may move, in units of a relative movement of the inputs."""
        return np.abs(self.x) if self._size is None else self._size

    def deviation(self, mean: Mean | None) -> Real:
        """X minus ``mean``; None: what is not centered."""
        if mean is None:
            return self.real
        if self._deviation is not None:
            return self._deviation
        deviation = (self.real - mean.centre) - mean.correction
        if self._keep:
            self._deviation = deviation
        return deviation


T = TypeVar("T")


class Over(Protocol):
    """Goes through the pieces of some statistic sets, in their order."""

    def __call__(self, function: Callable[[Piece], T], /) -> Iterable[T]:
        """What ``function`` makes of each piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardized:
    """x̂ of some elements of statistic sets, its magnitude and its condition numbers: arrays of shape (sets, m).

    ``unknown`` (sets, 1) is infinite where x̂ cannot be decided, else 0; None where all can be.
    """

    x_hat: Real
    magnitude: Array
    e: Array
    e2: Array
    unknown: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The statistics of statistic sets, arrays of shape (sets, 1): what brings their elements to x̂.

    They are those of x divided by 2**``exponent``; x̂ and its condition numbers do not depend on the scale. ``mean`` is
    None where it is not taken away, ``variance`` is biased, κ (``kappa``) None where it is 1. ``reach`` is the r of the
    condition numbers, ``magnitude`` M|x|, ``correlation`` κ·M|x̂·x|. ``more_p`` and ``more_s`` are by how much a
    movement of κ exceeds p and s. ``tiny`` is by how much an input may move at least. ``unknown`` and
    ``unknown_gradient`` are infinite where x̂ and grad_x cannot be decided, else 0; None where all can be.
    """

    exponent: NDArray[np.int_]
    mean: Mean | None
    variance: Real
    inverse_root: Real
    kappa: Real | None
    steepest: Array | None
    reach: Array
    tiny: Array
    magnitude: Array | None
    correlation: Array
    p: Array
    s: Array
    more_p: Array | None
    more_s: Array | None
    beyond: Mask | None
    unknown: Array | None
    unknown_gradient: Array | None

    def standardize(self, piece: Piece) -> Standardized:
        """x̂ of elements of the sets."""
        x_hat = piece.deviation(self.mean) * self.inverse_root
        size = np.abs(high(x_hat))
        moved = piece.size + self.tiny
        if self.magnitude is not None:
            moved = moved + self.magnitude
        e = self.reach * (moved + size * self.correlation)
        if self.beyond is not None:
            e = np.where(self.beyond, 0.0, e)
        return Standardized(
            x_hat=x_hat, magnitude=size, e=e, e2=e * self.p + 2.0 * size * self.s, unknown=self.unknown
        )


def own_statistics(
    over: Over, n: int, rule: Rule, *, exponent: NDArray[np.int_], tiny: float, unit: float
) -> Own:
    """The statistics of sets of ``n`` elements, whose pieces ``over`` goes through, divided by 2**``exponent``.

    An input below ``tiny`` may move by as much as one of that size does: what underflows is lost. ``unit``
    is the unit roundoff of the inputs.
    """
    scaled_tiny = np.ldexp(tiny, -exponent)
    mean = _mean(over, n) if rule.centered else None

    def sums(piece: Piece) -> tuple[Real, Array, Array]:
        deviation, magnitude = piece.deviation(mean), piece.size + scaled_tiny
        return (
            total(deviation * deviation),
            high(total(magnitude)),
            high(total(np.square(magnitude))),
        )

    squares, magnitudes, magnitudes2 = map(sum_of, zip(*over(sums), strict=True))
    variance = squares / float(n)
    used = rule.corrected(squares, variance, n)
    inverse_root = rule.root(used, exponent)
    steps = probable_roundoffs(n) * unit
    near = np.sqrt(high(variance)) <= steps * np.sqrt(high(magnitudes2) / n)
    unknown = rule.undecided_x(near)
    if unknown is not None:
        inverse_root = where(~unknown, inverse_root, np.zeros_like(high(variance)))
    r = high(inverse_root)
    if rule.centered and unknown is None:
        r = np.where(near, rule.root_of_nothing(exponent), r)

    def products(piece: Piece) -> tuple[Array, Array]:
        x_hat = high(piece.deviation(mean) * inverse_root)
        correlated = np.abs(x_hat) * (piece.size + scaled_tiny)
        return high(total(correlated)), high(total(np.square(r * piece.size)))

    correlations, squares_of_x = map(sum_of, zip(*over(products), strict=True))
    correlation, s = high(correlations) / n, high(squares_of_x) / n
    # an uncentered set with an infinity is exactly 0 elsewhere: there no input moves anything
    beyond = None if rule.centered or not np.isinf(high(magnitudes2)).any() else np.isinf(high(magnitudes2))
    if beyond is not None:
        inverse_root = where(~beyond, inverse_root, np.zeros_like(s))
        r, correlation, s = (np.where(beyond, 0.0, a) for a in (r, correlation, s))
    unsure = None
    if not rule.decides_everything:
        noise = _noise(used, inverse_root, correlation, high(magnitudes2) / n, steps)
        unsure = rule.undecided_gradient(near, used, noise, exponent)
    kappa = rule.kappa(used, inverse_root, n, exponent)
    steepest = rule.steepest(kappa, unsure, n)
    if steepest is not None:
        correlation, s = correlation * steepest, s * steepest
    p, share = r * correlation, rule.share(used, inverse_root)
    return Own(
        exponent=exponent,
        mean=mean,
        variance=variance,
        inverse_root=inverse_root,
        kappa=kappa,
        steepest=steepest,
        reach=r,
        tiny=scaled_tiny,
        magnitude=high(magnitudes) / n if rule.centered else None,
        correlation=correlation,
        p=p,
        s=s,
        more_p=None if share is None else p / share - p,
        more_s=None if share is None else s / share - s,
        beyond=beyond,
        unknown=_infinite(unknown),
        unknown_gradient=_infinite(unsure),
    )


def _noise(variance: Real, root: Real, correlation: Array, square: Array, steps: float) -> Array:
    """By how much so many ``steps`` of roundoffs may move the variance; twice that, as n - 1 is half of n for n = 2."""
    return steps * (high(variance) + 4.0 * correlation / high(root)) + 2.0 * steps**2 * square


def _infinite(undecided: Mask | None) -> Array | None:
    return None if undecided is None else np.where(undecided, np.inf, 0.0)


def plain_statistics(
    over: Over, n: int, rule: Rule, *, exponent: NDArray[np.int_]
) -> tuple[Mean | None, Real, Real | None]:
    """Mean, inverse root and κ alone, as :func:`own_statistics` has them."""
    mean = _mean(over, n) if rule.centered else None

    def squares(piece: Piece) -> Real:
        deviation = piece.deviation(mean)
        return total(deviation * deviation)

    added = sum_of(over(squares))
    used = rule.corrected(added, added / float(n), n)
    root = rule.root(used, exponent)
    return mean, root, rule.kappa(used, root, n, exponent)


def _mean(over: Over, n: int) -> Mean:
    centre = sum_of(over(lambda piece: total(piece.real))) / float(n)
    return Mean(centre=centre, correction=sum_of(over(lambda piece: total(piece.real - centre))) / float(n))


def exponents(maxima: Iterable[Array], rule: Rule) -> NDArray[np.int_]:
    """The powers of two that bring sets, and what counts of eps, to at most 1: squares stay in range.

    ``maxima`` are the largest magnitudes in the pieces of each set, (sets, 1).
    """
    largest = np.maximum(functools.reduce(np.maximum, maxima), rule.least)
    exponent: NDArray[np.int_] = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    return exponent


def standardize(x: Array, rule: Rule, *, precise: bool, tiny: float, unit: float) -> tuple[Own, Standardized]:
    """The statistics and x̂ of whole statistic sets (sets, n); ``precise`` in double-double, for float64 inputs."""
    exponent = (
        exponents([np.abs(x).max(axis=1, keepdims=True)], rule)
        if precise
        else np.zeros((len(x), 1), dtype=np.int_)
    )
    piece = Piece(np.ldexp(x, -exponent) if precise else x, precise=precise, keep=True)
    own = own_statistics(
        lambda function: [function(piece)], x.shape[1], rule, exponent=exponent, tiny=tiny, unit=unit
    )
    return own, own.standardize(piece)
