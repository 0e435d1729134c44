"""One output as the oracle has it, with its condition numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_NORMAL = 2.0**-1022


def probable_roundoffs(n: int) -> float:
    """By how many roundoffs a sum of ``n`` numbers and a handful of operations may be off: 16 + √n.

    The probabilistic bound of N. J. Higham and T. Mary, "A new approach to probabilistic rounding error
    analysis", 2019.
    """
    return 16 + math.sqrt(n)


def undecided(value: Array, cond: Array) -> NDArray[np.bool_]:
    """Where nothing can be said. What is not finite itself may have an infinite condition, and is exactly that."""
    return np.isposinf(cond) & np.isfinite(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One output as the oracle has it.

    ``value`` + ``tail`` is the result (``tail`` is None up to float32, where float64 alone is twice the
    precision); ``cond`` and ``cond2`` its condition numbers of first and second order; ``n`` the largest
    count of elements summed. All arrays are float64 and have the output's shape. ``unit`` is the unit
    roundoff that the oracle worked in. ``forgiven`` is what a result may be off, beyond the rounding of it, for what
    the convention rounds on the way. An infinite condition says that nothing can be decided there.
    """

    value: Array
    tail: Array | None
    cond: Array
    cond2: Array
    n: int
    unit: float
    forgiven: Array | None = None

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """The elements of which nothing can be said: finite ones, whose condition is infinite."""
        return undecided(self.value, self.cond)

    def at(self, index: Any) -> Truth:
        """The elements at ``index``."""
        return replace(
            self,
            value=self.value[index],
            tail=None if self.tail is None else self.tail[index],
            cond=self.cond[index],
            cond2=self.cond2[index],
            forgiven=None if self.forgiven is None else self.forgiven[index],
        )

    def reshaped(self, shape: tuple[int, ...]) -> Truth:
        """The same elements in another shape."""
        return replace(
            self,
            value=self.value.reshape(shape),
            tail=None if self.tail is None else self.tail.reshape(shape),
            cond=self.cond.reshape(shape),
            cond2=self.cond2.reshape(shape),
            forgiven=None if self.forgiven is None else self.forgiven.reshape(shape),
        )

    def poisoned_by(self, plain: Truth) -> Truth:
        """The same, but for what is not finite that of ``plain``: error-free transformations make an infinity NaN."""
        assert self.tail is not None  # noqa: S101 (it was computed in double-double)
        known = np.isfinite(plain.value) & np.isfinite(self.value)
        return replace(
            self,
            value=np.where(known, self.value, plain.value),
            tail=np.where(known, self.tail, 0.0),
            cond=np.where(known, self.cond, plain.cond),
            cond2=np.where(known, self.cond2, plain.cond2),
        )

    def claimed_error(self) -> Array:
        """A bound of the oracle's own absolute error, checked against ball arithmetic in the tests.

        The oracle's algorithm is as backward stable as the candidates', so its error is bounded as theirs
        is, in its own, smaller unit; but nothing is claimed of results so small that their error terms
        leave the range of float64.
        """
        steps = probable_roundoffs(self.n) * self.unit
        with np.errstate(all="ignore"):
            return steps * self.cond + steps**2 * self.cond2 + LEAST_NORMAL / self.unit
