"""Can a case tell right from wrong at all? Results that are certainly wrong, judged as results are.

A PASS means something only where the same bound rejects all-zero output, the unchanged input, and the output of
another method. Each *set* must do so: a statistic set for y and grad_x, one element for parameters and
running statistics. A set is decided if each canary that differs from the oracle there is beyond the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.judge.array import Bound
from normcheck.judge.distance import Scale
from normcheck.judge.others import Other, other_partitions
from normcheck.methods import Partition
from normcheck.methods.tiles import Tile
from normcheck.oracle import Inputs, Truth
from normcheck.oracle.parameters import Gathered, summand
from normcheck.oracle.parts import Each, Part
from normcheck.oracle.reals import Real, high, low

Mask = NDArray[np.bool_]
SAMPLE = 32  # elements of a set that are looked at first: one is enough
CLAIM = 4.0  # a canary is computed as the oracle is: both may be off by what the oracle claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How many of the finite elements of an output are in sets that are decided, by the bounds of PASS and LOOSE.

    ``missed`` names a canary that the bound of PASS lets through in some set, ``missed_loosely`` one that the bound of
    LOOSE does.
    """

    finite: int
    decided: int
    decided_loosely: int
    missed: str | None
    missed_loosely: str | None

    def plus(self, other: Power) -> Power:
        """Together with other sets."""
        return Power(
            finite=self.finite + other.finite,
            decided=self.decided + other.decided,
            decided_loosely=self.decided_loosely + other.decided_loosely,
            missed=self.missed or other.missed,
            missed_loosely=self.missed_loosely or other.missed_loosely,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """In which sets a canary differs from the oracle, and in which it is beyond the bounds."""

    differs: Mask
    beyond: Mask
    beyond_loose: Mask

    @classmethod
    def nothing(cls, sets: int) -> Seen:
        """Nothing has been looked at."""
        return cls(
            differs=np.zeros(sets, bool), beyond=np.zeros(sets, bool), beyond_loose=np.zeros(sets, bool)
        )

    def plus(self, other: Seen) -> Seen:
        """With more elements of the same sets."""
        return Seen(
            differs=self.differs | other.differs,
            beyond=self.beyond | other.beyond,
            beyond_loose=self.beyond_loose | other.beyond_loose,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What has been seen of the canaries of one output in some sets; ``finite`` counts the elements of each."""

    finite: NDArray[np.intp]
    seen: Mapping[str, Seen]

    def plus(self, other: Look) -> Look:
        """Together with other elements of the same sets."""
        seen = {name: own.plus(other.seen[name]) for name, own in self.seen.items()}
        return Look(finite=self.finite + other.finite, seen=seen)


class Canaries:
    """The canaries of one case."""

    def __init__(
        self,
        case: Case,
        inputs: Inputs,
        own: Partition,
        bounds: Mapping[Output, Bound],
        scales: Mapping[Output, Scale],
        each: Each = map,
    ) -> None:
        self.case, self.inputs, self.bounds, self.scales = case, inputs, bounds, scales
        self._others = {
            name: Other(case, inputs, partition, each)
            for name, partition in other_partitions(case, inputs.x.shape, own)
        }
        self._has_weight = Output.GRAD_WEIGHT in case.outputs

    def look(self, part: Part) -> dict[Output, Look]:
        """The outputs of the shape of x, in one tile."""
        with np.errstate(all="ignore"):
            return {
                output: Look(
                    finite=np.isfinite(truth.value).sum(axis=1),
                    seen={
                        name: self._seen(output, make, part.tile, truth) for name, make in self._of(output)
                    },
                )
                for output, truth in part.truths.items()
            }

    def weight_sums(self) -> dict[str, Gathered]:
        """What the other methods' gradients of the weight are to be added to."""
        if not self._has_weight:
            return {}
        shape = tuple(self.inputs.x.shape[axis] for axis in self.inputs.parameter_axes)
        precise = self.case.dtype == "float64"
        return {name: Gathered(shape, precise=precise) for name in self._others}

    def add(self, tile: Tile, sums: Mapping[str, Gathered]) -> None:
        """Add what a tile contributes."""
        with np.errstate(all="ignore"):
            for name, gathered in sums.items():
                product = self._others[name].value(Output.GRAD_WEIGHT, tile)
                gathered.add(summand(tile, self.inputs.parameter_axes, product))

    def look_whole(self, output: Output, truth: Truth, sums: Mapping[str, Gathered]) -> Look:
        """A parameter's gradient or a running statistic, of which each element is a set."""
        canaries: dict[str, Real] = {"all-zero output": np.zeros_like(truth.value)}
        unchanged = {
            Output.RUNNING_MEAN: self.inputs.running_mean,
            Output.RUNNING_VAR: self.inputs.running_var,
        }.get(output)
        if unchanged is not None:
            canaries["its input unchanged"] = unchanged.astype(np.float64)
        if output is Output.GRAD_WEIGHT:
            canaries |= {name: gathered.value for name, gathered in sums.items()}
        with np.errstate(all="ignore"):
            return Look(
                finite=np.isfinite(truth.value).reshape(-1).astype(np.intp),
                seen={
                    n: self._compared(output, value, truth, by_rows=False) for n, value in canaries.items()
                },
            )

    def _of(self, output: Output) -> Iterator[tuple[str, Callable[[Tile], Real]]]:
        """The canaries of an output of the shape of x, each as what gives a tile of it."""
        yield "all-zero output", lambda tile: np.zeros(tile.size)
        yield "its input unchanged", self.inputs.x_of if output is Output.Y else self.inputs.grad_y_of
        for name, other in self._others.items():
            yield name, lambda tile, other=other: other.value(output, tile)  # type: ignore[misc]

    def _seen(self, output: Output, make: Callable[[Tile], Real], tile: Tile, truth: Truth) -> Seen:
        """A sample of each set first; all of it where that does not settle every set."""
        found = Seen.nothing(tile.size[0])
        if tile.size[1] > 2 * SAMPLE:
            thin, columns = tile.thinned(SAMPLE)
            found = self._compared(output, make(thin), truth.at(np.s_[:, columns]), by_rows=True)
        if not (found.differs & found.beyond_loose).all():
            found = found.plus(self._compared(output, make(tile), truth, by_rows=True))
        return found

    def _compared(self, output: Output, canary: Real, truth: Truth, *, by_rows: bool) -> Seen:
        difference = high(canary) - truth.value
        if truth.tail is not None:
            tail = low(canary)
            difference += -truth.tail if tail is None else tail - truth.tail
        np.abs(difference, out=difference)
        differs = np.asarray(difference > CLAIM * truth.claimed_error())
        bound = self.bounds[output]
        beta = self.scales[output].beta(difference, truth.value, truth.cond, truth.cond2)

        def of_sets(mask: Mask) -> Mask:
            return np.asarray(mask.any(axis=1)) if by_rows else mask.reshape(-1)

        return Seen(
            differs=of_sets(differs),
            beyond=of_sets(differs & np.asarray(beta > bound.allowed)),
            beyond_loose=of_sets(differs & np.asarray(beta > max(bound.allowed, bound.loose))),
        )


def power(looks: Iterable[Look]) -> Power:
    """The power of a case for one output, from looks at all of its sets."""
    finite = decided = loosely = 0
    missed: str | None = None
    missed_loosely: str | None = None
    for look in looks:
        tight = np.ones(len(look.finite), bool)
        loose = tight.copy()
        for name, seen in look.seen.items():
            through, through_loosely = seen.differs & ~seen.beyond, seen.differs & ~seen.beyond_loose
            tight &= ~through
            loose &= ~through_loosely
            missed = name if missed is None and through.any() else missed
            missed_loosely = name if missed_loosely is None and through_loosely.any() else missed_loosely
        finite += int(look.finite.sum())
        decided += int(look.finite[tight].sum())
        loosely += int(look.finite[loose].sum())
    return Power(
        finite=finite,
        decided=decided,
        decided_loosely=loosely,
        missed=missed,
        missed_loosely=missed_loosely,
    )
