"""How far an array is from the oracle: every figure in one pass, tile by tile.

What most elements cannot change is not computed for them. A tile's elements are first compared with bounds that
follow from the largest figures so far; only those that may exceed one are measured exactly. An honest result
sends next to none there.
"""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.dtypes import numpy_dtype
from normcheck.judge.scale import Scale, ulp_distance
from normcheck.oracle.truth import ARRAYS, Truth, undecided
from normcheck.verdict import Excuse

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Positions = NDArray[np.intp]
Locate = Callable[[Positions], Positions]  # from positions in a tile to those in the whole array, in C order
KEPT = 2**25 - 2**16  # bytes
MAX_THREADS = 8
PER_THREAD = 2**20  # elements from which another thread pays
AT_ONCE = 65_536  # elements; their float64 temporaries stay in the cache


def keep_freed_memory() -> None:
    """Have freed memory kept for the temporaries that follow: page faults would cost more than the arithmetic.

    glibc keeps up to twice as much as the largest piece that it has got, and lost, from the system; others ignore it.
    """
    np.empty(KEPT, np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Elements of an array and of the oracle, each in one axis."""

    actual: Floats
    value: Array
    cond: Array
    cond2: Array
    tail: Array | None
    forgiven: Array | None
    excused: Array | None
    unsettled: NDArray[np.bool_] | None
    excuse: Excuse | None

    @classmethod
    def of(cls, actual: Floats, truth: Truth) -> Elements:
        flat = truth.reshaped((-1,))
        arrays = {name: getattr(flat, name) for name in ARRAYS}
        return cls(actual=actual.reshape(-1), excuse=truth.excuse, **arrays)

    def at(self, where: Positions | slice) -> Elements:
        arrays = {name: getattr(self, name) for name in ARRAYS}
        found: dict[str, Any] = {n: None if array is None else array[where] for n, array in arrays.items()}
        return Elements(actual=self.actual[where], excuse=self.excuse, **found)

    def difference(self) -> Array:
        """The magnitude of the difference, in float64."""
        difference = self.actual.astype(np.float64)  # a subtraction that converts takes three times as long
        difference -= self.value
        if self.tail is not None:
            difference -= self.tail
        return np.abs(difference, out=difference)


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a pass gathers; positions count the elements of the whole array in C order.

    ``misplaced`` counts the elements of which one side alone is not finite, or both are differently;
    ``compared`` those of which both are finite. All other figures belong to these, and to infinities that the bound
    explains, which are as far off as where infinity begins. ``over`` of them have a
    backward error of more than is allowed. ``worst`` and ``first_misplaced`` are positions, -1 for none, with what
    is expected there. ``excused`` is the largest backward error beyond what ``excuse`` explains; ``unsettled`` counts
    the elements that are not finite, but otherwise than expected, where that is right too.
    """

    compared: int = 0
    misplaced: int = 0
    first_misplaced: int = -1
    expected_first: float = math.nan
    abs_diff: float = 0.0
    rel_diff: float = 0.0
    ulp: int = 0
    beta: float = -1.0
    worst: int = -1
    expected_worst: float = math.nan
    over: int = 0
    excused: float = -1.0
    excuse: Excuse | None = None
    unsettled: int = 0

    def plus(self, other: Figures) -> Figures:
        """These figures, with those of other elements taken in."""
        if other.misplaced and (self.first_misplaced < 0 or other.first_misplaced < self.first_misplaced):
            self.first_misplaced, self.expected_first = other.first_misplaced, other.expected_first
        if other.compared and (
            other.beta > self.beta or (other.beta == self.beta and other.worst < self.worst)
        ):
            self.beta, self.worst, self.expected_worst = other.beta, other.worst, other.expected_worst
        self.abs_diff = max(self.abs_diff, other.abs_diff)
        self.rel_diff = max(self.rel_diff, other.rel_diff)
        self.ulp = max(self.ulp, other.ulp)
        self.compared += other.compared
        self.misplaced += other.misplaced
        self.over += other.over
        self.excused = max(self.excused, other.excused)
        self.excuse = self.excuse or other.excuse
        self.unsettled += other.unsettled
        return self


class Measure:
    """Gathers the figures of one array against the oracle.

    ``allowed`` is the backward error up to which it passes, ``loose`` that up to which it is LOOSE.
    """

    def __init__(self, scale: Scale, allowed: float, loose: float) -> None:
        self.scale, self.allowed, self.most = scale, allowed, max(allowed, loose)
        self.figures = Figures()

    def add(self, actual: Floats, truth: Truth, locate: Locate) -> None:
        """Take in a tile of the array, of the shape of ``truth`` and a dtype no wider than float64."""
        if actual.size:
            self._add(Elements.of(actual, truth), locate)

    def add_whole(self, actual: Floats, truth: Truth) -> None:
        """Take in all of the array at once."""
        whole = Elements.of(actual, truth)
        for first in range(0, actual.size, AT_ONCE):
            self._add(whole.at(slice(first, first + AT_ONCE)), partial(operator.add, first))

    def _add(self, some: Elements, locate: Locate) -> None:
        with np.errstate(all="ignore"):
            decidable = bool(some.cond.max() < np.inf) and some.excused is None
            if self.scale.dtype.half and decidable:
                self._halves(some, locate)
            elif self.figures.compared == 0 or self.scale.half_unit or not decidable:
                self._exactly(some, locate)
            else:
                self._quickly(some, locate)

    def _quickly(self, some: Elements, locate: Locate) -> None:
        """Measure exactly only what may exceed a figure so far, and the whole tile if it is not all finite."""
        figures = self.figures
        difference = some.difference()
        largest = float(difference.max())
        if not math.isfinite(largest):
            self._exactly(some, locate)
            return
        # ulp_distance n needs a relative difference of more than (n - 2)·u/2, but across binades or zero.
        least = max(figures.ulp - 1, 0) * 0.5 * self.scale.dtype.output_roundoff
        ratio = min(figures.rel_diff, least, 0.5)
        small = some.value * ratio
        np.abs(small, out=small)
        bound = some.cond * (min(figures.beta, self.allowed) * self.scale.unit)
        np.minimum(bound, small, out=bound)
        within = difference <= bound  # False for NaN
        figures.abs_diff = max(figures.abs_diff, largest)
        figures.compared += difference.size
        if not within.all():
            positions = np.flatnonzero(~within)
            figures.compared -= positions.size
            self._exactly(some.at(positions), lambda found: locate(positions[found]))

    def _halves(self, some: Elements, locate: Locate) -> None:
        """Measure half precision, whose rounding is most of every difference: next to no β is more than 0."""
        figures, actual, value = self.figures, some.actual, some.value
        difference = some.difference()
        largest = float(difference.max())
        expected = value.astype(numpy_dtype(self.scale.dtype))
        if not math.isfinite(largest) or figures.compared == 0 or not np.isfinite(expected).all():
            self._exactly(some, locate)
            return
        relative = np.where(difference == 0, 0.0, difference / np.abs(value))
        figures.abs_diff = max(figures.abs_diff, largest)
        figures.rel_diff = max(figures.rel_diff, float(relative.max()))
        apart = np.flatnonzero(actual.view(np.uint16) != expected.view(np.uint16))
        if apart.size:
            figures.ulp = max(figures.ulp, int(ulp_distance(actual[apart], expected[apart]).max()))
        figures.compared += difference.size
        positions = np.flatnonzero(difference > self.scale.rounding(value, some.forgiven))
        if positions.size:
            far = some.at(positions)
            beta = self.scale.beta(difference[positions], far.value, far.cond, far.cond2, far.forgiven)
            self._worst(beta, far.value, lambda found: locate(positions[found]))
            figures.excused = max(figures.excused, float(beta.max()))

    def _exactly(self, some: Elements, locate: Locate) -> None:
        """Measure every element."""
        figures = self.figures
        actual, value = some.actual, some.value
        # what overflows the dtype is rightly infinite, and may be less than that
        expected = value.astype(numpy_dtype(self.scale.dtype))
        unsaid = undecided(value, some.cond)
        finite = np.isfinite(actual) & np.isfinite(value) & ~unsaid
        if not finite.all():
            finite |= self.overflown(some) & ~unsaid
            settled = self.settled(some, expected, finite | unsaid)
            if not settled.all():
                self._misplaced(np.flatnonzero(~settled), value, locate)
            positions = np.flatnonzero(finite)
            if not positions.size:
                return
            some, expected = some.at(positions), expected[positions]
            actual, value = some.actual, some.value
            whole = locate

            def locate(found: Positions) -> Positions:
                return whole(positions[found])

        difference = some.difference()
        infinite = np.isinf(difference)
        if infinite.any():
            difference = np.where(infinite, self.scale.short_of_infinity(value), difference)
        relative = np.where(difference == 0, 0.0, difference / np.abs(value))
        ulp = ulp_distance(actual.astype(expected.dtype, copy=False), expected)
        figures.compared += difference.size - int(np.count_nonzero(infinite))
        figures.abs_diff = max(figures.abs_diff, float(difference.max()))
        figures.rel_diff = max(figures.rel_diff, float(relative.max()))
        figures.ulp = max(figures.ulp, int(ulp.max()))
        beta, excused = self._betas(difference, some)
        self._worst(beta, value, locate)
        if some.excused is not None:
            figures.excuse = some.excuse
        figures.excused = max(figures.excused, float(excused.max()))

    def _betas(self, difference: Array, some: Elements) -> tuple[Array, Array]:
        """The backward error of elements that are off by ``difference``, and that of what has no excuse."""
        about = (some.value, some.cond, some.cond2, some.forgiven)
        beta = self.scale.beta(difference, *about)
        return beta, beta if some.excused is None else self.scale.beta(difference - some.excused, *about)

    def settled(self, some: Elements, expected: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``known``, and what is not finite as it should be: as ``expected``, or otherwise where that is right too."""
        actual = some.actual
        settled: NDArray[np.bool_] = known | (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        if some.unsettled is not None:
            either = some.unsettled & ~np.isfinite(actual) & ~settled
            self.figures.unsettled += int(np.count_nonzero(either))
            settled |= either
        return settled

    def overflown(self, some: Elements) -> NDArray[np.bool_]:
        """What is infinite, and within the bounds of a number that is written down as that."""
        value, beyond = some.value, np.isinf(some.actual) & np.isfinite(some.value)
        found: NDArray[np.bool_] = beyond & (np.signbit(some.actual) == np.signbit(value))
        if found.any():
            beta, excused = self._betas(self.scale.short_of_infinity(value), some)
            found &= (beta <= self.most) | (excused <= self.allowed)
        return found

    def _worst(self, beta: Array, value: Array, locate: Locate) -> None:
        figures, largest = self.figures, float(beta.max())
        figures.over += int(np.count_nonzero(beta > self.allowed))
        if largest < figures.beta or (largest == figures.beta == 0.0):
            return
        # of many that are exact any will do; of those that are equally wrong the first
        ties = np.flatnonzero(beta == largest) if largest > 0 else np.array([int(np.argmax(beta))])
        places = locate(ties)
        first = int(np.argmin(places))
        if largest > figures.beta or places[first] < figures.worst:
            figures.beta, figures.worst = largest, int(places[first])
            figures.expected_worst = float(value[ties[first]])

    def _misplaced(self, positions: Positions, value: Array, locate: Locate) -> None:
        figures, places = self.figures, locate(positions)
        figures.misplaced += positions.size
        first = int(np.argmin(places))
        if figures.first_misplaced < 0 or places[first] < figures.first_misplaced:
            figures.first_misplaced = int(places[first])
            figures.expected_first = float(value[positions[first]])


def threads_for(size: int, per_thread: int) -> int:
    """How many threads go through ``size`` elements, where another one pays from ``per_thread`` on."""
    return max(1, min(os.cpu_count() or 1, size // per_thread, MAX_THREADS))


def measure(actual: Floats, truth: Truth, scale: Scale, allowed: float, loose: float) -> Figures:
    """The figures of a whole array, on several threads where it is large."""
    size = actual.size
    threads = threads_for(size, PER_THREAD)
    whole = Elements.of(actual, truth)

    def figures(start: int, stop: int) -> Figures:
        gathered = Measure(scale, allowed, loose)
        for first in range(start, stop, AT_ONCE):
            some = whole.at(slice(first, min(first + AT_ONCE, stop)))
            gathered._add(some, partial(operator.add, first))
        return gathered.figures

    if threads == 1:  # starting one would take longer than all that it does
        return figures(0, size)
    step = max(-(-size // threads), 1)
    starts = range(0, size, step)
    with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter while it computes
        parts = pool.map(figures, starts, [min(start + step, size) for start in starts])
        return functools.reduce(Figures.plus, parts, Figures())


def max_abs_difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> float | None:
    """The largest |a - b|; None where shapes differ, nothing is there or one is complex; NaN where one alone
    is not finite.
    """
    if a.shape != b.shape or a.size == 0 or "c" in a.dtype.kind + b.dtype.kind:
        return None
    largest = 0.0
    with np.errstate(all="ignore"):
        for left, right in _blocks(a, b):
            difference = np.abs(left.astype(np.float64) - right.astype(np.float64))
            if not math.isfinite(found := float(difference.max())):
                difference[(left == right) | (np.isnan(left) & np.isnan(right))] = 0.0
                if not math.isfinite(found := float(difference.max())):
                    return math.nan
            largest = max(largest, found)
    return largest


def _blocks(*arrays: NDArray[np.generic]) -> Iterator[tuple[NDArray[np.generic], ...]]:
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, AT_ONCE):
        yield tuple(array[start : start + AT_ONCE] for array in flat)
