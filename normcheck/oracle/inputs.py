"""The arrays that the oracle computes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case
from normcheck.dtype import DType
from normcheck.methods import Partition, parameter_axes, partition_of
from normcheck.methods.tiles import Tile

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
AT_ONCE = 2**20  # elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a case computes from: arrays in its dtypes, or None where it has none.

    ``weight`` and ``bias`` have the shape of ``parameter_axes`` of x. ``running_mean`` and ``running_var``,
    of shape (C,), are there for batch norm only, ``grad_y``, of the shape of x, for gradients only.
    """

    x: Floats
    weight: Floats | None = None
    bias: Floats | None = None
    running_mean: Floats | None = None
    running_var: Floats | None = None
    grad_y: Floats | None = None
    parameter_axes: tuple[int, ...] = (1,)

    def broadcast(self, parameter: Floats | None, default: float) -> Array:
        """A parameter in float64, of a shape that broadcasts against x; ``default`` where there is none."""
        if parameter is None:
            return np.full((1,) * self.x.ndim, default)
        sizes = dict(zip(self.parameter_axes, parameter.shape, strict=True))
        return parameter.astype(np.float64).reshape([sizes.get(axis, 1) for axis in range(self.x.ndim)])

    def cut(self, parameter: Array, tile: Tile) -> Array:
        """The part at ``tile`` of what :meth:`broadcast` gives; one number where it is the same everywhere."""
        if parameter.size == 1:
            return parameter.reshape(1, 1)
        found: Array = tile.cut(np.broadcast_to(parameter, self.x.shape))
        return found

    def x_of(self, tile: Tile) -> Array:
        """The part of x at ``tile``, in float64."""
        return tile.cut(self.x).astype(np.float64)

    def largest(self, tile: Tile) -> Array:
        """The largest magnitude of x in each row of ``tile``, (sets, 1)."""
        found: Array = np.abs(self.x_of(tile)).max(axis=1, keepdims=True)
        return found

    def grad_y_of(self, tile: Tile) -> Array:
        """The part of the incoming gradient at ``tile``, in float64."""
        assert self.grad_y is not None  # noqa: S101 (a case with gradients has it)
        return tile.cut(self.grad_y).astype(np.float64)

    def all_finite(self) -> bool:
        """True if x has neither NaN nor ±Inf."""
        flat = self.x.reshape(-1)
        return all(
            bool(np.isfinite(flat[start : start + AT_ONCE]).all()) for start in range(0, flat.size, AT_ONCE)
        )

    @property
    def state_dtype(self) -> DType:
        """The dtype in which the running statistics are stored."""
        assert self.running_mean is not None  # noqa: S101 (asked of layers that have them)
        return DType(self.running_mean.dtype.name)


def prepared(case: Case, arrays: Mapping[str, Floats]) -> tuple[Inputs, Partition]:
    """The inputs of a case as the oracle takes them, and its statistic sets."""
    shape = arrays["x"].shape
    axes = parameter_axes(case.method, shape, case.params)
    return Inputs(**arrays, parameter_axes=axes), partition_of(case.method, shape, case.params)
