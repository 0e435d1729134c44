"""The gradients of weight and bias: sums over what each parameter broadcasts over, added up tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normcheck.methods.tiles import Range, Tile
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.statistics import Array, Real, high, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Summand:
    """What a tile adds to a parameter's gradient and to its conditions, at the ``place`` in the parameter's array."""

    place: tuple[Range, ...]
    value: Real
    cond: Array
    cond2: Array


def summand(tile: Tile, axes: tuple[int, ...], value: Real, cond: Array, cond2: Array | None) -> Summand:
    """The sums of a tile's ``value`` and conditions, (sets, elements), along the axes that are not ``axes``."""
    place = tuple(tile.ranges[axis] for axis in axes)
    shape = tuple(tile.lengths[axis] for axis in axes)

    def summed(rows: Real) -> Real:
        return reshaped(total(_by_parameter(tile, rows, axes)), shape)

    return Summand(
        place=place,
        value=summed(value),
        cond=high(summed(cond)),
        cond2=np.zeros(shape) if cond2 is None else high(summed(cond2)),
    )


def gathered(
    summands: Sequence[Summand], shape: tuple[int, ...], *, precise: bool
) -> tuple[Real, Array, Array]:
    """The value and the conditions of a parameter's gradient of ``shape``: all summands, in their order."""
    value, tail, cond, cond2 = (np.zeros(shape) for _ in range(4))
    whole = DoubleDouble(value, tail)
    for each in summands:
        if isinstance(each.value, DoubleDouble):
            whole[each.place] = whole[each.place] + each.value
        else:
            value[each.place] += each.value
        cond[each.place] += each.cond
        cond2[each.place] += each.cond2
    return whole if precise else value, cond, cond2


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
