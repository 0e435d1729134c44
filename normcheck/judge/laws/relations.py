"""What a law says: a linear relation between outputs of several runs, exact in exact arithmetic.

Each side is a sum of terms, each a linear map of one output of one run. Whatever slack each output has (how
far it may be off by its condition numbers, or for having been rounded), the relation has the sum of what the
same maps, with their coefficients' magnitudes, make of these: no tolerance is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.judge.laws.needs import Need
from normcheck.methods import Partition
from normcheck.methods.partition import split
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.reals import Array, Real, high, low, total

Floats = NDArray[np.floating]
Arrays = Mapping[str, Floats]
OWN = "case"  # the run of the case itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One computation: a case, and the arrays that it computes from, in its dtypes."""

    case: Case
    arrays: Arrays


class Part(Protocol):
    """A linear map of an output; of a float64 array to as many numbers as the relation has."""

    def value(self, array: Array) -> Real:
        """The map of ``array``, exact or in double-double."""

    def magnitude(self, array: Array) -> Array:
        """The map with its coefficients' magnitudes: what becomes of the slack of each element."""


def _all(array: Array) -> Array:
    return array


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Elements of an output, those and in the order that ``pick`` gives, times ``factor``, a power of two."""

    factor: float = 1.0
    pick: Callable[[Array], Array] = _all

    def value(self, array: Array) -> Real:
        """The elements, exact: a power of two rounds nothing."""
        return self.factor * self.pick(array)

    def magnitude(self, array: Array) -> Array:
        """The slack of the elements."""
        return abs(self.factor) * self.pick(array)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Σ weights·(output - offset) over each statistic set; shape: (sets,).

    ``weights`` has a block for each bucket of the partition, of a shape that broadcasts to (sets, n);
    ``offset`` has the shape of the output.
    """

    partition: Partition
    weights: Sequence[Real]
    offset: Array | float = 0.0

    def value(self, array: Array) -> Real:
        """The sums in double-double."""
        reduced = DoubleDouble(array) - np.broadcast_to(np.float64(self.offset), array.shape)
        blocks = zip(split(reduced.hi, self.partition), split(reduced.lo, self.partition), strict=True)
        sums = [
            (DoubleDouble(hi, lo) * weights).total()
            for (hi, lo), weights in zip(blocks, self.weights, strict=True)
        ]
        return DoubleDouble(
            *(np.concatenate([part.reshape(-1) for part in parts]) for parts in _parted(sums))
        )

    def magnitude(self, array: Array) -> Array:
        """The slack of the sums: that of all elements, added up."""
        blocks = zip(split(array, self.partition), self.weights, strict=True)
        return np.concatenate([high(total(block * np.abs(high(w)))).reshape(-1) for block, w in blocks])


def _parted(sums: Sequence[DoubleDouble]) -> tuple[list[Array], list[Array]]:
    return [part.hi for part in sums], [part.lo for part in sums]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A linear map of ``output`` of the run called ``run``."""

    run: str
    output: Output
    part: Part = Elements()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """``left`` = the sum of ``right``, or ``zero`` where that is empty.

    ``zero`` has the shape of the relation: 0, and NaN where the inputs are not finite.
    """

    left: Term
    right: tuple[Term, ...] = ()
    zero: Array | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of both sides."""
        return (self.left, *self.right)

    def slack(self, of: Callable[[Term], Array]) -> Array:
        """What the slack ``of`` the output of each term adds up to."""
        result = self.left.part.magnitude(of(self.left))
        for term in self.right:
            result = result + term.part.magnitude(of(term))
        return result

    def right_side(self, of: Callable[[Term], Array]) -> Real:
        """The right side, with ``of(term)`` for the output of each term."""
        if self.zero is not None:
            return self.zero
        result, *others = (term.part.value(of(term)) for term in self.right)
        for other in others:
            result = _add(result, other)
        return result


def _add(a: Real, b: Real) -> Real:
    """A + b, exact to double-double; what is not finite as float64 has it, for error terms make it NaN."""
    plain = high(a) + high(b)
    exact = (a if isinstance(a, DoubleDouble) else DoubleDouble(a)) + b
    known = np.isfinite(plain)
    return DoubleDouble(np.where(known, exact.hi, plain), np.where(known, exact.lo, 0.0))


def difference(left: Real, right: Real) -> Array:
    """Left - right, to float64; 0 where both are the same and not finite."""
    with np.errstate(all="ignore"):
        result: Array = high(left) - high(right)
        for sign, side in ((1.0, left), (-1.0, right)):
            if (tail := low(side)) is not None:
                result = result + sign * tail
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A law applied to a case: the further ``runs``, by name, and a relation for each output."""

    runs: Mapping[str, Run]
    relations: Mapping[Output, Relation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law of normalization: what holds between outputs whatever x is.

    ``statement`` is a sentence without its full stop. ``needs`` are what a case must have for it to hold. ``put_to``
    makes a trial of such a case and its arrays,
    None where the law does not apply or the transformed inputs are not exact in the case's dtype.
    ``between_methods`` marks laws that relate two methods: an implementation of one method cannot be judged by them.
    """

    name: str
    statement: str
    put_to: Callable[[Case, Arrays], Trial | None]
    needs: tuple[Need, ...] = ()
    between_methods: bool = False

    def trial(self, case: Case, arrays: Arrays) -> Trial | None:
        """The law applied to ``case``; None where it does not apply."""
        if not all(need.met_by(case) for need in self.needs):
            return None
        return self.put_to(case, arrays)
