"""How far an array is from the oracle: every figure in one pass, in blocks that fit the cache.

What most elements cannot change is not computed for them. A block's elements are first put to bounds that
follow from the largest figures so far; only those that may exceed one are measured exactly. An honest result
sends next to none there, and second-order condition numbers are not even read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.oracle.truth import Truth

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
BLOCK = 65_536  # elements; the float64 temporaries of a block stay in the cache
PER_THREAD = 2**20  # elements from which another thread pays


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What an error is measured in: the dtype, the unit roundoff, and what writing the result down costs."""

    dtype: DType
    unit: float
    half_unit: float = 0.0  # of the last printed decimal

    def rounding(self, value: Array) -> Array | float:
        """ρ: how far the result may be from ``value`` for having been written down."""
        if self.dtype.half:
            return self.dtype.output_roundoff * np.abs(value) + 0.5 * self.dtype.smallest_subnormal
        return self.half_unit


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a pass gathers; indices count the elements in C order.

    ``misplaced`` counts the elements of which one side alone is not finite, or both are differently;
    ``compared`` those of which both are finite, to which all other figures belong. ``over`` of them have a
    backward error of more than is allowed.
    """

    compared: int = 0
    misplaced: int = 0
    first_misplaced: int = -1
    abs_diff: float = 0.0
    rel_diff: float = 0.0
    ulp: int = 0
    beta: float = -1.0
    worst: int = 0
    over: int = 0

    def add(self, later: Figures) -> None:
        """Take in the figures of elements that come after these."""
        if self.first_misplaced < 0:
            self.first_misplaced = later.first_misplaced
        if later.beta > self.beta:
            self.beta, self.worst = later.beta, later.worst
        self.abs_diff = max(self.abs_diff, later.abs_diff)
        self.rel_diff = max(self.rel_diff, later.rel_diff)
        self.ulp = max(self.ulp, later.ulp)
        self.compared += later.compared
        self.misplaced += later.misplaced
        self.over += later.over


def measure(actual: Floats, truth: Truth, scale: Scale, allowed: float) -> Figures:
    """The figures of ``actual``, of the shape of ``truth`` and a dtype no wider than float64."""
    size = actual.size
    if size == 0:
        return Figures()
    arrays: list[Floats] = [a.reshape(-1) for a in (actual, truth.value, truth.cond, truth.cond2)]
    if truth.tail is not None:
        arrays.append(truth.tail.reshape(-1))
    threads = max(1, min(os.cpu_count() or 1, size // PER_THREAD, 8))
    step = -(-size // threads)
    with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter while it computes
        spans = [(start, min(start + step, size)) for start in range(0, size, step)]
        parts = list(pool.map(lambda span: _Pass(arrays, scale, allowed).over(*span), spans))
    figures = Figures()
    for part in parts:
        figures.add(part)
    return figures


class _Pass:
    """One pass over a range of elements, with the buffers that it works in."""

    def __init__(self, arrays: list[Floats], scale: Scale, allowed: float) -> None:
        self.arrays, self.scale, self.allowed = arrays, scale, allowed
        self.figures = Figures()
        self.difference, self.bound, self.small = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
        self.within = np.empty(BLOCK, bool)

    def over(self, start: int, stop: int) -> Figures:
        """The figures of the elements from ``start`` to ``stop``."""
        with np.errstate(all="ignore"):
            for first in range(start, stop, BLOCK):
                block = [array[first : min(first + BLOCK, stop)] for array in self.arrays]
                if self.figures.compared == 0 or self.scale.dtype.half or self.scale.half_unit:
                    self._exactly(first, None, block)
                else:
                    self._quickly(first, block)
        return self.figures

    def _quickly(self, first: int, block: list[Floats]) -> None:
        """Measure exactly only what may exceed a figure so far, and the whole block if it is not all finite."""
        figures, size = self.figures, block[0].size
        difference, bound = self.difference[:size], self.bound[:size]
        small, within = self.small[:size], self.within[:size]
        np.copyto(difference, block[0])  # first, as a subtraction that converts takes three times as long
        difference -= block[1]
        if len(block) > 4:
            difference -= block[4]
        np.abs(difference, out=difference)
        largest = float(difference.max())
        if not math.isfinite(largest):
            self._exactly(first, None, block)
            return
        # ulp_distance n needs a relative difference of more than (n - 2)·u/2.
        ratio = min(figures.rel_diff, max(figures.ulp - 1, 0) * 0.5 * self.scale.dtype.output_roundoff)
        np.multiply(block[1], ratio, out=small)
        np.abs(small, out=small)
        np.multiply(block[2], min(figures.beta, self.allowed) * self.scale.unit, out=bound)
        np.minimum(bound, small, out=bound)
        np.less_equal(difference, bound, out=within)  # False for NaN
        figures.abs_diff = max(figures.abs_diff, largest)
        figures.compared += size
        if not within.all():
            positions = np.flatnonzero(~within)
            figures.compared -= positions.size
            self._exactly(first, positions, [array[positions] for array in block])

    def _exactly(self, first: int, positions: NDArray[np.intp] | None, block: list[Floats]) -> None:
        """Measure every element of ``block``, which stand at ``first`` or at ``first`` + ``positions``."""
        figures, dtype = self.figures, numpy_dtype(self.scale.dtype)
        actual, value = block[0], block[1]
        expected = value.astype(
            dtype
        )  # what overflows the dtype is rightly infinite, and may be less than that
        finite = np.isfinite(actual) & np.isfinite(value)
        if not finite.all():
            settled = finite | (actual == expected) | (np.isnan(actual) & np.isnan(expected))
            if not settled.all():
                if figures.first_misplaced < 0:
                    figures.first_misplaced = first + int(np.argmin(settled))
                figures.misplaced += int(np.count_nonzero(~settled))
            positions = np.flatnonzero(finite)
            block = [array[positions] for array in block]
            expected = expected[positions]
        if block[0].size:
            self._figure(first, positions, block, expected)

    def _figure(
        self,
        first: int,
        positions: NDArray[np.intp] | None,
        block: list[Floats],
        expected: Floats,
    ) -> None:
        figures = self.figures
        actual, value, cond, cond2 = (array.astype(np.float64, copy=False) for array in block[:4])
        difference = actual - value
        if len(block) > 4:
            difference -= block[4]
        np.abs(difference, out=difference)
        relative = np.where(difference == 0, 0.0, difference / np.abs(value))
        ulp = ulp_distance(block[0].astype(expected.dtype, copy=False), expected)
        error = np.maximum(difference - self.scale.rounding(value), 0.0)
        beta = backward_error(error, cond, cond2, self.scale.unit)
        beta[np.isnan(beta)] = math.inf
        at = int(np.argmax(beta))
        if beta[at] > figures.beta:
            figures.beta = float(beta[at])
            figures.worst = first + (at if positions is None else int(positions[at]))
        figures.compared += difference.size
        figures.abs_diff = max(figures.abs_diff, float(difference.max()))
        figures.rel_diff = max(figures.rel_diff, float(relative.max()))
        figures.ulp = max(figures.ulp, int(ulp.max()))
        figures.over += int(np.count_nonzero(beta > self.allowed))


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


def backward_error(error: Array, cond: Array, cond2: Array, unit: float) -> Array:
    """β, element by element, of absolute errors: 0 for an error of 0, infinite where nothing allows any."""
    with np.errstate(all="ignore"):
        divisor = cond + np.sqrt(np.square(cond) + 4.0 * cond2 * error)
        return np.where(error == 0, 0.0, 2.0 * error / (unit * divisor))


def ulp_distance(a: Floats, b: Floats) -> NDArray[np.uint64]:
    """How many representable numbers lie from a to b, in their common dtype; infinities count as numbers."""
    bits = a.dtype.itemsize * 8
    sign = np.uint64(1 << (bits - 1))
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    left, right = (v.view(unsigned).astype(np.uint64) for v in (a, b))
    left_magnitude, right_magnitude = left & ~sign, right & ~sign
    apart = np.maximum(left_magnitude, right_magnitude) - np.minimum(left_magnitude, right_magnitude)
    same_side = (left & sign) == (right & sign)
    result: NDArray[np.uint64] = np.where(same_side, apart, left_magnitude + right_magnitude)
    return result


def _blocks(*arrays: NDArray[np.generic]) -> Iterator[tuple[NDArray[np.generic], ...]]:
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)
