"""The statistic sets of a case for ``normcheck explain``: their elements and their statistics.

:func:`normcheck.methods.partition` alone decides which elements belong together; here the sets get numbers and
letters in reading order, and a description of their elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case
from normcheck.conventions.catalogue import Convention, Variance
from normcheck.fixtures import Fixture
from normcheck.methods import Partition, partition_of, resolved
from normcheck.methods.partition import labels, split
from normcheck.plan import PlannedCase

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

LETTERS = "abcdefghijkmnpqrstuvwxyz"  # without l and o, which read as digits behind a number
RGB_FIXTURES = frozenset({"documents", "image"})  # those whose three channels are colours
POSITION_NAMES: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("position",),
    2: ("row", "column"),
    3: ("slice", "row", "column"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A case, its data, and its statistic sets.

    ``x`` and ``sets`` have the channels second, wherever the fixture has them: (samples, channels,
    *positions). ``sets`` holds the number of each element's statistic set, counted from 0 in reading order;
    ``n`` and the ``statistics``, by name, are indexed by that number: the mean and the variance, or the mean square, by
    the case's convention.
    """

    case: Case
    fixture: Fixture
    parameters: Mapping[str, tuple[int, ...]]  # which of weight and bias the case has, with their shapes
    residual: bool  # x is a sum
    x: Array
    sets: Integers
    n: Integers
    statistics: Mapping[str, Array]

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The name of one step along each axis of ``x``."""
        return ("sample", "channel", *POSITION_NAMES[self.x.ndim - 2])

    @property
    def channel_names(self) -> tuple[str, ...]:
        """R, G and B where the channels are known to be colours, otherwise none."""
        rgb = self.fixture.name in RGB_FIXTURES and self.x.shape[1] == 3
        return ("R", "G", "B") if rgb else ()

    def members(self, number: int) -> str:
        """The elements of a statistic set, in words: ``sample 0, channels 0,1 (R,G)``."""
        found = np.nonzero(self.sets == number)
        words = []
        for axis, (name, size) in enumerate(zip(self.axis_names, self.x.shape, strict=True)):
            indices = np.unique(found[axis]).tolist()
            everything = len(indices) == size
            if axis >= 2 and everything:
                continue  # sets that hold all positions are the rule: only the exception is worth a word
            words.append(f"all {name}s" if everything and size > 1 else _some(name, indices))
            if axis == 1 and self.channel_names and not everything:
                words[-1] += f" ({','.join(self.channel_names[index] for index in indices)})"
        return ", ".join(words)


def explain(planned: PlannedCase) -> Explanation:
    """The statistic sets of a case in its dtype, with their statistics in float64.

    Raises a :class:`normcheck.errors.NormcheckError` where the fixture's data cannot be used.
    """
    case = planned.case
    inputs = planned.fixture.arrays().inputs(case)
    x = inputs["x"] + inputs["residual"] if "residual" in inputs else inputs["x"]
    values = x.astype(np.float64, copy=False)
    own = partition_of(case.method, values.shape, case.params, case.convention)
    stored = np.moveaxis(labels(own), own.channel_axis, 1)
    numbers, order = _in_reading_order(stored)
    convention = resolved(case.method, case.dtype, case.convention)
    n, statistics = _statistics(values, own, convention)
    return Explanation(
        case=case,
        fixture=planned.fixture,
        parameters={name: inputs[name].shape for name in ("weight", "bias") if name in inputs},
        residual="residual" in inputs,
        x=np.moveaxis(values, own.channel_axis, 1),
        sets=numbers,
        n=n[order],
        statistics={name: figures[order] for name, figures in statistics.items()},
    )


def letters(number: int) -> str:
    """The name of a statistic set: a to z without l and o, then aa, ab, …"""
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, len(LETTERS))
        name = LETTERS[digit] + name
    return name


def _in_reading_order(labelled: Integers) -> tuple[Integers, Integers]:
    """``labelled`` renumbered by first occurrence, and the old number of each new one."""
    _, first = np.unique(labelled, return_index=True)
    order = np.argsort(first)
    return np.argsort(order)[labelled], order


def _statistics(x: Array, own: Partition, convention: Convention) -> tuple[Integers, dict[str, Array]]:
    """n, and the statistics of every set, in the order of their labels."""
    blocks = split(x, own)
    counts = np.concatenate([np.full(len(block), block.shape[1]) for block in blocks])
    with np.errstate(all="ignore"):  # a set that holds NaN or ±Inf has no mean, and is shown so
        share = counts / (counts - 1) if convention.variance is Variance.UNBIASED else 1.0
        if not convention.centered:
            squares = np.concatenate([np.square(block).mean(axis=1) for block in blocks])
            return counts, {"mean square": squares * share}
        means = [_mean(block) for block in blocks]
        variances = [
            np.square(block - mean[:, None]).mean(axis=1) for block, mean in zip(blocks, means, strict=True)
        ]
    found = {"mean": np.concatenate(means), "variance": np.concatenate(variances) * share}
    return counts, found


def _mean(block: Array) -> Array:
    """The mean of each row, refined once as the oracle's is."""
    mean = block.mean(axis=1)
    refined: Array = mean + (block - mean[:, None]).mean(axis=1)
    return refined


def _some(name: str, indices: Sequence[int]) -> str:
    return f"{name} {indices[0]}" if len(indices) == 1 else f"{name}s {','.join(_runs(indices))}"


def _runs(indices: Iterable[int]) -> list[str]:
    """``0,1`` one by one, ``0-7`` where three or more follow each other."""
    shown: list[str] = []
    for _, group in itertools.groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        run = [index for _, index in group]
        shown += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
    return shown
