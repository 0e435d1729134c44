"""Judge one array against the oracle: arrays in, frozen figures out; nothing is read, written or logged.

The verdict has no hand-picked tolerance. The backward error β answers "for inputs that differ from these by
how many roundings is the result exactly right?": with u the unit roundoff, it is the root of

    max(0, |actual - oracle| - ρ) = β·u·cond + (β·u)²·cond₂

and PASS is β <= 16 + √n, the probabilistic bound of a sum of n numbers (N. J. Higham, T. Mary, "A new
approach to probabilistic rounding error analysis", 2019) plus a handful of other operations; LOOSE is
β <= 16 + n, beyond which no order of summation can be the excuse (:mod:`normcheck.judge.growth` decides
if it is). ρ is what writing the result down costs: the rounding to a half precision, half a unit of the last
printed decimal for printed values, and nothing for results in the precision in which sums are accumulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType
from normcheck.judge.distance import Figures, measure
from normcheck.judge.scale import Scale
from normcheck.oracle import Truth, probable_roundoffs
from normcheck.report import Judgement, Worst
from normcheck.verdict import Excuse, Verdict

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


EXCUSES = {
    Excuse.ONE_ELEMENT: "of a set of one element y is the bias, whatever x is: x·s + (bias - mean·s) is off by as much",
    Excuse.HALF_STATE: "statistics that are updated in the half precision in which they are held are off by as much",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where PASS and LOOSE end, in unit roundoffs of the inputs; ``derived`` is where PASS would end by itself."""

    allowed: float
    loose: float
    derived: float = 0.0
    overridden: bool = False  # by --max-backward-error

    @classmethod
    def for_sums_of(cls, n: int, *, max_backward_error: float | None = None) -> Bound:
        """The bound for outputs that sum at most ``n`` elements."""
        derived = probable_roundoffs(n)
        if max_backward_error is None:
            return cls(allowed=derived, loose=16 + n, derived=derived)
        return cls(allowed=max_backward_error, loose=16 + n, derived=derived, overridden=True)


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
    if (failed := unfit(actual, truth.value.shape, dtype)) is not None:
        return failed
    found = cast("Floats", actual)
    scale = Scale(dtype=dtype, unit=unit or dtype.unit_roundoff)
    return concluded(measure(found, truth, scale, bound.allowed, bound.loose), found, scale, bound, x)


def unfit(
    actual: NDArray[np.generic] | None, shape: tuple[int, ...], dtype: DType | None
) -> Judgement | None:
    """Why an array has no numbers to be compared; None where it has. ``dtype`` None is any."""
    total = math.prod(shape)
    if actual is None:
        return Judgement(verdict=Verdict.FAIL, total=total, reason="was not returned")
    if actual.shape != shape:
        return Judgement(
            verdict=Verdict.FAIL, total=total, reason=f"has shape {actual.shape}, expected {shape}"
        )
    if dtype is not None and actual.dtype.name != dtype:
        return Judgement(
            verdict=Verdict.FAIL, total=total, reason=f"has dtype {actual.dtype.name}, expected {dtype}"
        )
    return None


def printed(decimals: int) -> tuple[Scale, Bound]:
    """How values that were printed to ``decimals`` decimals are judged: each within half a unit of the last one."""
    # The printed decimal itself is rounded to binary: the half unit has room for that, not for a digit.
    half_unit = 0.5 * 10.0**-decimals * (1 + 2.0**-20)
    scale = Scale(dtype=DType.FLOAT64, unit=DType.FLOAT64.unit_roundoff, half_unit=half_unit)
    return scale, Bound(allowed=0.0, loose=0.0)


def judge_printed(values: Array, decimals: int, truth: Truth, *, x: Floats | None = None) -> Judgement:
    """Judge values that were printed to ``decimals`` decimals."""
    if (failed := unfit(values, truth.value.shape, None)) is not None:
        return failed
    scale, bound = printed(decimals)
    return concluded(measure(values, truth, scale, bound.allowed, bound.loose), values, scale, bound, x)


