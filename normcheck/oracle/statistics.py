"""Statistics of statistic sets in twice the working precision, x̂, and how well conditioned it is.

    mean = sum(x)/n    d = x - mean    var = sum(d²)/n    r = 1/sqrt(var + eps)    x̂ = d·r

or as :mod:`normcheck.oracle.rule` says under another convention: there κ, c and P are defined. The condition numbers
are componentwise (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., chapter 1), M being the mean
over the statistic set, |P||x| = |x| + M|x| or |x|:

    e  = r·(|P||x| + κ·|x̂|·M|x̂·x|)                        of x̂, first order
    e₂ = e·p + 2·κ·|x̂|·s,   p = κ·r·M|x̂·x|,   s = r²·M(x²)  second order

The second order matters where the inputs' roundoff is not small against the standard deviation: there the
noise multiplies itself.

Both orders expand around the inputs as they are. Where the standard deviation σ is within reach of roundoffs,

    σ <= (16 + √n)·u·√M(x²)

that says too little: inputs that are roundoffs away have no variance at all. The r of the condition numbers is
then theirs, 1/√eps.

A set may be larger than what fits the cache: sums over it are sums over its pieces.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.conventions.catalogue import EpsPlacement
from normcheck.oracle.elements import Over, Piece, Standardized
from normcheck.oracle.reals import Array, Real, high, sum_of, total, total_as_laid_out, where
from normcheck.oracle.rule import Rule
from normcheck.oracle.truth import probable_roundoffs


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The statistics of statistic sets, arrays of shape (sets, 1): what brings their elements to x̂.

    They are those of x divided by 2**``exponent``; x̂ and its condition numbers do not depend on the scale. The mean
    is ``centre`` + ``correction``, both None where it is not taken away; the ``variance`` is the biased one, the mean
    of squares. ``kappa`` None is 1. ``reach`` is the r of the condition numbers, ``magnitude`` M|x| or 0,
    ``correlation`` κ·M|x̂·x|, ``s`` κ·r²·M(x²); ``q`` and ``s_q`` are p and s of κ·r. ``tiny`` is by how much an input
    may move at least. ``undecided`` marks the sets of which grad_x has no condition, ``unknown`` those
    of which x̂ has none; None: none.
    """

    exponent: NDArray[np.int_]
    centre: Real | None
    correction: Real | None
    variance: Real
    inverse_root: Real
    kappa: Real | None
    reach: Array
    tiny: Array
    magnitude: Array
    correlation: Array
    p: Array
    q: Array
    s: Array
    s_q: Array
    undecided: NDArray[np.bool_] | None
    unknown: NDArray[np.bool_] | None

    def offsets(self) -> list[float]:
        """The largest of |mean|/√(variance + eps); empty where there is none, or no mean is taken away."""
        if self.centre is None:
            return []
        ratio = np.abs(high(self.centre) * high(self.inverse_root))
        found = float(np.max(ratio, initial=-1.0, where=np.isfinite(ratio)))
        return [found] if found >= 0 else []

    def standardize(self, piece: Piece) -> Standardized:
        """x̂ of elements of the sets; 0 where it is unknown."""
        x_hat = piece.deviation(self.centre, self.correction) * self.inverse_root
        size = np.abs(high(x_hat))
        e = self.reach * ((piece.size + self.tiny) + self.magnitude + size * self.correlation)
        unknown = None if self.unknown is None else np.where(self.unknown, np.inf, 0.0)
        return Standardized(
            x_hat=x_hat, magnitude=size, e=e, e2=e * self.p + 2.0 * size * self.s, unknown=unknown
        )


