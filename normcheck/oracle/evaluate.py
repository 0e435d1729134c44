"""Every output of a normalization layer in twice the working precision, with condition numbers.

    y = weight·x̂ + bias                    cond = |weight|·(e + |x̂|) + |bias|       cond₂ = |weight|·e₂

With g = dL/dy:

    grad_weight = Σ g·x̂                    cond = Σ|g|·(e + |x̂|)                    cond₂ = Σ|g|·e₂
    grad_bias   = Σ g                      cond = Σ|g|

grad_x is that of :mod:`normcheck.oracle.gradients`, the running statistics are those of
:mod:`normcheck.oracle.state`. To each condition a ``tiny`` is added for what may underflow. The axes of a
parameter's sum are those it broadcasts over.

:class:`Oracle` goes through the inputs block by block, so that it needs little memory beyond them; :func:`evaluate`
puts the blocks together.
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
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.elements import Piece, Standardized
from normcheck.oracle.given import Given, Running
from normcheck.oracle.gradients import H, Incoming, addends, h_of, through_given, through_own
from normcheck.oracle.inputs import Inputs, Weight, prepared
from normcheck.oracle.moments import Moments, moments
from normcheck.oracle.parameters import Summand, reshaped, summand
from normcheck.oracle.parts import Batch, Each, Evaluated, Part, Sums
from normcheck.oracle.pieces import Pieces, piece_of
from normcheck.oracle.reals import Array, Real, high, low, overflown, where
from normcheck.oracle.rule import Rule
from normcheck.oracle.state import UNTRAINED, Training, given, stored, trained
from normcheck.oracle.statistics import Own, own_statistics
from normcheck.oracle.truth import Truth, probable_roundoffs
from normcheck.verdict import Excuse

Floats = NDArray[np.floating]
Item = TypeVar("Item")
T = TypeVar("T")
LARGEST = 2.0**1023
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
        self.unit = 2.0**-104 if precise else 2.0**-53
        self.rule = rule
        self.precise, self._running, self._training = precise, running, training
        self.stats = stats
        self.n = self._summed()
        self.weight = Weight(inputs, convention.weight, precise=precise)
        given = None if convention.bias is Bias.IGNORED else inputs.bias
        self.bias = inputs.broadcast(given, 0.0)
        self._cast = Cast.of(
            inputs,
            convention,
            bias=given is not None,
            roundoffs=probable_roundoffs(self.n) * stats.output_roundoff,
        )
        self._state: Mapping[Output, Running] = {}
        self._plain: Oracle | None = None
        self._prepared: Mapping[tuple[int, int], Evaluated] = {}
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
                roundoffs = probable_roundoffs(self.n) * self.stats.output_roundoff
                statistics = Given.of(mean, var, self.rule, tiny=self.stats.tiny, roundoffs=roundoffs)
                piece: Callable[[Tile], Piece] = self._piece
            else:
                pieces = self._pieces(block, each)
                statistics = own = self._own(pieces, block.n)
                piece = pieces.at
                batch = moments(own, pieces.over, block.n) if self._tracks else None
                if Output.GRAD_X in self.outputs:

                    def added(tile: Tile) -> tuple[Real, ...]:
                        return addends(own.standardize(piece(tile)), self._h(tile))

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

    def sums(self) -> Sums:
        """What parts are to be added to."""
        outputs = [output for output in BY_PARAMETER if output in self.outputs]
        shapes = {output: self.parameter_of(output).shape for output in outputs}
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
                output: self._made(
                    gathered.value,
                    gathered.cond,
                    gathered.cond2,
                    self.terms(output),
                    gathered.forgiven,
                )
                for output, gathered in sums.gathered.items()
            }
            if self._tracks:
                state = self._trained_state([each for each in batch if each is not None])
                found |= {output: self._of_state(state[output]) for output in STATE}
        return found

    def terms(self, output: Output) -> int:
        """The largest count of elements summed for ``output``."""
        if output.is_state:  # of all samples: what instance norm takes of each is averaged
            assert self.inputs.running_mean is not None  # noqa: S101 (it has been updated)
            return self.inputs.x.size // self.inputs.running_mean.size
        if output is Output.SUM:
            return 1
        if output.is_elementwise:
            return self.n
        rows = self.inputs.x.size // self.parameter_of(output).size
        return max(self.n if output is Output.GRAD_WEIGHT else 1, rows)

    def _summed(self) -> int:
        """The largest count of elements summed for x̂: running statistics have in them what they were trained on."""
        if not self._running:
            return self.partition.max_n
        return self.terms(Output.RUNNING_VAR) if self._training.sums else 1

    def parameter_of(self, gradient: Output) -> Floats:
        """The parameter whose gradient an output is."""
        found = self.inputs.weight if gradient is Output.GRAD_WEIGHT else self.inputs.bias
        assert found is not None  # noqa: S101 (it has a gradient)
        return found

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
        truths = {}
        if Output.Y in self.outputs:
            y = self._y(tile, x)
            truths[Output.Y] = self._alone(tile, y) if alone else y
        if Output.SUM in self.outputs:
            total = self.inputs.sum_of(tile)
            size = self.inputs.size_of(tile)
            assert size is not None  # noqa: S101 (there is a residual)
            truths[Output.SUM] = self._made(total if self.precise else total.hi, size, np.zeros(()), 1)
        if Output.GRAD_X in self.outputs:
            truths[Output.GRAD_X] = self._grad_x(tile, statistics, incoming, x)
        if Output.GRAD_RESIDUAL in self.outputs:
            truths[Output.GRAD_RESIDUAL] = truths[Output.GRAD_X]
        added = {o: self._summand(o, tile, x) for o in BY_PARAMETER if o in self.outputs}
        return Part(tile=tile, truths=truths, summands=added)

    def _h(self, tile: Tile) -> H:
        h = h_of(self.inputs, self.weight, tile, precise=self.precise)
        return h if self._cast is None else replace(h, unknown=self._cast.beyond(h.magnitude))

    def _y(self, tile: Tile, x: Standardized) -> Truth:
        weight = self.weight.at(tile)
        bias = self.inputs.cut(self.bias, tile)
        magnitude = np.abs(high(weight.value))
        cond = magnitude * (x.e + x.magnitude) + np.abs(bias)
        if weight.stored is not None:
            cond = cond + np.abs(weight.stored) * x.magnitude
        unknown = x.unknown if self._cast is None else self._cast.unknown_in_y(x, magnitude)
        scaled = x.x_hat * weight.value
        forgiven = None if self._cast is None else self._cast.of_y(high(scaled), magnitude)
        value = overflown(scaled + bias, high(x.x_hat) * high(weight.value) + bias)
        return self._made(value, *self._known(cond, magnitude * x.e2, unknown), self.n, forgiven)

    def _alone(self, tile: Tile, y: Truth) -> Truth:
        """Y of elements that are sets by themselves: x̂ is 0 whatever x is, so no other x explains an error.

        Code that computes x·s + (bias - mean·s) is off by as much as with an x of another size, all the same.
        """
        usual = probable_roundoffs(1) * self.stats.output_roundoff * y.cond
        cond = np.broadcast_to(np.abs(self.inputs.cut(self.bias, tile)) + self.stats.tiny, y.cond.shape)
        nothing = np.zeros_like(y.cond2)
        return replace(y, cond=cond, cond2=nothing, excused=usual, excuse=Excuse.ONE_ELEMENT)

    def _grad_x(
        self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized
    ) -> Truth:
        h = self._h(tile)
        if isinstance(statistics, Given):
            forgiven = None if self._cast is None else self._cast.of_grad_x_given(statistics, h)
            value, cond, cond2, unknown = through_given(statistics, h)
            return self._made(value, *self._known(cond, cond2, unknown), self.n, forgiven)
        assert incoming is not None  # noqa: S101 (computed where grad_x is an output)
        forgiven = None if self._cast is None else self._cast.of_grad_x(statistics, incoming, x, h)
        return self._made(*through_own(statistics, incoming, x, h), self.n, forgiven)

    def _known(
        self, cond: Array, cond2: Array, unknown: Array | None = None, terms: int = 1
    ) -> tuple[Array, Array]:
        """Conditions, infinite where there is no value that can be decided, which ``unknown`` says, and nowhere else.

        Those of the largest x, or of as many ``terms``, leave the range of float64 where statistics are given; with the
        sets' own they are not as large as x.
        """
        if self._running:
            cond, cond2 = (np.minimum(each, LARGEST / terms) for each in (cond, cond2))
        return (cond if unknown is None else cond + unknown), cond2

    def _summand(self, output: Output, tile: Tile, x: Standardized) -> Summand:
        g = self.inputs.grad_y_of(tile)
        size, axes = np.abs(g), self.inputs.axes_of(self.parameter_of(output))
        if output is Output.GRAD_BIAS:
            return summand(tile, axes, DoubleDouble(g) if self.precise else g, size)
        forgiven = None if self._cast is None else self._cast.of_product(size, x)
        cond = size * (x.e + x.magnitude)
        unknown = x.unknown if self._cast is None else self._cast.unknown_in_product(size, x)
        cond, cond2 = self._known(cond, size * x.e2, unknown, self.terms(output))
        return summand(tile, axes, x.x_hat * g, cond, cond2, forgiven)

    def _of_state(self, state: Running) -> Truth:
        value = reshaped(state.value, (-1,))
        n = self.terms(Output.RUNNING_MEAN)
        found = self._made(value, state.cond.reshape(-1), state.cond2.reshape(-1), n)
        if state.unsettled is not None and state.unsettled.any():
            found = replace(found, unsettled=state.unsettled.reshape(-1))
        if state.excused is None:
            return found
        return replace(found, excused=state.excused.reshape(-1), excuse=Excuse.HALF_STATE)

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

    def _made(self, value: Real, cond: Array, cond2: Array, n: int, forgiven: Array | None = None) -> Truth:
        shape = high(value).shape
        cond, cond2 = np.broadcast_to(cond + self.stats.tiny, shape), np.broadcast_to(cond2, shape)
        return Truth(
            value=high(value),
            tail=low(value),
            cond=cond,
            cond2=cond2,
            forgiven=None if forgiven is None else np.broadcast_to(forgiven, shape),
            n=n,
            unit=self.unit,
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
