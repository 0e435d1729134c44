"""Judge one array against the oracle: arrays in, frozen figures out; nothing is read, written or logged.

The verdict has no hand-picked tolerance. The backward error β answers "for inputs that differ from these by
how many roundings is the result exactly right?": with u the unit roundoff, it is the root of

    max(0, |actual - oracle| - ρ) = β·u·cond + (β·u)²·cond₂

and PASS is β <= 16 + √n, the probabilistic bound of a sum of n numbers (N. J. Higham, T. Mary, "A new
approach to probabilistic rounding error analysis", 2019) plus a handful of other operations; LOOSE is
β <= 16 + n, beyond which no order of summation can be the excuse. ρ is what writing the result down costs:
the rounding to a half precision, half a unit of the last printed decimal for printed values, and nothing
for results in the precision in which sums are accumulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.dtypes import numpy_dtype
from normcheck.model import DType, Verdict, Worst
from normcheck.oracle import Truth

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
BLOCK = 16_384  # elements; the float64 temporaries of a block stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where PASS and LOOSE end, in unit roundoffs of the inputs."""

    allowed: float
    loose: float
    overridden: bool = False  # by --max-backward-error

    @classmethod
    def for_sums_of(cls, n: int, *, max_backward_error: float | None = None) -> Bound:
        """The bound for outputs that sum at most ``n`` elements."""
        if max_backward_error is None:
            return cls(allowed=16 + math.sqrt(n), loose=16 + n)
        return cls(allowed=max_backward_error, loose=16 + n, overridden=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one array and the figures behind it; see :class:`normcheck.model.Comparison`."""

    verdict: Verdict
    total: int
    reason: str | None = None
    max_abs_diff: float | None = None
    max_rel_diff: float | None = None
    max_ulp: int | None = None
    backward_error: float | None = None
    allowed: float | None = None
    mismatched: int | None = None
    worst: Worst | None = None


def judge(
    actual: NDArray[np.generic] | None,
    truth: Truth,
    *,
    dtype: DType,
    bound: Bound,
    unit: float | None = None,
    x: Floats | None = None,
) -> Judgement:
    """Judge ``actual`` (None: not returned), which must have ``dtype``, against ``truth``, failing closed.

    ``unit`` is the unit roundoff of the sums (None: that of ``dtype``). ``x``, of the output's shape, only
    illustrates the worst element. Shape and dtype must be equal (no broadcasting, no promotion), NaN and
    ±Inf must be where the oracle has them; only then are distances computed, over the finite elements.
    """
    total = truth.value.size
    if actual is None:
        return Judgement(verdict=Verdict.FAIL, total=total, reason="was not returned")
    if actual.shape != truth.value.shape:
        reason = f"has shape {actual.shape}, expected {truth.value.shape}"
        return Judgement(verdict=Verdict.FAIL, total=total, reason=reason)
    if actual.dtype.name != dtype:
        reason = f"has dtype {actual.dtype.name}, expected {dtype}"
        return Judgement(verdict=Verdict.FAIL, total=total, reason=reason)
    scale = _Scale(dtype=dtype, unit=unit or dtype.unit_roundoff)
    return _judge_numbers(actual, truth, scale, bound, x)


def judge_printed(printed: Array, decimals: int, truth: Truth, *, x: Floats | None = None) -> Judgement:
    """Judge values that were printed to ``decimals`` decimals: each within half a unit of the last one."""
    if printed.shape != truth.value.shape:
        reason = f"has shape {printed.shape}, expected {truth.value.shape}"
        return Judgement(verdict=Verdict.FAIL, total=truth.value.size, reason=reason)
    # The printed decimal itself is rounded to binary: the half unit has room for that, not for a digit.
    half_unit = 0.5 * 10.0**-decimals * (1 + 2.0**-20)
    scale = _Scale(dtype=DType.FLOAT64, unit=DType.FLOAT64.unit_roundoff, half_unit=half_unit)
    return _judge_numbers(printed, truth, scale, Bound(allowed=0.0, loose=0.0), x)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """What an error is measured in: the dtype, the unit roundoff, and what writing the result down costs."""

    dtype: DType
    unit: float
    half_unit: float = 0.0  # of the last printed decimal

    def rounding(self, value: Array) -> Array | float:
        """ρ: how far the result may be from ``value`` for having been written down."""
        if self.dtype.half:
            return self.dtype.output_roundoff * np.abs(value) + 0.5 * self.dtype.smallest_subnormal
        return self.half_unit


def max_abs_difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> float | None:
    """The largest |a - b|; None where shapes differ or nothing is there, NaN where one alone is not finite."""
    if a.shape != b.shape or a.size == 0:
        return None
    largest = 0.0
    with np.errstate(all="ignore"):
        for left, right in _blocks(a, b):
            difference = np.abs(left.astype(np.float64) - right.astype(np.float64))
            same = (left == right) | (np.isnan(left) & np.isnan(right))
            difference[same] = 0.0
            if np.isnan(largest := max(largest, float(difference.max()))) or np.isnan(difference).any():
                return math.nan
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


def _judge_numbers(
    actual: NDArray[np.generic], truth: Truth, scale: _Scale, bound: Bound, x: Floats | None
) -> Judgement:
    misplaced = _misplaced_non_finite(actual, truth, scale.dtype, bound, x)
    return misplaced or _judge_values(actual, truth, scale, bound, x)


def _misplaced_non_finite(
    actual: NDArray[np.generic], truth: Truth, dtype: DType, bound: Bound, x: Floats | None
) -> Judgement | None:
    count, first = 0, -1
    with np.errstate(over="ignore"):
        for start, (got, value) in zip(
            range(0, actual.size, BLOCK), _blocks(actual, truth.value), strict=True
        ):
            expected = value.astype(numpy_dtype(dtype))  # what overflows the dtype is rightly infinite
            if np.isfinite(got).all() and np.isfinite(expected).all():
                continue
            settled = np.isfinite(got) & np.isfinite(expected)
            settled |= (got == expected) | (np.isnan(got) & np.isnan(expected))
            if count == 0 and not settled.all():
                first = start + int(np.argmin(settled))
            count += int(np.count_nonzero(~settled))
    if not count:
        return None
    worst = _element(first, actual, truth, x)
    reason = f"is {worst.actual:g} where the oracle has {worst.expected:g}"
    return Judgement(
        verdict=Verdict.FAIL,
        total=actual.size,
        reason=reason,
        max_abs_diff=math.nan,
        backward_error=math.inf,
        allowed=bound.allowed,
        mismatched=count,
        worst=worst,
    )


@dataclass(slots=True)
class _Figures:
    """What is gathered block by block."""

    abs_diff: float = 0.0
    rel_diff: float = 0.0
    ulp: int = 0
    beta: float = -1.0
    worst: int = 0
    over: int = 0
    compared: int = 0


def _judge_values(
    actual: NDArray[np.generic], truth: Truth, scale: _Scale, bound: Bound, x: Floats | None
) -> Judgement:
    figures = _Figures()
    with np.errstate(all="ignore"):
        for start, block in _truth_blocks(actual, truth):
            _gather(figures, start, block, scale, bound)
    if figures.compared == 0:
        reason = "no finite element to compare"
        return Judgement(verdict=Verdict.INCONCLUSIVE, total=actual.size, mismatched=0, reason=reason)
    verdict = Verdict.FAIL
    if figures.beta <= bound.allowed:
        verdict = Verdict.PASS
    elif figures.beta <= bound.loose:
        verdict = Verdict.LOOSE
    return Judgement(
        verdict=verdict,
        total=actual.size,
        reason=_reason(verdict, figures, scale, bound),
        max_abs_diff=figures.abs_diff,
        max_rel_diff=figures.rel_diff,
        max_ulp=figures.ulp,
        backward_error=figures.beta,
        allowed=bound.allowed,
        mismatched=figures.over,
        worst=_element(figures.worst, actual, truth, x),
    )


def _truth_blocks(actual: NDArray[np.generic], truth: Truth) -> Iterable[tuple[int, tuple[Array, ...]]]:
    arrays = (actual, truth.value, truth.cond, truth.cond2, *(() if truth.tail is None else (truth.tail,)))
    for number, block in enumerate(_blocks(*arrays)):
        yield number * BLOCK, block  # type: ignore[misc]  # all are floating, by the checks before


def _gather(figures: _Figures, start: int, block: tuple[Array, ...], scale: _Scale, bound: Bound) -> None:
    actual, value, cond, cond2, *tail = block
    difference = actual.astype(np.float64) - value
    if tail:
        difference -= tail[0]
    np.abs(difference, out=difference)
    expected = value.astype(numpy_dtype(scale.dtype))
    finite = np.isfinite(actual) & np.isfinite(expected)
    if not finite.all():
        positions = np.flatnonzero(finite)
        if positions.size == 0:
            return
        arrays = (actual, value, cond, cond2, difference, expected)
        actual, value, cond, cond2, difference, expected = (array[finite] for array in arrays)
    else:
        positions = None
    figures.compared += difference.size
    figures.abs_diff = max(figures.abs_diff, float(difference.max()))
    relative = np.where(difference == 0, 0.0, difference / np.abs(value))
    figures.rel_diff = max(figures.rel_diff, float(relative.max()))
    same_dtype = actual.astype(numpy_dtype(scale.dtype), copy=False)
    figures.ulp = max(figures.ulp, int(ulp_distance(same_dtype, expected).max()))
    error = np.maximum(difference - scale.rounding(value), 0.0)
    beta = backward_error(error, cond, cond2, scale.unit)
    figures.over += int(np.count_nonzero(~(beta <= bound.allowed)))
    at = int(np.argmax(beta))
    if beta[at] > figures.beta or np.isnan(beta[at]):
        figures.beta = math.inf if np.isnan(beta[at]) else float(beta[at])
        figures.worst = start + (at if positions is None else int(positions[at]))


def _reason(verdict: Verdict, figures: _Figures, scale: _Scale, bound: Bound) -> str | None:
    note = f"allowed set by --max-backward-error {bound.allowed:g}" if bound.overridden else None
    if verdict is Verdict.PASS:
        return note
    if scale.half_unit:
        return f"is off by up to {figures.abs_diff:.3g}, more than half a unit of the last printed decimal"
    text = (
        f"only an input {figures.beta:.3g} roundoffs away would explain it, allowed are {bound.allowed:.3g}"
    )
    coarse = figures.beta * scale.unit / scale.dtype.output_roundoff
    if scale.dtype.half and coarse <= 1:
        text += (
            f"; in roundoffs of {scale.dtype} that is {coarse:.2g}: the statistics are right, "
            "something on the way was rounded to it"
        )
    elif verdict is Verdict.LOOSE:
        text += f"; up to {bound.loose:g} a naive order of summation may be the cause"
    return f"{text}; {note}" if note else text


def _element(flat: int, actual: NDArray[np.generic], truth: Truth, x: Floats | None) -> Worst:
    index = tuple(int(i) for i in np.unravel_index(flat, actual.shape))
    return Worst(
        index=index,
        x=None if x is None else float(x[index]),
        actual=float(actual[index]),
        expected=float(truth.value[index]),
    )
