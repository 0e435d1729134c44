"""Evidence of results that fail: the case is gone through once more, and what single elements have is kept.

What is kept is bounded: a block of at most ``MOST`` elements, and counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.evidence import Evidence
from normcheck.judge.distance import Elements, Measure
from normcheck.judge.scale import ulp_distance
from normcheck.judge.traversal import Candidate
from normcheck.methods import Partition
from normcheck.methods.tiles import Tile
from normcheck.oracle import Oracle, Truth
from normcheck.oracle.truth import undecided

Array = NDArray[np.float64]
Positions = NDArray[np.intp]
Shape = tuple[int, ...]
MOST = 4096  # elements of a block
AT_ONCE = 65_536  # elements
WORDS = 65  # bits of a distance in ulp, and none


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A result of which there is to be evidence, and where it is ``worst``."""

    candidate: Candidate
    worst: Shape


def evidence(oracle: Oracle, wanted: Sequence[Wanted]) -> list[Evidence]:
    """The evidence of each of ``wanted``, which are results of the case of ``oracle``."""
    found = [_Gathered(each, oracle) for each in wanted]
    elementwise = [each for each in found if each.elementwise]
    sums, batches = oracle.sums(), []
    first = first_sets(oracle.partition)
    with np.errstate(all="ignore"):
        for block in oracle.blocks:
            evaluated = oracle.evaluate(block)
            batches.append(evaluated.batch)
            start = first[block.bucket] + block.start
            for tile in block.tiles:
                part = evaluated.part(tile)
                sums.add(part)
                for each in elementwise:
                    each.add(tile, part.truths[each.output], start)
        if len(elementwise) < len(found):
            totals = oracle.totals(batches, sums)
            for each in found:
                if not each.elementwise:
                    each.add_whole(totals[each.output])
    return [each.evidence() for each in found]


def block_around(shape: Shape, worst: Shape, most: int = MOST) -> tuple[Shape, Shape]:
    """Where a block of at most ``most`` elements that has ``worst`` in its middle begins, and its shape.

    The longest axes are cut first, so that short ones, such as those of an image's colours, stay whole.
    """
    lengths = list(shape)
    while math.prod(lengths) > most:
        longest = max(range(len(lengths)), key=lambda axis: lengths[axis])
        lengths[longest] = -(-lengths[longest] // 2)
    start = (
        max(0, min(index - length // 2, size - length))
        for index, length, size in zip(worst, lengths, shape, strict=True)
    )
    return tuple(start), tuple(lengths)


def first_sets(partition: Partition) -> list[int]:
    """The number of the first statistic set of each bucket."""
    size, channels = math.prod(partition.shape), partition.shape[partition.channel_axis]
    counts = [
        size // channels * (channels if bucket.channels is None else len(bucket.channels)) // max(bucket.n, 1)
        for bucket in partition.buckets
    ]
    return [sum(counts[:number]) for number in range(len(counts))]


@dataclass(slots=True, kw_only=True)
class _Block:
    """The arrays of a block, filled as its elements come by."""

    start: Shape
    shape: Shape
    actual: Array = field(init=False)
    expected: Array = field(init=False)
    beta: Array = field(init=False)
    sets: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        self.actual, self.expected, self.beta = (np.full(size, math.nan) for _ in range(3))
        self.sets = np.zeros(size, np.int64)

    def inside(self, places: Positions, whole: Shape) -> tuple[NDArray[np.bool_], Positions]:
        """Which of ``places``, counted in C order of ``whole``, are in the block; and where those are in it."""
        index = np.unravel_index(places, whole)
        within = np.ones(len(places), bool)
        for own, first, length in zip(index, self.start, self.shape, strict=True):
            within &= (own >= first) & (own < first + length)
        inner = [each[within] - first for each, first in zip(index, self.start, strict=True)]
        return within, np.asarray(np.ravel_multi_index(inner, self.shape))


class _Gathered:
    """What has been seen of one result."""

    def __init__(self, wanted: Wanted, oracle: Oracle) -> None:
        self._candidate = wanted.candidate
        self._x = oracle.inputs.x
        self.output, self.elementwise = self._candidate.output, self._candidate.output.is_elementwise
        self._shape = self._candidate.array.shape
        start, shape = block_around(self._shape, wanted.worst)
        self._block = _Block(start=start, shape=shape)
        self._ulp = np.zeros(WORDS, np.int64)

    def add(self, tile: Tile, truth: Truth, first_set: int) -> None:
        """Take in a tile, whose first statistic set has that number."""
        some = Elements.of(tile.cut(self._candidate.array), truth)
        beta = self._beta(some)
        places = tile.locate(np.arange(beta.size))
        within, own = self._keep(places, some, beta)
        self._block.sets[own] = first_set + np.flatnonzero(within) // tile.size[1]

    def add_whole(self, truth: Truth) -> None:
        """Take in all elements."""
        whole = Elements.of(self._candidate.array, truth)
        for first in range(0, self._candidate.array.size, AT_ONCE):
            some = whole.at(slice(first, first + AT_ONCE))
            beta = self._beta(some)
            self._keep(np.arange(first, first + beta.size), some, beta)

    def _keep(self, places: Positions, some: Elements, beta: Array) -> tuple[NDArray[np.bool_], Positions]:
        within, own = self._block.inside(places, self._shape)
        self._block.actual[own] = some.actual[within]
        self._block.expected[own] = some.value[within]
        self._block.beta[own] = beta[within]
        return within, own

    def _beta(self, some: Elements) -> Array:
        """The backward error of each element; counts distances in ulp on the way."""
        scale, bound = self._candidate.scale, self._candidate.bound
        measure = Measure(scale, bound.allowed, bound.loose)
        expected = some.value.astype(numpy_dtype(scale.dtype))
        unsaid = undecided(some.value, some.cond)
        finite = np.isfinite(some.actual) & np.isfinite(some.value) & ~unsaid
        overflown = measure.overflown(some) & ~unsaid
        settled = measure.settled(some, expected, finite | overflown | unsaid)
        if not scale.half_unit:
            apart = ulp_distance(some.actual.astype(expected.dtype, copy=False)[finite], expected[finite])
            self._ulp += np.bincount(np.frexp(apart.astype(np.float64))[1], minlength=WORDS)
        difference = np.where(overflown, scale.short_of_infinity(some.value), some.difference())
        beta = scale.beta(difference, some.value, some.cond, some.cond2, some.forgiven)
        beta[~(finite | overflown)] = 0.0
        beta[unsaid] = math.nan
        beta[~settled] = math.inf
        return beta

    def evidence(self) -> Evidence:
        """What has been gathered."""
        digits = 17 if self._candidate.scale.dtype is DType.FLOAT64 else 9
        block = self._block
        x: tuple[float, ...] = ()
        if self.elementwise:
            index = tuple(slice(s, s + n) for s, n in zip(block.start, block.shape, strict=True))
            x = _written(self._x[index].reshape(-1).astype(np.float64), digits)
        return Evidence(
            start=block.start,
            shape=block.shape,
            actual=_written(block.actual, digits),
            expected=_written(block.expected, digits),
            backward_error=_written(block.beta, 3),
            sets=tuple(block.sets.tolist()) if self.elementwise else (),
            x=x,
            ulp=tuple(np.trim_zeros(self._ulp, "b").tolist()),
        )


def _written(values: Array, digits: int) -> tuple[float, ...]:
    return tuple(float(f"{value:.{digits}g}") for value in values.tolist())