def concluded(figures: Figures, actual: Floats, scale: Scale, bound: Bound, x: Floats | None) -> Judgement:
    """The judgement that follows from the figures of ``actual``."""
    if figures.misplaced:
        return _misplaced(figures, actual, bound, x)
    if figures.compared == 0:
        reason = "no element that is finite and can be decided"
        return Judgement(verdict=Verdict.INCONCLUSIVE, total=actual.size, mismatched=0, reason=reason)
    verdict = Verdict.FAIL
    if figures.beta <= bound.allowed:
        verdict = Verdict.PASS
    elif figures.beta <= bound.loose or _excused(figures, bound):
        verdict = Verdict.LOOSE
    return Judgement(
        verdict=verdict,
        total=actual.size,
        reason=_reason(verdict, figures, scale, bound),
        max_abs_diff=figures.abs_diff,
        max_rel_diff=figures.rel_diff,
        max_ulp=None if scale.half_unit else figures.ulp,  # printed decimals have no ulp
        backward_error=figures.beta,
        allowed=bound.allowed,
        mismatched=figures.over,
        worst=_element(figures.worst, figures.expected_worst, actual, x),
        excuse=_excuse(figures, bound) if verdict is Verdict.LOOSE else None,
    )


def _excused(figures: Figures, bound: Bound) -> bool:
    """True if only what has an excuse is beyond the bound."""
    return figures.excuse is not None and figures.excused <= bound.allowed


def _excuse(figures: Figures, bound: Bound) -> Excuse | None:
    """What excuses a LOOSE result. Beyond the user's own bound alone there is nothing to explain."""
    if _excused(figures, bound):
        return figures.excuse
    return Excuse.SUMMATION if figures.beta > bound.derived else None


def _misplaced(figures: Figures, actual: Floats, bound: Bound, x: Floats | None) -> Judgement:
    """NaN or ±Inf where the oracle has none, or the other way round: no distance means anything."""
    worst = _element(figures.first_misplaced, figures.expected_first, actual, x)
    return Judgement(
        verdict=Verdict.FAIL,
        total=actual.size,
        reason=f"is {worst.actual:g} where the oracle has {worst.expected:g}",
        max_abs_diff=math.nan,
        backward_error=math.inf,
        allowed=bound.allowed,
        mismatched=figures.misplaced,
        worst=worst,
    )


def _reason(verdict: Verdict, figures: Figures, scale: Scale, bound: Bound) -> str | None:
    note = f"allowed set by --max-backward-error {bound.allowed:g}" if bound.overridden else None
    if figures.unsettled:
        said = f"{figures.unsettled} are NaN where a plain sum is infinite: of a set with an infinity both are right"
        note = f"{said}; {note}" if note else said
    if verdict is Verdict.PASS:
        return note
    if scale.half_unit:
        return f"is off by up to {figures.abs_diff:.3g}, more than half a unit of the last printed decimal"
    text = f"backward error {figures.beta:.3g} exceeds the allowed {bound.allowed:.3g}"
    if verdict is Verdict.LOOSE and _excused(figures, bound):
        text += f"; {EXCUSES[figures.excuse]}" if figures.excuse else ""
        return f"{text}; {note}" if note else text
    coarse = figures.beta * scale.unit / scale.dtype.output_roundoff
    rounded = scale.dtype.half and scale.unit < scale.dtype.output_roundoff
    if rounded and coarse <= 1:
        text += (
            f"; in roundoffs of {scale.dtype} that is {coarse:.2g}: the statistics are right, "
            "something on the way was rounded to it"
        )
    if (
        rounded and coarse + 1 <= bound.allowed
    ):  # and the rounding of the result, which is then no longer forgiven
        text += f"; with --convention stats_dtype={scale.dtype} it passes"
    elif not (rounded and coarse <= 1) and verdict is Verdict.LOOSE:
        text += f", but not 16 + n = {bound.loose:g}, the most that an order of summation can cost"
    return f"{text}; {note}" if note else text


def _element(flat: int, expected: float, actual: Floats, x: Floats | None) -> Worst:
    index = tuple(int(i) for i in np.unravel_index(flat, actual.shape))
    return Worst(
        index=index,
        x=None if x is None else float(x[index]),
        actual=float(actual[index]),
        expected=expected,
    )
