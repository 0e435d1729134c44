"""The arrays that the oracle computes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import ResidualSum
from normcheck.dtype import DType
from normcheck.methods import Partition, parameter_axes, partition_of
from normcheck.methods.tiles import Tile
from normcheck.oracle.double_double import two_sum

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
AT_ONCE = 2**20  # elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a case computes from: arrays in its dtypes, or None where it has none.

    ``weight`` and ``bias`` have the shape of ``parameter_axes`` of x, or one axis more, in front, that of the samples.
    ``running_mean`` and ``running_var``, of shape (C,), are there for batch norm only, ``grad_y``, of the shape of x,
    for gradients only. What is normalized is x, or with a ``residual`` of its shape their sum: rounded to the dtype
    of x, or with ``exact_sum`` as it is.
    """

    x: Floats
    weight: Floats | None = None
    bias: Floats | None = None
    running_mean: Floats | None = None
    running_var: Floats | None = None
    grad_y: Floats | None = None
    residual: Floats | None = None
    exact_sum: bool = False
    parameter_axes: tuple[int, ...] = (1,)

    def axes_of(self, parameter: Floats | None) -> tuple[int, ...]:
        """The axes of x that a parameter runs along; a parameter of each sample has one axis more."""
        per_sample = parameter is not None and parameter.ndim == len(self.parameter_axes) + 1
        return (0, *self.parameter_axes) if per_sample else self.parameter_axes

    def summed_axes(self, output: Output) -> tuple[int, ...]:
        """The axes of x that the gradient of a parameter runs along, its ``output``."""
        return self.axes_of(self.bias if output is Output.GRAD_BIAS else self.weight)

    def shape_of(self, output: Output) -> tuple[int, ...]:
        """The shape that ``output`` must have."""
        if output.is_elementwise:
            return self.x.shape
        if output.is_state and self.running_mean is not None:
            return self.running_mean.shape
        return tuple(self.x.shape[axis] for axis in self.summed_axes(output))

    def broadcast(self, parameter: Floats | None, default: float) -> Array:
        """A parameter in float64, of a shape that broadcasts against x; ``default`` where there is none."""
        if parameter is None:
            return np.full((1,) * self.x.ndim, default)
        sizes = dict(zip(self.axes_of(parameter), parameter.shape, strict=True))
        return parameter.astype(np.float64).reshape([sizes.get(axis, 1) for axis in range(self.x.ndim)])

    def cut(self, parameter: Array, tile: Tile) -> Array:
        """The part at ``tile`` of what :meth:`broadcast` gives."""
        found: Array = tile.cut(np.broadcast_to(parameter, self.x.shape))
        return found

    def x_of(self, tile: Tile) -> Array:
        """What is normalized at ``tile``, in float64: x, or its sum with the residual."""
        x = tile.cut(self.x)
        if self.residual is None:
            return x.astype(np.float64)
        return self._sum(x, tile.cut(self.residual))

    def _sum(self, x: Floats, residual: Floats) -> Array:
        exact: Array = x.astype(np.float64) + residual.astype(np.float64)
        # two roundings are as good as one: the first is to more than twice as many digits
        return exact if self.exact_sum else exact.astype(self.x.dtype).astype(np.float64)

    def addends_of(self, tile: Tile) -> tuple[Array, Array]:
        """The parts of x and of the residual at ``tile``, in float64."""
        assert self.residual is not None  # noqa: S101 (asked where there is one)
        return tile.cut(self.x).astype(np.float64), tile.cut(self.residual).astype(np.float64)

    def tail_of(self, tile: Tile) -> Array | None:
        """What float64 leaves out of an exact sum; None where nothing."""
        if self.residual is None or not self.exact_sum:
            return None
        return two_sum(*self.addends_of(tile))[1]

    def size_of(self, tile: Tile) -> Array | None:
        """With a residual, the sum of the magnitudes of both addends."""
        if self.residual is None:
            return None
        x, residual = self.addends_of(tile)
        return np.abs(x) + np.abs(residual)

    def largest(self, tile: Tile) -> Array:
        """The largest magnitude of x, and of a residual, in each row of ``tile``, (sets, 1)."""
        size = self.size_of(tile)
        found: Array = (np.abs(self.x_of(tile)) if size is None else size).max(axis=1, keepdims=True)
        return found

    def grad_y_of(self, tile: Tile) -> Array:
        """The part of the incoming gradient at ``tile``, in float64."""
        assert self.grad_y is not None  # noqa: S101 (a case with gradients has it)
        return tile.cut(self.grad_y).astype(np.float64)

    def all_finite(self) -> bool:
        """True if what is normalized has neither NaN nor ±Inf."""
        flat = self.x.reshape(-1)
        more = None if self.residual is None else self.residual.reshape(-1)
        for start in range(0, flat.size, AT_ONCE):
            part = flat[start : start + AT_ONCE]
            if more is not None:
                with np.errstate(all="ignore"):
                    part = self._sum(part, more[start : start + AT_ONCE])
            if not np.isfinite(part).all():
                return False
        return True

    @property
    def state_dtype(self) -> DType:
        """The dtype in which the running statistics are stored."""
        assert self.running_mean is not None  # noqa: S101 (asked of layers that have them)
        return DType(self.running_mean.dtype.name)


def prepared(case: Case, arrays: Mapping[str, Floats]) -> tuple[Inputs, Partition]:
    """The inputs of a case as the oracle takes them, and its statistic sets."""
    shape = arrays["x"].shape
    axes = parameter_axes(case.method, shape, case.params)
    exact = case.convention.residual_sum is ResidualSum.EXACT
    sets = partition_of(case.method, shape, case.params, case.convention)
    return Inputs(**arrays, exact_sum=exact, parameter_axes=axes), sets
