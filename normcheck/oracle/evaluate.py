"""Every output of a normalization layer in twice the working precision, with condition numbers, block by block.

What each output is stands in :mod:`normcheck.oracle.formulas`. :class:`Oracle` needs little memory beyond the inputs;
:func:`normcheck.oracle.whole.evaluate` puts the blocks together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import PYTORCH, Bias, Convention
from normcheck.dtype import DType
from normcheck.methods import Partition, resolved
from normcheck.methods.tiles import TILE, Block, Tile, blocks
from normcheck.oracle.cast import Cast
from normcheck.oracle.elements import Piece, Standardized
from normcheck.oracle.formulas import Formulas, samples_of
from normcheck.oracle.given import Given, Running
from normcheck.oracle.gradients import Incoming, addends
from normcheck.oracle.inputs import Inputs, Weight, prepared
from normcheck.oracle.moments import Moments, moments
from normcheck.oracle.parts import Batch, Each, Evaluated, Part, Sums
from normcheck.oracle.pieces import Pieces, piece_of
from normcheck.oracle.reals import Array, Real, high, where
from normcheck.oracle.rule import Rule
from normcheck.oracle.state import UNTRAINED, Training, given, stored, trained
from normcheck.oracle.statistics import Own, own_statistics
from normcheck.oracle.truth import Truth, probable_roundoffs

Floats = NDArray[np.floating]
Item = TypeVar("Item")
T = TypeVar("T")
MOST_PREPARED = 2**18  # statistic sets, some 100 bytes each
STATE = (Output.RUNNING_MEAN, Output.RUNNING_VAR)
BY_PARAMETER = (Output.GRAD_WEIGHT, Output.GRAD_BIAS)


class Oracle:
    """The outputs of one layer with the statistic sets of ``partition``; NaN and ±Inf poison their own set.

    ``stats`` is the dtype in which the candidates hold statistics: for float64 the oracle works in double-double.
    ``running`` normalizes with the running statistics instead of the sets' own, as in eval mode. ``tile`` is the number
    of elements that are evaluated at once.
    """

    def __init__(
        self,
        inputs: Inputs,
        outputs: Iterable[Output],
        *,
        rule: Rule,
        partition: Partition,
        stats: DType,
        training: Training = UNTRAINED,
        convention: Convention = PYTORCH,
        running: bool = False,
        tile: int = TILE,
    ) -> None:
        self.inputs, self.outputs, self.partition = inputs, tuple(outputs), partition
        self.blocks = blocks(partition, tile)
        precise = stats is DType.FLOAT64
        self.rule = rule
        self.precise, self._running, self._training = precise, running, training
        self.stats = stats
        given = None if convention.bias is Bias.IGNORED else inputs.bias
        n = self._summed()
        self._cast = Cast.of(
            inputs,
            convention,
            bias=given is not None,
            roundoffs=probable_roundoffs(n) * stats.output_roundoff,
        )
        self.formulas = Formulas(
            inputs=inputs,
            weight=Weight(inputs, convention.weight, precise=precise),
            bias=inputs.broadcast(given, 0.0),
            cast=self._cast,
            stats=stats,
            n=n,
            running=running,
        )
        self._state: Mapping[Output, Running] = {}
        self._plain: Oracle | None = None
        self._prepared: Mapping[tuple[int, int], Evaluated] = {}
        self._offsets: list[float] = []
        if precise and not inputs.all_finite():
            # the error-free transformations make an infinity NaN: float64 alone says where one belongs
            self._plain = Oracle(
                inputs,
                self.outputs,
                rule=rule,
                partition=partition,
                stats=DType.FLOAT32,
                training=training,
                convention=convention,
                running=running,
                tile=tile,
            )
        if running:
            with np.errstate(all="ignore"):
                state = self._trained_state(None)
            if self._plain is not None:
                plain = self._plain._state
                state = {o: replace(s, value=_known(s.value, high(plain[o].value))) for o, s in state.items()}
            held = {o: stored(value, inputs.state_dtype, stats) for o, value in state.items()}
            self._state = held if training.sums else state

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
        alone = block.n == 1 and self.rule.centered and not self._running
        with np.errstate(all="ignore"):
            statistics: Own | Given
            incoming = batch = None
            if self._running:
                mean, var = (self._state[o].for_sets(block.start, block.stop) for o in STATE)
                roundoffs = probable_roundoffs(self.formulas.n) * self.stats.output_roundoff
                statistics = Given.of(mean, var, self.rule, tiny=self.stats.tiny, roundoffs=roundoffs)
                piece: Callable[[Tile], Piece] = self._piece
            else:
                pieces = self._pieces(block, each)
                statistics = own = self._own(pieces, block.n)
                self._offsets += own.offsets()
                piece = pieces.at
                batch = moments(own, pieces.over, block.n) if self._tracks else None
                if Output.GRAD_X in self.outputs:

                    def added(tile: Tile) -> tuple[Real, ...]:
                        return addends(own.standardize(piece(tile)), self.formulas.h(tile))

                    incoming = Incoming.of(each(added, block.tiles), block.n)
                if not hold:
                    pieces.drop()

        def part(tile: Tile) -> Part:
            with np.errstate(all="ignore"):
                x = statistics.standardize(piece(tile))
                within = alone and x.unknown is None
                x = x if self._cast is None else self._cast.rounded(x)
                found = self._part(tile, statistics, incoming, x, alone=within)
                return found if plain is None else found.poisoned_by(plain.part(tile))

        return Evaluated(block=block, part=part, moments=batch, plain=plain)

    @property
    def offset(self) -> float | None:
        """The largest |mean|/√(variance + eps) of the statistic sets that have been evaluated; None where no mean is
        taken away.
        """
        return max(self._offsets, default=None)

    def sums(self) -> Sums:
        """What parts are to be added to."""
        outputs = [output for output in BY_PARAMETER if output in self.outputs]
        shapes = {output: self.formulas.parameter_of(output).shape for output in outputs}
        return Sums(shapes, precise=self.precise, plain=self._plain is not None)

    def totals(self, batches: Sequence[Batch], sums: Sums) -> dict[Output, Truth]:
        """The outputs that do not have the shape of x, from all blocks in their order and the sums of all parts."""
        found = self._totals([batch for batch, _ in batches], sums)
        if self._plain is None:
            return found
        assert sums.plain is not None  # noqa: S101 (as there is a plain oracle)
        plain = self._plain._totals([batch for _, batch in batches], sums.plain)
        return {output: truth.poisoned_by(plain[output]) for output, truth in found.items()}

    def _totals(self, batch: Sequence[Moments | None], sums: Sums) -> dict[Output, Truth]:
        with np.errstate(all="ignore"):
            found = {
                output: self.formulas.truth(
                    gathered.value,
                    gathered.cond,
                    gathered.cond2,
                    self.formulas.terms(output),
                    gathered.forgiven,
                )
                for output, gathered in sums.gathered.items()
            }
            if self._tracks:
                state = self._trained_state([each for each in batch if each is not None])
                found |= {output: self.formulas.state(state[output]) for output in STATE}
        return found

    def _summed(self) -> int:
        """The largest count of elements summed for x̂: running statistics have in them what they were trained on."""
        if not self._running:
            return self.partition.max_n
        return samples_of(self.inputs) if self._training.sums else 1

    @property
    def _tracks(self) -> bool:
        return any(output.is_state for output in self.outputs)

    def _piece(self, tile: Tile) -> Piece:
        return piece_of(self.inputs, tile, None, precise=self.precise)

    def _pieces(self, block: Block, each: Each) -> Pieces:
        sets = block.stop - block.start
        return Pieces(self.inputs, block.tiles, sets, self.rule, each, precise=self.precise)

    def _own(self, pieces: Pieces, n: int) -> Own:
        return own_statistics(
            pieces.over,
            n,
            self.rule,
            exponent=pieces.exponent,
            tiny=self.stats.tiny,
            unit=self.stats.output_roundoff,
        )

    def _part(
        self,
        tile: Tile,
        statistics: Own | Given,
        incoming: Incoming | None,
        x: Standardized,
        *,
        alone: bool,
    ) -> Part:
        truths, formulas = {}, self.formulas
        if Output.Y in self.outputs:
            y = formulas.y(tile, x)
            truths[Output.Y] = formulas.alone(tile, y) if alone else y
        if Output.SUM in self.outputs:
            truths[Output.SUM] = formulas.sum(tile)
        if Output.GRAD_X in self.outputs:
            truths[Output.GRAD_X] = formulas.grad_x(tile, statistics, incoming, x)
        if Output.GRAD_RESIDUAL in self.outputs:
            truths[Output.GRAD_RESIDUAL] = truths[Output.GRAD_X]
        added = {o: formulas.summand(o, tile, x) for o in BY_PARAMETER if o in self.outputs}
        return Part(tile=tile, truths=truths, summands=added)

    def _trained_state(self, batch: Sequence[Moments] | None) -> dict[Output, Running]:
        """The running statistics after the training steps on the batch; None: whose moments are still to be had."""
        inputs = self.inputs
        assert inputs.running_mean is not None  # noqa: S101 (a layer that has them)
        assert inputs.running_var is not None  # noqa: S101
        old_mean = given(inputs.running_mean, precise=self.precise)
        old_var = given(inputs.running_var, precise=self.precise)
        training = self._training
        if not training.sums:
            return {Output.RUNNING_MEAN: old_mean, Output.RUNNING_VAR: old_var}
        if batch is None:
            batch = []
            for block in self.blocks:
                pieces = self._pieces(block, map)
                batch.append(moments(self._own(pieces, block.n), pieces.over, block.n))
        return trained(
            old_mean, old_var, Moments.together(batch), training, held=inputs.state_dtype, stats=self.stats
        )


def oracle_of(case: Case, arrays: Mapping[str, Floats], tile: int = TILE) -> Oracle:
    """The oracle of ``case``, by its convention."""
    inputs, own = prepared(case, arrays)
    convention = resolved(case.method, case.dtype, case.convention)
    assert convention.stats_dtype is not None  # noqa: S101 (it has been filled in)
    return Oracle(
        inputs,
        case.outputs,
        rule=Rule.of(case.params.eps, convention),
        partition=own,
        stats=convention.stats_dtype,
        training=Training.of(case, convention),
        convention=convention,
        running=case.uses_running,
        tile=tile,
    )


def _known(a: Real, plain: Array) -> Real:
    """``a`` where ``plain`` is finite, ``plain`` elsewhere."""
    return where(np.isfinite(plain), a, plain)
