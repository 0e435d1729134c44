"""Every output of a normalization layer in twice the working precision, with condition numbers.

y and the parameters' gradients are those of :mod:`normcheck.oracle.elements`, grad_x is that of
:mod:`normcheck.oracle.gradients`, the running statistics are those of :mod:`normcheck.oracle.state`, all by the
conventions of the case. The axes of a parameter's sum are those it broadcasts over.

:class:`Oracle` goes through the inputs block by block, so that it needs little memory beyond them; :func:`evaluate`
puts the blocks together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, CastOrder, Momentum, RunningVar
from normcheck.dtype import DType
from normcheck.methods import Partition, resolved
from normcheck.methods.tiles import TILE, Block, Tile, blocks
from normcheck.oracle.affine import Affine
from normcheck.oracle.elements import BY_PARAMETER, Elements, Made
from normcheck.oracle.given import Given, Running
from normcheck.oracle.gradients import Incoming, addends
from normcheck.oracle.inputs import Inputs, prepared
from normcheck.oracle.moments import Moments, moments
from normcheck.oracle.parts import Batch, Each, Evaluated, Part, Sums
from normcheck.oracle.pieces import Pieces, piece_of
from normcheck.oracle.reals import Array, Real, high, reshaped, stacked, where
from normcheck.oracle.rule import Rule
from normcheck.oracle.state import Update, given, stored, trained_mean, trained_var
from normcheck.oracle.statistics import Own, Piece, own_statistics
from normcheck.oracle.truth import Truth

Floats = NDArray[np.floating]
Item = TypeVar("Item")
T = TypeVar("T")
MOST_PREPARED = 2**18  # statistic sets, some 100 bytes each
STATE = (Output.RUNNING_MEAN, Output.RUNNING_VAR)


class Oracle:
    """The outputs of one layer with the statistic sets of ``partition``; NaN and ±Inf poison their own set.

    ``precise`` works in double-double, for statistics in float64. ``convention`` is resolved; where it does not say,
    sets are centered, and statistics are in float64 or float32. ``running`` normalizes with the running
    statistics instead of the sets' own, as in eval mode. The running statistics are those after ``steps``
    training steps with ``momentum`` (None: one, or none where they are only used). ``tile`` is the number of
    elements that are evaluated at once.
    """

    def __init__(
        self,
        inputs: Inputs,
        outputs: Iterable[Output],
        *,
        eps: float,
        partition: Partition,
        precise: bool,
        convention: Convention = PYTORCH,
        momentum: float | None = None,
        running: bool = False,
        steps: int | None = None,
        tile: int = TILE,
    ) -> None:
        self.inputs, self.outputs, self.partition = inputs, tuple(outputs), partition
        self.blocks = blocks(partition, tile)
        self.n = 1 if running else partition.max_n
        self.unit = 2.0**-104 if precise else 2.0**-53
        self._rule, self._convention = Rule.of(eps, convention), convention
        self._precise, self._running, self._momentum = precise, running, momentum
        # in which the candidates hold their statistics
        self._sums = convention.stats_dtype or (DType.FLOAT64 if precise else DType.FLOAT32)
        self._trained = int(not running) if steps is None else steps
        dtype = DType(inputs.x.dtype.name)
        late = convention.cast_order is CastOrder.CAST_THEN_AFFINE and dtype.half
        tiny, partial = self._sums.output_tiny, not self._rule.decides_everything
        self._made = Made(unit=self.unit, tiny=tiny, partial=partial)
        self._elements = Elements(
            affine=Affine.of(inputs, convention, precise=precise),
            outputs=self.outputs,
            made=self._made,
            n=self.n,
            precise=precise,
            cast=dtype if late else None,
        )
        self._state: Mapping[Output, Running] = {}
        self._plain: Oracle | None = None
        self._prepared: Mapping[tuple[int, int], Evaluated] = {}
        if precise and not inputs.all_finite():
            # the error-free transformations make an infinity NaN: float64 alone says where one belongs
            self._plain = Oracle(
                inputs,
                self.outputs,
                eps=eps,
                partition=partition,
                precise=False,
                convention=convention,
                momentum=momentum,
                running=running,
                steps=steps,
                tile=tile,
            )
        if running:
            with np.errstate(all="ignore"):
                state = self._trained_state(None)
            if self._plain is not None:
                plain = self._plain._state
                state = {o: replace(s, value=_known(s.value, high(plain[o].value))) for o, s in state.items()}
            unit = self._sums.output_roundoff
            held = {o: stored(value, inputs.state_dtype, unit) for o, value in state.items()}
            self._state = held if self._trained else state

    def prepare(self, each: Each) -> None:
        """Compute the statistics of all blocks, where there are few enough sets to keep them."""
        if sum(block.stop - block.start for block in self.blocks) > MOST_PREPARED:
            return
        if len(self.blocks) > 1:
            found = list(each(lambda block: self._evaluate(block, map, hold=False), self.blocks))
        else:
            found = [self._evaluate(block, each, hold=False) for block in self.blocks]
        self._prepared = {(block.bucket, block.start): e for block, e in zip(self.blocks, found, strict=True)}

    def evaluate(self, block: Block, each: Each = map) -> Evaluated:
        """One block, going through its tiles with ``each``; any number of them can be evaluated at the same time."""
        return self._prepared.get((block.bucket, block.start)) or self._evaluate(block, each, hold=True)

    def _evaluate(self, block: Block, each: Each, *, hold: bool) -> Evaluated:
        """One block; with ``hold`` a tile that is all of it is held from the statistics to its part."""
        plain = None if self._plain is None else self._plain._evaluate(block, each, hold=hold)
        with np.errstate(all="ignore"):
            statistics: Own | Given
            incoming = batch = None
            if self._running:
                mean, var = (self._state[o].for_sets(block.start, block.stop) for o in STATE)
                sums = self._sums
                statistics = Given.of(mean, var, self._rule, tiny=sums.output_tiny, unit=sums.output_roundoff)
                piece: Callable[[Tile], Piece] = self._piece
            else:
                pieces = self._pieces(block, each)
                statistics = own = self._own(pieces, block.n)
                piece = pieces.at
                batch = moments(own, pieces.over, block.n) if self._tracks else None
                if not {Output.GRAD_X, Output.GRAD_RESIDUAL}.isdisjoint(self.outputs):

                    def added(tile: Tile) -> tuple[Real, ...]:
                        return addends(own.standardize(piece(tile)), *self._elements.h_of(tile))

                    incoming = Incoming.of(own, each(added, block.tiles), block.n)
                if not hold:
                    pieces.drop()

        def part(tile: Tile) -> Part:
            with np.errstate(all="ignore"):
                x = statistics.standardize(piece(tile))
                found = self._elements.part(tile, statistics, incoming, x)
                return found if plain is None else _poisoned_part(found, plain.part(tile))

        return Evaluated(block=block, part=part, moments=batch, plain=plain)

    def sums(self) -> Sums:
        """What parts are to be added to."""
        return Sums(
            {o: self.inputs.shape_of(o) for o in BY_PARAMETER if o in self.outputs},
            precise=self._precise,
            plain=self._plain is not None,
            forgiving=self._elements.cast is not None,
        )

    def totals(self, batches: Sequence[Batch], sums: Sums) -> dict[Output, Truth]:
        """The outputs that do not have the shape of x, from all blocks in their order and the sums of all parts."""
        found = self._totals([batch for batch, _ in batches], sums)
        if self._plain is None:
            return found
        assert sums.plain is not None  # noqa: S101 (as there is a plain oracle)
        plain = self._plain._totals([batch for _, batch in batches], sums.plain)
        return {output: _poisoned(truth, plain[output]) for output, truth in found.items()}

    def _totals(self, batch: Sequence[Moments | None], sums: Sums) -> dict[Output, Truth]:
        with np.errstate(all="ignore"):
            found = {
                output: self._made.truth(
                    gathered.value, gathered.cond, gathered.cond2, self.terms(output), gathered.forgiven
                )
                for output, gathered in sums.gathered.items()
            }
            if self._tracks:
                state = self._trained_state([each for each in batch if each is not None])
                found |= {output: self._of_state(state[output]) for output in STATE}
        return found

    def terms(self, output: Output) -> int:
        """The largest count of elements summed for ``output``."""
        if output.is_state:
            return self.partition.buckets[0].n
        if output.is_elementwise:
            return 1 if output is Output.SUM else self.n
        rows = self.inputs.x.size // math.prod(self.inputs.shape_of(output))
        return max(self.n if output is Output.GRAD_WEIGHT else 1, rows)

    @property
    def _tracks(self) -> bool:
        return any(output.is_state for output in self.outputs)

    def _piece(self, tile: Tile) -> Piece:
        return piece_of(self.inputs, tile, None, precise=self._precise, keep=False)

    def _pieces(self, block: Block, each: Each) -> Pieces:
        sets = block.stop - block.start
        return Pieces(self.inputs, block.tiles, sets, self._rule, each, precise=self._precise)

    def _own(self, pieces: Pieces, n: int) -> Own:
        sums = self._sums
        return own_statistics(
            pieces.over,
            n,
            self._rule,
            exponent=pieces.exponent,
            tiny=sums.output_tiny,
            unit=sums.output_roundoff,
        )

    def _of_state(self, state: Running) -> Truth:
        value = reshaped(state.value, (-1,))
        n = self.terms(Output.RUNNING_MEAN)
        return self._made.truth(value, state.cond.reshape(-1), state.cond2.reshape(-1), n)

    def _trained_state(self, batch: Sequence[Moments] | None) -> dict[Output, Running]:
        """The running statistics after the training steps on the batch; None: whose moments are still to be had."""
        inputs = self.inputs
        assert inputs.running_mean is not None  # noqa: S101 (a layer that has them)
        assert inputs.running_var is not None  # noqa: S101
        old_mean = given(inputs.running_mean, precise=self._precise)
        old_var = given(inputs.running_var, precise=self._precise)
        if self._momentum is None or self._trained == 0:
            return {Output.RUNNING_MEAN: old_mean, Output.RUNNING_VAR: old_var}
        if batch is None:
            batch = []
            for block in self.blocks:
                pieces = self._pieces(block, map)
                batch.append(moments(self._own(pieces, block.n), pieces.over, block.n))
        whole = Moments(
            n=batch[0].n,
            exponent=np.concatenate([each.exponent for each in batch]),
            mean=stacked([each.mean for each in batch]),
            variance=stacked([each.variance for each in batch]),
            magnitude=np.concatenate([each.magnitude for each in batch]),
            deviation=np.concatenate([each.deviation for each in batch]),
            square=np.concatenate([each.square for each in batch]),
        )
        update = Update(
            momentum=self._momentum,
            steps=self._trained,
            dtype=inputs.state_dtype,
            unit=self._sums.output_roundoff,
            of_old=self._convention.momentum is Momentum.OLD,
            biased=self._convention.running_var is RunningVar.BIASED,
        )
        return {
            Output.RUNNING_MEAN: trained_mean(old_mean, whole, update),
            Output.RUNNING_VAR: trained_var(old_var, whole, update),
        }


def oracle_of(case: Case, arrays: Mapping[str, Floats], tile: int = TILE) -> Oracle:
    """The oracle of ``case``, by its conventions."""
    inputs, own = prepared(case, arrays)
    convention = resolved(case.method, case.dtype, case.convention)
    return Oracle(
        inputs,
        case.outputs,
        eps=case.params.eps,
        partition=own,
        precise=convention.stats_dtype is DType.FLOAT64,
        convention=convention,
        momentum=case.params.momentum,
        running=case.uses_running,
        steps=case.steps,
        tile=tile,
    )


def statistics_dtype(case: Case) -> DType:
    """The dtype in which the statistics of ``case`` are held: its roundoff is the unit of backward errors."""
    found = resolved(case.method, case.dtype, case.convention).stats_dtype
    assert found is not None  # noqa: S101 (a resolved convention has one)
    return found


def _poisoned_part(part: Part, plain: Part) -> Part:
    truths = {output: _poisoned(truth, plain.truths[output]) for output, truth in part.truths.items()}
    return replace(part, truths=truths, plain=plain)


def _poisoned(truth: Truth, plain: Truth) -> Truth:
    assert truth.tail is not None  # noqa: S101 (it was computed in double-double)
    # not centered, a set with an infinity is exactly 0 elsewhere, of which the error-free transformations make NaN
    known = np.isfinite(plain.value) & ~np.isnan(truth.value)
    value, tail = np.where(known, truth.value, plain.value), np.where(known, truth.tail, 0.0)
    return replace(truth, value=value, tail=tail)


def _known(a: Real, plain: Array) -> Real:
    """``a`` where ``plain`` is finite, ``plain`` elsewhere."""
    return where(np.isfinite(plain), a, plain)
