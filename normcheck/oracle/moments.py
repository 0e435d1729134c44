"""What running statistics take of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.oracle.reals import Array, Real, high, sum_of, total, where
from normcheck.oracle.statistics import Over, Own, Piece


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


def moments(own: Own, over: Over, n: int) -> Moments:
    """The moments of the sets that ``own`` are the statistics of."""

    def sums(piece: Piece) -> tuple[Real, ...]:
        size = piece.size
        deviation = np.abs(high(piece.deviation(own.mean)))
        return total(size), total(deviation * size), total(np.square(size)), total(piece.x)

    magnitude, deviation, square, plain = map(sum_of, zip(*over(sums), strict=True))
    assert own.mean is not None  # noqa: S101 (a layer that has a running mean)
    mean = own.mean.value
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
