"""Elements of statistic sets on their way to x̂: pieces of x, x̂ with its conditions, statistics that are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.reals import Array, Real

T = TypeVar("T")


class Piece:
    """Some elements of some statistic sets: ``x`` (sets, m) in float64, divided by 2**``exponent`` (sets, 1).

    ``tail`` is what float64 leaves out of them, ``size`` their magnitude where it is not |x|: that of the parts of a
    sum. With ``keep`` what has been computed of them is held for the next pass.
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
        """The magnitude of what goes in."""
        return np.abs(self.x) if self._size is None else self._size

    def deviation(self, centre: Real | None, correction: Real | None) -> Real:
        """X minus the mean, which is ``centre`` + ``correction``; x itself where there is none."""
        if centre is None or correction is None:
            return self.real
        if self._deviation is not None:
            return self._deviation
        deviation = (self.real - centre) - correction
        if self._keep:
            self._deviation = deviation
        return deviation


class Over(Protocol):
    """Goes through the pieces of some statistic sets, in their order."""

    def __call__(self, function: Callable[[Piece], T], /) -> Iterable[T]:
        """What ``function`` makes of each piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardized:
    """x̂ of some elements of statistic sets, its magnitude and its condition numbers: arrays of shape (sets, m).

    ``unknown`` (sets, 1) or (sets, m), infinite where x̂ has no value that can be decided and else 0, belongs to the
    condition of whatever is made of x̂; None: it has one everywhere.
    """

    x_hat: Real
    magnitude: Array
    e: Array
    e2: Array
    unknown: Array | None = None
