"""What the oracle gives of a case: blocks of statistic sets, and the parts of each, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from normcheck.case import Output
from normcheck.methods.tiles import Block, Tile
from normcheck.oracle.moments import Moments
from normcheck.oracle.parameters import Gathered, Summand
from normcheck.oracle.truth import Truth

Item = TypeVar("Item")
T = TypeVar("T")


class Each(Protocol):
    """A ``map`` of one iterable that keeps the order, on one thread or several."""

    def __call__(self, function: Callable[[Item], T], items: Iterable[Item], /) -> Iterable[T]:
        """What ``function`` makes of each item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A tile of x: the outputs that have its shape, as (sets, elements), and what it adds to the parameters'.

    ``plain`` is the same in float64 alone, where an input is not finite: there the error-free transformations make
    NaN of an infinity.
    """

    tile: Tile
    truths: Mapping[Output, Truth]
    summands: Mapping[Output, Summand]
    plain: Part | None = None

    def poisoned_by(self, plain: Part) -> Part:
        """The part, with what float64 alone says of what is not finite."""
        truths = {output: truth.poisoned_by(plain.truths[output]) for output, truth in self.truths.items()}
        return replace(self, truths=truths, plain=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A block of statistic sets, of which ``part`` gives one tile after the other, in any order."""

    block: Block
    part: Callable[[Tile], Part]
    moments: Moments | None
    plain: Evaluated | None = None

    @property
    def batch(self) -> Batch:
        """What running statistics take of the block: its moments, and those in float64 alone."""
        return self.moments, None if self.plain is None else self.plain.moments


Batch = tuple[Moments | None, Moments | None]


class Sums:
    """The gradients of the parameters, added up part by part."""

    def __init__(self, shapes: Mapping[Output, tuple[int, ...]], *, precise: bool, plain: bool) -> None:
        self.gathered = {output: Gathered(shape, precise=precise) for output, shape in shapes.items()}
        self.plain = Sums(shapes, precise=False, plain=False) if plain else None

    def add(self, part: Part) -> None:
        """Take in a part."""
        for output, added in part.summands.items():
            self.gathered[output].add(added)
        if self.plain is not None and part.plain is not None:
            self.plain.add(part.plain)

    def merge(self, other: Sums) -> None:
        """Take in the sums of other parts."""
        for output, gathered in other.gathered.items():
            self.gathered[output].merge(gathered)
        if self.plain is not None and other.plain is not None:
            self.plain.merge(other.plain)
