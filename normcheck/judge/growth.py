"""Is a naive order of summation the cause of LOOSE? The same code is asked for sums of other lengths.

Along one axis that sums go over, every 3rd, 9th, … element of x is taken, and each is repeated 3 and 9 times; what
belongs to them follows: the incoming gradient, the residual, weight and bias where they run along that axis. All else
stays, the mean and the variance nearly so. The backward error of a naive sum grows with n: over
n = 2⁸ … 2²⁰ as n to the power of 0.8, in steps, as the sum goes through binades. That of another formula, such as
eps outside the root, stays where it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.methods import Partition, parameter_axes, parameter_shape, partition_of
from normcheck.report import Growth, Judgement
from normcheck.verdict import Verdict

Floats = NDArray[np.floating]
STEP = 3  # odd: an odd length stays one when it gets longer, and vector instructions treat it differently
SHORTER, LONGER = 5, 2  # steps
LEAST = 8  # elements of a set: fewer are of no kind
USUAL_SIZE, MAX_SIZE = (
    2**20,
    2**25,
)  # elements of x beyond which it is not made longer; where it cannot be shorter
NOTHING = 0.5  # roundoffs: below that a result is as good as exact
STEEP = 0.5  # the slope of β over n, both as logarithms, from which on it grows


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """X with another ``length`` of ``axis``: a fraction of its own, or a multiple of it."""

    axis: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of a variation: the judgement on the output in question, or why there is none."""

    variation: Variation
    judgement: Judgement | None
    reason: str | None = None