def own_statistics(
    over: Over, n: int, rule: Rule, *, exponent: NDArray[np.int_], tiny: float, unit: float
) -> Own:
    """The statistics of sets of ``n`` elements, whose pieces ``over`` goes through, divided by 2**``exponent``.

    An input below ``tiny`` may move by as much as one of that size does: what underflows is lost. ``unit``
    is the unit roundoff of the inputs.
    """
    scaled_tiny = np.ldexp(tiny, -exponent)
    centre, correction = _mean(over, n) if rule.centered else (None, None)

    def sums(piece: Piece) -> tuple[Real, Array, Array]:
        deviation, size = piece.deviation(centre, correction), piece.size
        magnitude = size + scaled_tiny
        return (
            total(deviation * deviation),
            high(total(magnitude)),
            high(total(np.square(magnitude))),
        )

    squares, magnitudes, magnitudes2 = map(sum_of, zip(*over(sums), strict=True))
    variance = squares / float(n)
    v = rule.corrected(variance, n)
    inverse_root = rule.inverse_root(v, exponent)
    lost = probable_roundoffs(n) * unit * np.sqrt(high(magnitudes2) / n)
    undecided = rule.undecided(high(v), lost, exponent)
    undecided = undecided if undecided is not None and undecided.any() else None
    unknown = undecided if rule.without_eps else None
    if unknown is not None:
        inverse_root = where(~unknown, inverse_root, np.zeros(()))
    infinite = np.isinf(high(magnitudes2)) | np.isinf(high(v))
    if not rule.centered and infinite.any():  # one x is infinite, or n - 1 is 0: the others become 0
        inverse_root = where(~infinite, inverse_root, np.zeros(()))
    r = high(inverse_root)
    if rule.centered and unknown is None:
        r = np.where(np.sqrt(high(variance)) <= lost, rule.of_constant(exponent), r)

    def products(piece: Piece) -> tuple[Array, Array]:
        x_hat = high(piece.deviation(centre, correction) * inverse_root)
        correlated = np.abs(x_hat) * (piece.size + scaled_tiny)
        return high(total(correlated)), high(total(np.square(r * piece.size)))

    correlations, squares_of_x = map(sum_of, zip(*over(products), strict=True))
    correlation, s = high(correlations) / n, high(squares_of_x) / n
    kappa = rule.kappa(v, inverse_root, n, exponent)
    if kappa is not None:
        # of a constant set κ·M|x̂·x| is c·M|d·x|/σ, which is at most c·√M(x²), and κ·|x̂|·s nothing
        constant = rule.correction(n) * np.sqrt(high(magnitudes2) / n)
        correlation = _known(high(kappa) * correlation, constant)
        s = _known(high(kappa) * s, np.zeros_like(s))
    if not rule.centered:
        correlation, s = np.where(infinite, 0.0, correlation), np.where(infinite, 0.0, s)
    p = r * correlation
    q, s_q = (p, s) if rule.placement is not EpsPlacement.OUTSIDE_SQRT else _outside(p, s, r, high(v))
    return Own(
        exponent=exponent,
        centre=centre,
        correction=correction,
        variance=variance,
        inverse_root=inverse_root,
        kappa=kappa,
        reach=r,
        tiny=scaled_tiny,
        magnitude=high(magnitudes) / n if rule.centered else np.zeros_like(r),
        correlation=correlation,
        p=p,
        q=q,
        s=s,
        s_q=s_q,
        undecided=undecided,
        unknown=unknown,
    )


def _outside(p: Array, s: Array, r: Array, v: Array) -> tuple[Array, Array]:
    """P and s of κ·r = c/√v."""
    share = r * np.sqrt(v)
    return p / share, s / share


def _known(a: Array, other: Array) -> Array:
    """``a`` where it is finite."""
    return np.where(np.isfinite(a), a, other)


def plain_statistics(
    over: Over, n: int, rule: Rule, *, exponent: NDArray[np.int_]
) -> tuple[Real | None, Real | None, Real, Real | None]:
    """Centre, correction, inverse root and κ, as :func:`own_statistics` has them but for the order of the sums."""
    centre, correction = _mean(over, n, total_as_laid_out) if rule.centered else (None, None)

    def squares(piece: Piece) -> Real:
        deviation = piece.deviation(centre, correction)
        return total_as_laid_out(deviation * deviation)

    v = rule.corrected(sum_of(over(squares)) / float(n), n)
    root = rule.inverse_root(v, exponent)
    return centre, correction, root, rule.kappa(v, root, n, exponent)


def _mean(over: Over, n: int, total: Callable[[Real], Real] = total) -> tuple[Real, Real]:
    """The mean of each set, and its correction: it is refined once."""
    centre = sum_of(over(lambda piece: total(piece.real))) / float(n)
    return centre, sum_of(over(lambda piece: total(piece.real - centre))) / float(n)


def exponents(maxima: Iterable[Array], rule: Rule) -> NDArray[np.int_]:
    """The powers of two that bring sets, and what weighs as much as eps, to at most 1: squares stay in range.

    ``maxima`` are the largest magnitudes in the pieces of each set, (sets, 1).
    """
    largest = np.maximum(functools.reduce(np.maximum, maxima), rule.least_deviation)
    exponent: NDArray[np.int_] = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    if rule.placement is EpsPlacement.OUTSIDE_SQRT and rule.eps:
        # far below eps: nearer to it, as far as squares keep all of their digits, for r is 1/eps
        exponent = exponent + np.clip(np.frexp(rule.eps)[1] - exponent, 0, 400)
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
