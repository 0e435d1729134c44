"""The gradients of weight and bias: sums over what each parameter broadcasts over, added up tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normcheck.methods.tiles import Range, Tile
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.reals import Array, Real, high, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Summand:
    """What a tile adds to a parameter's gradient and to its conditions, at the ``place`` in the parameter's array."""

    place: tuple[Range, ...]
    value: Real
    cond: Array | float
    cond2: Array | float
    forgiven: Array | None = None


def summand(
    tile: Tile,
    axes: tuple[int, ...],
    value: Real,
    cond: Array | None = None,
    cond2: Array | None = None,
    forgiven: Array | None = None,
) -> Summand:
    """The sums of a tile's ``value`` and conditions, (sets, elements), along the axes that are not ``axes``."""
    shape = tuple(tile.lengths[axis] for axis in axes)

    def summed(rows: Real) -> Real:
        return reshaped(total(_by_parameter(tile, rows, axes)), shape)

    return Summand(
        place=tuple(tile.ranges[axis] for axis in axes),
        value=summed(value),
        cond=0.0 if cond is None else high(summed(cond)),
        cond2=0.0 if cond2 is None else high(summed(cond2)),
        forgiven=None if forgiven is None else high(summed(forgiven)),
    )


class Gathered:
    """The gradient of a parameter of ``shape``, and with ``conditions`` its conditions, added up so far."""

    def __init__(self, shape: tuple[int, ...], *, precise: bool, conditions: bool = True) -> None:
        zeros = np.zeros(shape)
        self.value: Real = DoubleDouble(zeros) if precise else zeros
        self._everywhere = (slice(None),) * len(shape)
        held = shape if conditions else (0,) * len(shape)
        self.cond, self.cond2 = np.zeros(held), np.zeros(held)
        self.forgiven: Array | None = None

    def add(self, summand: Summand) -> None:
        """Take in what a tile adds."""
        place = summand.place
        if isinstance(self.value, DoubleDouble):
            self.value[place] = self.value[place] + summand.value
        else:
            self.value[place] += high(summand.value)
        if self.cond.size:
            self.cond[place] += summand.cond
            self.cond2[place] += summand.cond2
        if summand.forgiven is not None:
            if self.forgiven is None:
                self.forgiven = np.zeros(self.cond.shape)
            self.forgiven[place] += summand.forgiven

    def merge(self, other: Gathered) -> None:
        """Take in the sums over other tiles."""
        self.add(
            Summand(
                place=self._everywhere,
                value=other.value,
                cond=other.cond,
                cond2=other.cond2,
                forgiven=other.forgiven,
            )
        )


def reshaped(a: Real, shape: Sequence[int]) -> Real:
    """``a`` in another shape."""
    if isinstance(a, DoubleDouble):
        return DoubleDouble(a.hi.reshape(shape), a.lo.reshape(shape))
    return a.reshape(shape)


def _by_parameter(tile: Tile, rows: Real, axes: tuple[int, ...]) -> Real:
    """One row for each element of a parameter in the tile: all that is summed for it."""
    if isinstance(rows, DoubleDouble):
        return DoubleDouble(
            high(_by_parameter(tile, rows.hi, axes)), high(_by_parameter(tile, rows.lo, axes))
        )
    a = tile.laid_out(rows)
    others = tuple(axis for axis in range(a.ndim) if axis not in axes)
    count = math.prod(a.shape[axis] for axis in axes)
    return np.ascontiguousarray(a.transpose(axes + others)).reshape(count, -1)
