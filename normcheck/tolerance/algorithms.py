"""Algorithms for y in a working precision, composed of a few parts: honest ones, and broken ones beside them.

Rows are statistic sets. None of this is shared with the oracle, nor with a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import Bias, CastOrder, EpsPlacement, ResidualSum, Variance, Weight
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.methods import parameter_axes, partition_of, resolved
from normcheck.methods.partition import join, split

Floats = NDArray[Any]
Sum = Callable[[Floats], Floats]  # of each row, as a column
Moments = Callable[[Floats, bool], tuple[Floats, Floats]]  # of rows, if centered: mean and biased variance
LANES = 256  # of Welford, as kernels have threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """How y is computed: its statistics, and what is done with them.

    With ``reciprocal`` x - mean is multiplied by 1/√(var + eps), else divided by the root. With ``folded`` y is
    x·scale + shift, both computed before. Where ``held``, each step is rounded to that dtype. What ``takes_mean`` is
    for centered methods alone.
    """

    moments: Moments
    takes_mean: bool = False
    reciprocal: bool = True
    folded: bool = False
    held: DType | None = None
    cast_order: CastOrder | None = None  # None: the case's


def pairwise(rows: Floats) -> Floats:
    """The sum of each row, half by half, as NumPy does it along contiguous memory."""
    total: Floats = np.sum(np.ascontiguousarray(rows), axis=1, keepdims=True)
    return total


def sequential(rows: Floats) -> Floats:
    """The sum of each row, one number after the other."""
    return np.add.accumulate(rows, axis=1)[:, -1:]


def two_pass(total: Sum, held: Callable[[Floats], Floats] = lambda array: array) -> Moments:
    """The mean first, then the mean of the squared deviations from it."""

    def moments(rows: Floats, centered: bool) -> tuple[Floats, Floats]:
        n = rows.dtype.type(rows.shape[1])
        mean = held(total(rows) / n) if centered else np.zeros_like(rows[:, :1])
        deviation = held(rows - mean)
        return mean, held(total(held(deviation * deviation)) / n)

    return moments


def one_pass(rows: Floats, _: bool) -> tuple[Floats, Floats]:
    """E[x²] - E[x]², which cancels where the mean is large beside the deviation; clipped at 0."""
    n = rows.dtype.type(rows.shape[1])
    mean, square = pairwise(rows) / n, pairwise(rows * rows) / n
    return mean, np.maximum(square - mean * mean, 0)


def welford(rows: Floats, _: bool) -> tuple[Floats, Floats]:
    """Welford's updates in up to 256 lanes, which Chan, Golub and LeVeque's formula joins."""
    lanes = min(LANES, rows.shape[1])
    kind = rows.dtype.type
    mean, squares = np.zeros_like(rows[:, :lanes]), np.zeros_like(rows[:, :lanes])
    counts = np.zeros(lanes, rows.dtype)
    for start in range(0, rows.shape[1], lanes):
        part = rows[:, start : start + lanes]
        width = part.shape[1]
        counts[:width] += kind(1)
        delta = part - mean[:, :width]
        mean[:, :width] += delta / counts[:width]
        squares[:, :width] += delta * (part - mean[:, :width])
    while mean.shape[1] > 1:  # lane i with lane i + half
        half = -(-mean.shape[1] // 2)
        left, right = slice(0, mean.shape[1] - half), slice(half, None)
        both = counts[left] + counts[right]
        delta = mean[:, right] - mean[:, left]
        mean[:, left] += delta * (counts[right] / both)
        squares[:, left] += squares[:, right] + delta * delta * (counts[left] * counts[right] / both)
        counts[left] = both
        mean, squares, counts = mean[:, :half], squares[:, :half], counts[:half]
    return mean, squares / kind(rows.shape[1])


HONEST: Mapping[str, Algorithm] = {
    "two-pass, pairwise sums": Algorithm(moments=two_pass(pairwise), reciprocal=False),
    "two-pass, sequential sums": Algorithm(moments=two_pass(sequential), reciprocal=False),
    "two-pass, times 1/√(var + eps)": Algorithm(moments=two_pass(pairwise)),
    "Welford": Algorithm(moments=welford, takes_mean=True),
    "x·scale + shift": Algorithm(moments=two_pass(pairwise), folded=True, takes_mean=True),
}
ONE_PASS: Mapping[str, Algorithm] = {
    "variance as E[x²] - E[x]²": Algorithm(moments=one_pass, takes_mean=True)
}


def in_steps_of(dtype: DType) -> Algorithm:
    """Two passes with statistics and intermediate results held in ``dtype``."""
    return Algorithm(moments=two_pass(pairwise, _rounded_to(dtype)), held=dtype)


def computed(algorithm: Algorithm, case: Case, arrays: Mapping[str, Floats]) -> Floats:
    """The y of ``case`` by its convention, in the dtype that it must have."""
    convention = resolved(case.method, case.dtype, case.convention)
    working = np.dtype(np.float64 if convention.stats_dtype is DType.FLOAT64 else np.float32)
    held = _rounded_to(algorithm.held) if algorithm.held else lambda array: array
    own = partition_of(case.method, case.shape, case.params, case.convention)
    with np.errstate(all="ignore"):
        x = _summed(case, arrays, working)
        weight, bias = _affine(case, arrays, working)
        means, roots = [], []
        for rows in split(x, own):
            mean, var = algorithm.moments(rows, bool(convention.centered))
            root = held(_root(var, case, rows.shape[1], working))
            means.append(np.broadcast_to(mean, rows.shape))
            roots.append(np.broadcast_to(held(1 / root) if algorithm.reciprocal else root, rows.shape))
        mean, root = join(means, own), join(roots, own)
        if algorithm.folded:
            scale = root * weight if algorithm.reciprocal else weight / root
            y = x * scale + (bias - mean * scale)
        else:
            deviation = held(x - mean)
            x_hat = held(deviation * root if algorithm.reciprocal else deviation / root)
            if (algorithm.cast_order or convention.cast_order) is CastOrder.CAST_THEN_AFFINE:
                x_hat, held = x_hat.astype(numpy_dtype(case.dtype)).astype(working), _rounded_to(case.dtype)
            y = held(held(x_hat * weight) + bias)
        return y.astype(numpy_dtype(case.dtype_of(Output.Y)))


def _summed(case: Case, arrays: Mapping[str, Floats], working: np.dtype[Any]) -> Floats:
    """What is normalized: x, or its sum with the residual."""
    total: Floats = arrays["x"].astype(working)
    if "residual" in arrays:
        total += arrays["residual"].astype(working)
        if case.convention.residual_sum is not ResidualSum.EXACT:
            total = total.astype(numpy_dtype(case.dtype_of(Output.SUM))).astype(working)
    return total


def _affine(case: Case, arrays: Mapping[str, Floats], working: np.dtype[Any]) -> tuple[Floats, Floats]:
    """What x̂ is multiplied by, and what is added, along the axes of x."""
    given = {n: _along_x(case, arrays[n]).astype(working) for n in ("weight", "bias") if n in arrays}
    one, zero = np.ones(1, working), np.zeros(1, working)
    weight, convention = given.get("weight", one), case.convention
    if convention.weight is Weight.IGNORED:
        weight = one
    elif convention.weight is Weight.ONE_PLUS and "weight" in given:
        weight = one + weight
    return weight, zero if convention.bias is Bias.IGNORED else given.get("bias", zero)


def _along_x(case: Case, parameter: Floats) -> Floats:
    axes = parameter_axes(case.method, case.shape, case.params)
    if parameter.ndim > len(axes):  # each sample has its own
        axes = (0, *axes)
    shape = [1] * len(case.shape)
    for axis, size in zip(axes, parameter.shape, strict=True):
        shape[axis] = size
    return parameter.reshape(shape)


def _root(var: Floats, case: Case, n: int, working: np.dtype[Any]) -> Floats:
    """What x - mean is divided by."""
    eps, placement = working.type(case.params.eps), case.convention.eps_placement
    if case.convention.variance is Variance.UNBIASED:
        var = var * (working.type(n) / working.type(n - 1))
    within = {EpsPlacement.INSIDE_SQRT: var + eps, EpsPlacement.MAX: np.maximum(var, eps)}
    root: Floats = np.sqrt(within.get(placement, var))
    if placement is EpsPlacement.OUTSIDE_SQRT:
        root += eps
    return root


def _rounded_to(dtype: DType) -> Callable[[Floats], Floats]:
    """What rounds to ``dtype`` and goes on in the precision that it found."""
    return lambda array: array.astype(numpy_dtype(dtype)).astype(array.dtype)
