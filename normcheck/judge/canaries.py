"""Can a case tell right from wrong at all? Results that are certainly wrong, judged as results are.

A PASS means something only where the same bound rejects all-zero output, the unchanged input, and the output of
another method. Each *set* must do so: a statistic set for y and grad_x, one element for parameters and
running statistics. A set is decided if each canary that differs from the oracle there is beyond the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.judge.array import Bound
from normcheck.judge.distance import AT_ONCE
from normcheck.judge.others import Other, other_sets
from normcheck.judge.scale import Scale
from normcheck.methods.tiles import Tile
from normcheck.oracle import Oracle, Truth
from normcheck.oracle.parameters import Gathered, reshaped, summand
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
class Look:
    """Some elements of some sets of one output. ``finite`` counts those of each set, (sets,).

    The masks (canaries, sets) tell in which sets each of the canaries ``names`` differs from the oracle, and in which
    it is beyond the bounds of PASS and of LOOSE.
    """

    names: tuple[str, ...]
    finite: NDArray[np.intp]
    differs: Mask
    beyond: Mask
    beyond_loose: Mask

    def plus(self, other: Look) -> Look:
        """Together with other elements of the same sets."""
        return Look(
            names=self.names,
            finite=self.finite + other.finite,
            differs=self.differs | other.differs,
            beyond=self.beyond | other.beyond,
            beyond_loose=self.beyond_loose | other.beyond_loose,
        )


class Canaries:
    """The canaries of one case."""

    def __init__(
        self,
        case: Case,
        oracle: Oracle,
        bounds: Mapping[Output, Bound],
        scales: Mapping[Output, Scale],
        each: Each = map,
    ) -> None:
        self.case, self.oracle, self.bounds, self.scales = case, oracle, bounds, scales
        self.inputs = oracle.inputs
        self._others = {
            name: Other(oracle, sets, each) for name, sets in other_sets(case, oracle.partition, oracle.rule)
        }
        self._has_weight = Output.GRAD_WEIGHT in case.outputs

    def look(self, part: Part) -> dict[Output, Look]:
        """The outputs of the shape of x, in one tile."""
        with np.errstate(all="ignore"):
            return {output: self._look(output, part.tile, truth) for output, truth in part.truths.items()}

    def _look(self, output: Output, tile: Tile, truth: Truth) -> Look:
        """A sample of each set first; all of it for canaries that this does not settle in every set."""
        names, makers = zip(*self._of(output), strict=True)
        sets = (len(names), tile.size[0])
        masks: list[Mask] = [np.zeros(sets, bool) for _ in range(3)]
        if tile.size[1] > 2 * SAMPLE:
            thin, columns = tile.thinned(SAMPLE)
            sample = [make(thin) for make in makers]
            some = self._compared(output, sample, truth.at(np.s_[:, columns]))
            masks = [np.asarray(mask.any(axis=2)) for mask in some]
        differs, _, beyond_loose = masks
        for number in np.flatnonzero(~(differs & beyond_loose).all(axis=1)):
            for mask, found in zip(masks, self._compared(output, [makers[number](tile)], truth), strict=True):
                mask[number] |= found[0].any(axis=1)
        finite = decidable(truth)
        counts = np.full(*tile.size) if finite.all() else finite.sum(axis=1)  # to add up is slower by far
        return self._looked(names, counts, masks)

    @staticmethod
    def _looked(names: tuple[str, ...], finite: NDArray[np.intp], masks: Sequence[Mask]) -> Look:
        differs, beyond, loose = masks
        return Look(names=names, finite=finite, differs=differs, beyond=beyond, beyond_loose=loose)

    def weight_sums(self) -> dict[str, Gathered]:
        """What the other methods' gradients of the weight are to be added to."""
        if not self._has_weight:
            return {}
        shape = self.oracle.formulas.parameter_of(Output.GRAD_WEIGHT).shape
        precise = self.oracle.precise
        return {name: Gathered(shape, precise=precise, conditions=False) for name in self._others}

    def add(self, tile: Tile, sums: Mapping[str, Gathered]) -> None:
        """Add what a tile contributes."""
        if not sums:
            return
        axes = self.inputs.axes_of(self.oracle.formulas.parameter_of(Output.GRAD_WEIGHT))
        with np.errstate(all="ignore"):
            for name, gathered in sums.items():
                product = self._others[name].value(Output.GRAD_WEIGHT, tile)
                gathered.add(summand(tile, axes, product))

    def looks_at_whole(self, output: Output, truth: Truth, sums: Mapping[str, Gathered]) -> Iterator[Look]:
        """A parameter's gradient or a running statistic, of which each element is a set, some elements at a time."""
        canaries: dict[str, Real] = {"all-zero output": np.zeros_like(truth.value)}
        unchanged = {
            Output.RUNNING_MEAN: self.inputs.running_mean,
            Output.RUNNING_VAR: self.inputs.running_var,
        }.get(output)
        if unchanged is not None:
            canaries["its input unchanged"] = unchanged.astype(np.float64)
        if output is Output.GRAD_WEIGHT:
            canaries |= {name: gathered.value for name, gathered in sums.items()}
        flat = truth.reshaped((-1,))
        values = [reshaped(each, (-1,)) for each in canaries.values()]
        for start in range(0, flat.value.size, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            part = flat.at(some)
            with np.errstate(all="ignore"):
                masks = self._compared(output, [value[some] for value in values], part)
            yield self._looked(tuple(canaries), decidable(part).astype(np.intp), masks)

    def _of(self, output: Output) -> Iterator[tuple[str, Callable[[Tile], Real]]]:
        """The canaries of an output of the shape of x, each as what gives a tile of it."""
        yield "all-zero output", lambda tile: np.zeros(tile.size)
        if output is Output.SUM:
            yield "x without the residual", lambda tile: tile.cut(self.inputs.x).astype(np.float64)
            return
        yield "its input unchanged", self.inputs.grad_y_of if output.is_gradient else self.inputs.x_of
        for name, other in self._others.items():
            yield name, lambda tile, other=other: other.value(output, tile)  # type: ignore[misc]

    def _compared(self, output: Output, canaries: Sequence[Real], truth: Truth) -> tuple[Mask, Mask, Mask]:
        """Where each canary differs from the oracle, and where it is beyond the bounds of PASS and of LOOSE."""
        difference = np.stack([np.broadcast_to(high(each), truth.value.shape) for each in canaries])
        difference -= truth.value
        if truth.tail is not None:
            nothing = np.zeros_like(truth.value)
            tails = [nothing if (tail := low(each)) is None else tail for each in canaries]
            difference += np.stack(tails) - truth.tail
        np.abs(difference, out=difference)
        bound = self.bounds[output]
        scale, about = self.scales[output], (truth.value, truth.cond, truth.cond2, truth.forgiven)
        beta = scale.beta(difference, *about)
        differs = np.asarray(difference > CLAIM * truth.claimed_error())
        beyond_loose = differs & np.asarray(beta > max(bound.allowed, bound.loose))
        if truth.excused is not None:
            beyond_loose &= scale.beta(difference - truth.excused, *about) > bound.allowed
        return differs, differs & np.asarray(beta > bound.allowed), beyond_loose


def decidable(truth: Truth) -> Mask:
    """The elements that a result can be right or wrong in: finite ones that are not undecided."""
    return np.asarray(np.isfinite(truth.value) & ~truth.undecided)


def power(looks: Iterable[Look]) -> Power:
    """The power of a case for one output, from looks at all of its sets."""
    finite = decided = loosely = 0
    missed: str | None = None
    missed_loosely: str | None = None
    for look in looks:
        through, loose = look.differs & ~look.beyond, look.differs & ~look.beyond_loose
        finite += int(look.finite.sum())
        decided += int(look.finite[~through.any(axis=0)].sum())
        loosely += int(look.finite[~loose.any(axis=0)].sum())
        missed = missed or _first(look.names, through)
        missed_loosely = missed_loosely or _first(look.names, loose)
    return Power(
        finite=finite,
        decided=decided,
        decided_loosely=loosely,
        missed=missed,
        missed_loosely=missed_loosely,
    )


def _first(names: Sequence[str], through: Mask) -> str | None:
    """The first canary that gets through in some set."""
    return next((name for name, sets in zip(names, through, strict=True) if sets.any()), None)
