"""The moments of statistic sets, which running statistics take of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.oracle.elements import Over, Piece
from normcheck.oracle.reals import Array, Real, high, stacked, sum_of, total, where
from normcheck.oracle.statistics import Own


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What running statistics take of the sets of a batch of ``n`` elements each: arrays of shape (sets, 1).

    They are those of x divided by 2**``exponent``: the mean, the biased variance, M|x|, M|d·x| and M(x²).
    """

    n: int
    exponent: NDArray[np.int_]
    mean: Real
    variance: Real
    magnitude: Array
    deviation: Array
    square: Array

    @classmethod
    def together(cls, parts: Sequence[Moments]) -> Moments:
        """The moments of the sets of all parts, one after another."""
        return cls(
            n=parts[0].n,
            exponent=np.concatenate([each.exponent for each in parts]),
            mean=stacked([each.mean for each in parts]),
            variance=stacked([each.variance for each in parts]),
            magnitude=np.concatenate([each.magnitude for each in parts]),
            deviation=np.concatenate([each.deviation for each in parts]),
            square=np.concatenate([each.square for each in parts]),
        )


def moments(own: Own, over: Over, n: int) -> Moments:
    """The moments of the sets that ``own`` are the statistics of."""
    assert own.centre is not None  # noqa: S101 (what keeps a running mean takes it away)
    assert own.correction is not None  # noqa: S101

    def sums(piece: Piece) -> tuple[Real, ...]:
        size = piece.size
        deviation = np.abs(high(piece.deviation(own.centre, own.correction)))
        return total(size), total(deviation * size), total(np.square(size)), total(piece.x)

    magnitude, deviation, square, plain = map(sum_of, zip(*over(sums), strict=True))
    mean = own.centre + own.correction
    finite = np.isfinite(high(plain))
    return Moments(
        n=n,
        exponent=own.exponent,
        # infinite where x is: the error-free transformations make that NaN
        mean=mean if finite.all() else where(finite, mean, high(plain) / n),
        variance=own.variance,
        magnitude=high(magnitude) / n,
        deviation=high(deviation) / n,
        square=high(square) / n,
    )