def variations(case: Case, output: Output) -> Iterator[Variation]:
    """Those that make the sums of ``output`` shorter or longer, axis by axis, the shortest first."""
    size = math.prod(case.shape)
    for axis in _axes(case, output):
        length = case.shape[axis]
        elements = _set_size(case) if _grows(case, axis) else length
        parts = [STEP**step for step in range(SHORTER, 0, -1)] if _can_be_cut(case, axis) else []
        cut = [part for part in parts if elements // part >= LEAST and length >= part]
        yield from (Variation(axis=axis, length=-(-length // part)) for part in cut)
        for step in range(1, LONGER + 1):
            if size * STEP**step <= (USUAL_SIZE if step > 1 or cut else MAX_SIZE):
                yield Variation(axis=axis, length=length * STEP**step)


def _can_be_cut(case: Case, axis: int) -> bool:
    """False for the channels of groups, of which each has to keep its share."""
    grouped = any(bucket.channels is not None for bucket in _partition(case).buckets)
    return not (grouped and axis == case.params.channel_axis % len(case.shape))


def _axes(case: Case, output: Output) -> Sequence[int]:
    """The outermost and the innermost axis that sums go over: code may add up naively along either alone.

    Axes of weight and bias have to be among them only where there are no others.
    """
    summed = [axis for axis in range(len(case.shape)) if _lengthens(case, output, axis)]
    plain = [axis for axis in summed if axis not in _parameter_axes(case)]
    kinds = (plain, [axis for axis in summed if axis not in plain])
    if not (output.is_gradient and not output.is_elementwise) and plain:
        kinds = (plain, [])
    return list(dict.fromkeys(axis for kind in kinds if kind for axis in (kind[0], kind[-1])))


def _lengthens(case: Case, output: Output, axis: int) -> bool:
    """True if sums that ``output`` is made of get longer with ``axis``."""
    if not case.uses_running and _grows(case, axis):
        return True
    by_channel = output in (Output.GRAD_WEIGHT, Output.GRAD_BIAS) or output.is_state
    return (by_channel or (case.uses_running and case.steps > 0)) and axis not in _parameter_axes(case)


def _grows(case: Case, axis: int) -> bool:
    """True if statistic sets get larger with ``axis``."""
    return _set_size(_case(case, axis, 2 * case.shape[axis])) > _set_size(case)


def _partition(case: Case) -> Partition:
    return partition_of(case.method, case.shape, case.params, case.convention)


def _set_size(case: Case) -> int:
    return _partition(case).max_n


def _parameter_axes(case: Case) -> tuple[int, ...]:
    return parameter_axes(case.method, case.shape, case.params)


def varied(case: Case, arrays: Mapping[str, Floats], variation: Variation) -> tuple[Case, dict[str, Floats]]:
    """The case and its inputs, with an axis of another length."""
    axis, old, new = variation.axis, case.shape[variation.axis], variation.length
    step = -(-old // new)
    shape = parameter_shape(case.method, case.shape, case.params)

    def along(name: str, array: Floats) -> Floats:
        axes: Sequence[int] = range(array.ndim)
        if name not in ("x", "grad_y", "residual"):
            axes = _parameter_axes(case) if array.shape == shape else (0, *_parameter_axes(case))
        if axis not in axes:
            return array
        place = list(axes).index(axis)
        if new > old:
            return np.repeat(array, new // old, axis=place)
        return np.ascontiguousarray(array[(slice(None),) * place + (slice(None, None, step),)])

    return _case(case, axis, new), {name: along(name, array) for name, array in arrays.items()}


def _case(case: Case, axis: int, length: int) -> Case:
    params = case.params
    if params.groups is not None and axis == params.channel_axis % len(case.shape):
        times = length // case.shape[axis]
        longer = tuple(
            tuple(channel * times + copy for channel in group for copy in range(times))
            for group in params.groups
        )
        params = replace(params, groups=longer)
    shape = (*case.shape[:axis], length, *case.shape[axis + 1 :])
    return replace(case, shape=shape, params=params)


def decided(
    judgement: Judgement, case: Case, asked: Sequence[Asked], *, refusal: str | None = None
) -> Judgement:
    """A LOOSE judgement once the same code has been asked for other sums, or cannot be for the reason ``refusal``."""
    assert judgement.backward_error is not None  # noqa: S101 (LOOSE is a figure)
    axes = dict.fromkeys(each.variation.axis for each in asked)
    growth = [_growth(axis, case.shape[axis], judgement.backward_error, asked) for axis in axes]
    judgement = replace(judgement, growth=tuple(each for each in growth if each is not None))
    for each in asked:
        failed = each.judgement
        if failed is not None and failed.verdict is Verdict.FAIL:
            where = f"with {each.variation.length} elements along axis {each.variation.axis}"
            return _failed(judgement, f"{where} it fails: {failed.reason}")
    missing = next((each.reason for each in asked if each.judgement is None), None)
    if not judgement.growth:
        return _with(judgement, refusal or missing or "none of its sums can be made longer")
    steepest = max(judgement.growth, key=lambda growth: growth.slope)
    if steepest.slope > STEEP:
        return _with(judgement, f"it grows with n, as a naive order of summation does: {_told(steepest)}")
    if missing is not None:
        return _with(judgement, missing)
    reason = f"it does not grow with n, so no order of summation is the cause: {_told(steepest)}"
    return _failed(judgement, reason)


def _with(judgement: Judgement, reason: str) -> Judgement:
    return replace(judgement, reason=f"{judgement.reason}; {reason}")


def _failed(judgement: Judgement, reason: str) -> Judgement:
    return replace(_with(judgement, reason), verdict=Verdict.FAIL, excuse=None)


def _growth(axis: int, length: int, beta: float, asked: Sequence[Asked]) -> Growth | None:
    """How β grows along ``axis``; None where the code gave no figure at all."""
    found = {length: beta}
    for each in asked:
        figure = None if each.judgement is None else each.judgement.backward_error
        if each.variation.axis == axis and figure is not None:
            found[each.variation.length] = figure
    if len(found) == 1:
        return None
    lengths = tuple(sorted(found))
    betas = tuple(found[each] for each in lengths)
    return Growth(axis=axis, lengths=lengths, backward_error=betas, slope=_slope(lengths, betas))


def _slope(lengths: Sequence[int], betas: Sequence[float]) -> float:
    """The slope of the line through log β over log n, by least squares."""
    x, y = np.log(lengths), np.log(np.clip(betas, NOTHING, None))
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / np.square(x).sum())


def _told(growth: Growth) -> str:
    figures = ", ".join(f"{beta:.3g}" for beta in growth.backward_error)
    lengths = ", ".join(map(str, growth.lengths))
    return f"{figures} for {lengths} elements along axis {growth.axis}, slope {growth.slope:.2f}"
