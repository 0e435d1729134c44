"""Running statistics: as they are given, and after training steps on the same batch.

    running_mean ← (1-m)·running_mean + m·mean         cond ← (1-m)·cond + m·M|x|
    running_var  ← (1-m)·running_var + m·var·n/(n-1)   cond ← (1-m)·cond + m·n/(n-1)·2·M|d·x|
                                                       cond₂ ← (1-m)·cond₂ + m·n/(n-1)·M(x²)

with the condition |old| to start from; m is the share of the batch, and n/(n-1) is 1 where the biased variance is
taken. Statistics that are stored, to go on from, are rounded, which adds their magnitude: once in the dtype of the
sums, 2¹³ or 2¹⁶ times that in float16 or bfloat16. Instance norm averages the statistics of a channel's samples
first, as PyTorch does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.given import Running
from normcheck.oracle.moments import Moments
from normcheck.oracle.reals import Array, Real, average, high, ldexp, mean, where


def given(old: NDArray[np.floating], *, precise: bool) -> Running:
    """Statistics as a case has them; ``old`` has the shape (C,)."""
    column = old.astype(np.float64).reshape(-1, 1)
    value: Real = DoubleDouble(column) if precise else column
    return Running(value=value, cond=np.abs(column), cond2=np.zeros_like(column))


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How running statistics are updated, ``steps`` times on the same batch.

    ``dtype`` is that in which they are stored, ``unit`` the unit roundoff of the sums. ``of_old`` tells that
    ``momentum`` is the share of the old statistics, ``biased`` that the variance of the batch is the biased one.
    """

    momentum: float
    steps: int
    dtype: DType
    unit: float
    of_old: bool = False
    biased: bool = False

    def shares(self, *, precise: bool) -> tuple[Real, Real]:
        """The shares of the old statistics and of the batch, exact."""
        given = np.array([[self.momentum]])
        rest: Real = DoubleDouble(np.array([[1.0]])) - self.momentum if precise else 1.0 - given
        return (given, rest) if self.of_old else (rest, given)


def stored(new: Running, dtype: DType, unit: float) -> Running:
    """The same statistics once they are written down in ``dtype``: uncertain by its rounding, in roundoffs of the
    sums, which are ``unit``, and infinite where it has no number as large.
    """
    value = high(new.value)
    rounding = dtype.output_roundoff / unit
    fits = ~(np.abs(value) >= dtype.largest * (1 + dtype.output_roundoff))
    return replace(
        new,
        value=new.value if fits.all() else where(fits, new.value, np.copysign(np.inf, value)),
        cond=np.where(fits, new.cond + rounding * np.abs(value), 0.0),
        cond2=np.where(fits, new.cond2, 0.0),
    )


def trained_mean(old: Running, batch: Moments, update: Update) -> Running:
    """The running mean after training steps on ``batch``, whose sets repeat the order of the channels C."""
    channels = len(old.cond)
    new = _by_channel(ldexp(batch.mean, batch.exponent), channels)
    cond = _by_channel(batch.magnitude * np.ldexp(1.0, batch.exponent), channels)
    return _stepped(old, new, high(cond), np.zeros_like(old.cond), update)


def trained_var(old: Running, batch: Moments, update: Update) -> Running:
    """The running variance after training steps on ``batch``."""
    channels, n = len(old.cond), batch.n
    scale = np.ldexp(1.0, 2 * batch.exponent)
    share = np.float64(n) / np.float64(n - 1)  # infinite for n = 1, where there is no unbiased variance
    taken = batch.variance
    if update.biased:
        share = np.float64(1.0)
    else:
        taken = taken * share if n == 1 else taken * float(n) / float(n - 1)
    new = _by_channel(ldexp(taken, 2 * batch.exponent), channels)
    cond = _by_channel(share * 2.0 * batch.deviation * scale, channels)
    cond2 = _by_channel(share * batch.square * scale, channels)
    return _stepped(old, new, high(cond), high(cond2), update)


def _stepped(old: Running, batch: Real, cond: Array, cond2: Array, update: Update) -> Running:
    keep, take = update.shares(precise=isinstance(batch, DoubleDouble))
    new = old
    for step in range(update.steps):
        if step:
            new = stored(new, update.dtype, update.unit)
        plain = high(keep) * high(new.value) + high(take) * high(batch)
        value = _overflown(keep * new.value + batch * take, plain)
        new = Running(
            value=value,
            cond=high(keep) * new.cond + high(take) * cond,
            cond2=high(keep) * new.cond2 + high(take) * cond2,
        )
    return new


def _by_channel(rows: Real, channels: int) -> Real:
    """The average of the rows (sets, 1) that belong to each channel, of shape (C, 1)."""
    if isinstance(rows, DoubleDouble):
        high_rows, low_rows = (a.reshape(-1, channels).T for a in (rows.hi, rows.lo))
        return _overflown(mean(DoubleDouble(high_rows, low_rows)), average(high_rows))
    return mean(rows.reshape(-1, channels).T)


def _overflown(a: Real, plain: Array) -> Real:
    """``a``, infinite where float64 alone says so: the error-free transformations make that NaN."""
    if not isinstance(a, DoubleDouble):
        return a
    return where(np.isfinite(a.hi), a, plain)
