"""Running statistics: as they are given, and after training steps on the same batch.

    running_mean ← (1-m)·running_mean + m·mean         cond ← (1-m)·cond + m·M|x|
    running_var  ← (1-m)·running_var + m·var·n/(n-1)   cond ← (1-m)·cond + m·n/(n-1)·2·M|d·x|
                                                       cond₂ ← (1-m)·cond₂ + m·n/(n-1)·M(x²)

with the condition |old| to start from. Statistics that are stored, to go on from, are rounded, which adds their
magnitude: once in the dtype of the sums, 2¹³ or 2¹⁶ times that in float16 or bfloat16. Instance norm averages
the statistics of a channel's samples first, as PyTorch does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import Convention, Momentum, RunningVar
from normcheck.dtype import DType
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.given import Running
from normcheck.oracle.moments import Moments
from normcheck.oracle.reals import Array, Real, average, high, ldexp, mean, overflown, where


def given(old: NDArray[np.floating], *, precise: bool) -> Running:
    """Statistics as a case has them; ``old`` has the shape (C,)."""
    column = old.astype(np.float64).reshape(-1, 1)
    value: Real = DoubleDouble(column) if precise else column
    return Running(value=value, cond=np.abs(column), cond2=np.zeros_like(column))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepping:
    """How statistics are trained: ``steps`` times, by a ``momentum`` that weighs the batch, or the ``old`` ones.

    ``held`` is the dtype in which they are stored, ``stats`` that in which sums are.
    """

    momentum: float
    old: bool
    steps: int
    held: DType
    stats: DType

    def shares(self, *, precise: bool) -> tuple[Real, Real | float]:
        """What the old statistics and those of the batch are weighed by."""
        rest: Real = (
            DoubleDouble(np.array([[1.0]])) - self.momentum if precise else np.array([[1.0 - self.momentum]])
        )
        if not self.old:
            return rest, self.momentum
        same = np.array([[self.momentum]])
        return (DoubleDouble(same) if precise else same), rest

    def excused(self, old: Running, keep: Array, taken: Array) -> Array | None:
        """What an update in the half precision in which statistics are held costs beside the rounding of its result.

        The shares of the old one and of the batch's are rounded, and before that what they are shares of. An earlier
        step's costs are kept as the old one is.
        """
        if not self.held.half or self.held.output_roundoff <= self.stats.output_roundoff:
            return None
        before = 0.0 if old.excused is None else keep * old.excused
        rounded = 2.0 * self.held.output_roundoff * (np.abs(keep * high(old.value)) + np.abs(taken))
        found: Array = before + rounded + 2.0 * self.held.smallest_subnormal
        return found


def stored(new: Running, dtype: DType, stats: DType) -> Running:
    """The same statistics once they are written down in ``dtype``: uncertain by its rounding, in roundoffs of the
    sums, and infinite where it has no number as large.
    """
    value = high(new.value)
    rounding = max(dtype.output_roundoff / stats.output_roundoff, 1.0)
    fits = ~(np.abs(value) >= dtype.largest * (1 + dtype.output_roundoff))
    return replace(
        new,
        value=new.value if fits.all() else where(fits, new.value, np.copysign(np.inf, value)),
        cond=np.where(fits, new.cond + rounding * np.abs(value), 0.0),
        cond2=np.where(fits, new.cond2, 0.0),
    )


def trained_mean(old: Running, batch: Moments, stepping: Stepping) -> Running:
    """The running mean after training on ``batch``, whose sets repeat the order of the channels C."""
    channels = len(old.cond)
    new = _by_channel(ldexp(batch.mean, batch.exponent), channels)
    cond = _by_channel(batch.magnitude * np.ldexp(1.0, batch.exponent), channels)
    return _stepped(old, new, high(cond), np.zeros_like(old.cond), stepping)


def trained_var(old: Running, batch: Moments, stepping: Stepping, *, biased: bool) -> Running:
    """The running variance, which takes the unbiased one unless ``biased``, after training on ``batch``."""
    channels, n = len(old.cond), batch.n
    scale = np.ldexp(1.0, 2 * batch.exponent)
    # infinite for n = 1, where there is no unbiased variance
    share = np.float64(1.0) if biased else np.float64(n) / np.float64(n - 1)
    exact = n == 1 or biased
    taken = batch.variance * share if exact else batch.variance * float(n) / float(n - 1)
    new = _by_channel(ldexp(taken, 2 * batch.exponent), channels)
    cond = _by_channel(share * 2.0 * batch.deviation * scale, channels)
    cond2 = _by_channel(share * batch.square * scale, channels)
    return _stepped(old, new, high(cond), high(cond2), stepping)


def _stepped(old: Running, batch: Real, cond: Array, cond2: Array, stepping: Stepping) -> Running:
    keep, take = stepping.shares(precise=isinstance(batch, DoubleDouble))
    infinite = np.isinf(high(batch))
    taken = high(take) if isinstance(take, DoubleDouble) else take
    new = old
    for step in range(stepping.steps):
        if step:
            new = stored(new, stepping.held, stepping.stats)
        plain = high(keep) * high(new.value) + taken * high(batch)
        value = overflown(keep * new.value + batch * take, plain)
        new = Running(
            value=value,
            cond=high(keep) * new.cond + taken * cond,
            cond2=high(keep) * new.cond2 + taken * cond2,
            excused=stepping.excused(new, high(keep), taken * high(batch)),
            unsettled=infinite,
        )
    return new


def _by_channel(rows: Real, channels: int) -> Real:
    """The average of the rows (sets, 1) that belong to each channel, of shape (C, 1)."""
    if isinstance(rows, DoubleDouble):
        high_rows, low_rows = (a.reshape(-1, channels).T for a in (rows.hi, rows.lo))
        return overflown(mean(DoubleDouble(high_rows, low_rows)), average(high_rows))
    return mean(rows.reshape(-1, channels).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How running statistics follow the batches: what the old ones and those of the batch are weighed by.

    ``momentum`` None: they are not updated. ``steps`` training steps come before they are looked at.
    """

    momentum: float | None = None
    steps: int = 1
    old: bool = False  # the momentum weighs the old ones
    biased: bool = False  # the running variance takes the biased one

    @property
    def sums(self) -> bool:
        """True if there is a training step, so that running statistics have sums of the batch in them."""
        return self.momentum is not None and self.steps > 0

    @classmethod
    def of(cls, case: Case, convention: Convention) -> Training:
        """How ``case`` trains."""
        return cls(
            momentum=case.params.momentum,
            steps=case.steps,
            old=convention.momentum is Momentum.OLD,
            biased=convention.running_var is RunningVar.BIASED,
        )


UNTRAINED = Training()


def trained(
    old_mean: Running, old_var: Running, batch: Moments, training: Training, *, held: DType, stats: DType
) -> dict[Output, Running]:
    """The running statistics after training on ``batch``; ``held`` and ``stats`` as :class:`Stepping` has them."""
    assert training.momentum is not None  # noqa: S101 (it is asked of what is updated)
    stepping = Stepping(
        momentum=training.momentum, old=training.old, steps=training.steps, held=held, stats=stats
    )
    return {
        Output.RUNNING_MEAN: trained_mean(old_mean, batch, stepping),
        Output.RUNNING_VAR: trained_var(old_var, batch, stepping, biased=training.biased),
    }
