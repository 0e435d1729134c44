"""The arrays that the oracle computes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case
from normcheck.conventions import catalogue as conventions
from normcheck.dtype import DType
from normcheck.methods import Partition, parameter_axes, partition_of
from normcheck.methods.tiles import Tile
from normcheck.oracle.double_double import DoubleDouble, two_sum
from normcheck.oracle.reals import Array, Real

Floats = NDArray[np.floating]
AT_ONCE = 2**20  # elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a case computes from: arrays in its dtypes, or None where it has none.

    ``weight`` and ``bias`` have the shape of ``parameter_axes`` of x, with that of the first axis before it where each
    sample has its own. ``running_mean`` and ``running_var``, of shape (C,), are there for layers that keep them only,
    ``grad_y``, of the shape of x, for gradients only. With a ``residual``, of the shape of x, the sum of both is
    normalized: as it is stored in the dtype of x, or ``exact``.
    """

    x: Floats
    weight: Floats | None = None
    bias: Floats | None = None
    running_mean: Floats | None = None
    running_var: Floats | None = None
    grad_y: Floats | None = None
    residual: Floats | None = None
    parameter_axes: tuple[int, ...] = (1,)
    exact: bool = False

    def axes_of(self, parameter: Floats) -> tuple[int, ...]:
        """The axes of x that weight or bias runs along."""
        own = self.parameter_axes
        return own if parameter.ndim == len(own) else (0, *own)

    def broadcast(self, parameter: Floats | None, default: float) -> Array:
        """A parameter in float64, of a shape that broadcasts against x; ``default`` where there is none."""
        if parameter is None:
            return np.full((1,) * self.x.ndim, default)
        sizes = dict(zip(self.axes_of(parameter), parameter.shape, strict=True))
        return parameter.astype(np.float64).reshape([sizes.get(axis, 1) for axis in range(self.x.ndim)])

    def cut(self, parameter: Array, tile: Tile) -> Array:
        """The part at ``tile`` of what :meth:`broadcast` gives; one number where it is the same everywhere."""
        if parameter.size == 1:
            return parameter.reshape(1, 1)
        found: Array = tile.cut(np.broadcast_to(parameter, self.x.shape))
        return found

    def x_of(self, tile: Tile) -> Array:
        """The part at ``tile`` of what is normalized, in float64."""
        x = tile.cut(self.x)
        if self.residual is None:
            return x.astype(np.float64)
        residual = tile.cut(self.residual)
        if self.exact:
            return x.astype(np.float64) + residual.astype(np.float64)
        rounded: Array = (x + residual).astype(np.float64)
        return rounded

    def tail_of(self, tile: Tile) -> Array | None:
        """What the exact sum has beyond :meth:`x_of`; None where there is nothing."""
        return self.sum_of(tile).lo if self.exact and self.residual is not None else None

    def sum_of(self, tile: Tile) -> DoubleDouble:
        """The exact sum of x and the residual."""
        x, residual = self._parts(tile)
        return DoubleDouble(*two_sum(x, residual))

    def size_of(self, tile: Tile) -> Array | None:
        """The magnitude of what goes into the sum, element by element; None where x is no sum."""
        if self.residual is None:
            return None
        x, residual = self._parts(tile)
        return np.abs(x) + np.abs(residual)

    def _parts(self, tile: Tile) -> tuple[Array, Array]:
        assert self.residual is not None  # noqa: S101 (asked where there is one)
        return tile.cut(self.x).astype(np.float64), tile.cut(self.residual).astype(np.float64)

    def largest(self, tile: Tile) -> Array:
        """The largest magnitude that goes into each row of ``tile``, (sets, 1)."""
        size = self.size_of(tile)
        found: Array = (np.abs(self.x_of(tile)) if size is None else size).max(axis=1, keepdims=True)
        return found

    def grad_y_of(self, tile: Tile) -> Array:
        """The part of the incoming gradient at ``tile``, in float64."""
        assert self.grad_y is not None  # noqa: S101 (a case with gradients has it)
        return tile.cut(self.grad_y).astype(np.float64)

    def all_finite(self) -> bool:
        """True if x, and the residual, have neither NaN nor ±Inf."""
        arrays = [array.reshape(-1) for array in (self.x, self.residual) if array is not None]
        return all(
            bool(np.isfinite(flat[start : start + AT_ONCE]).all())
            for flat in arrays
            for start in range(0, flat.size, AT_ONCE)
        )

    @property
    def state_dtype(self) -> DType:
        """The dtype in which the running statistics are stored."""
        assert self.running_mean is not None  # noqa: S101 (asked of layers that have them)
        return DType(self.running_mean.dtype.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The weight at some elements of statistic sets: what x̂ is multiplied by, and ``stored`` where that is 1 + it."""

    value: Real
    stored: Array | None


class Weight:
    """What x̂ is multiplied by, along x: the weight, 1 plus it, or 1. ``whole`` broadcasts against x."""

    def __init__(self, inputs: Inputs, kind: conventions.Weight, *, precise: bool) -> None:
        self._inputs = inputs
        given = None if kind is conventions.Weight.IGNORED else inputs.weight
        whole = inputs.broadcast(given, 1.0)
        self.whole: Real = whole
        self._stored = None
        if kind is conventions.Weight.ONE_PLUS and given is not None:
            self._stored = whole
            self.whole = DoubleDouble(whole) + 1.0 if precise else 1.0 + whole

    def at(self, tile: Tile) -> Cut:
        """The part at ``tile``."""
        value, stored, cut = self.whole, self._stored, self._inputs.cut
        if isinstance(value, DoubleDouble):
            found: Real = DoubleDouble(cut(value.hi, tile), cut(value.lo, tile))
        else:
            found = cut(value, tile)
        return Cut(value=found, stored=None if stored is None else cut(stored, tile))


def prepared(case: Case, arrays: Mapping[str, Floats]) -> tuple[Inputs, Partition]:
    """The inputs of a case as the oracle takes them, and its statistic sets."""
    shape = arrays["x"].shape
    axes = parameter_axes(case.method, shape, case.params)
    exact = case.convention.residual_sum is conventions.ResidualSum.EXACT
    own = partition_of(case.method, shape, case.params, case.convention)
    return Inputs(**arrays, parameter_axes=axes, exact=exact), own
