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

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.dtype import DType
from normcheck.methods import Partition
from normcheck.methods.tiles import TILE, Block, Tile, blocks
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.gradients import Incoming, addends, h_of, through_given, through_own, times
from normcheck.oracle.inputs import Inputs, prepared
from normcheck.oracle.parameters import Summand, reshaped, summand
from normcheck.oracle.parts import Batch, Each, Evaluated, Part, Sums
from normcheck.oracle.pieces import Pieces
from normcheck.oracle.reals import Array, Real, high, low, stacked, where
from normcheck.oracle.state import given, stored, trained_mean, trained_var
from normcheck.oracle.statistics import (
    Given,
    Moments,
    Own,
    Piece,
    Running,
    Standardized,
    moments,
    own_statistics,
)
from normcheck.oracle.truth import Truth

Floats = NDArray[np.floating]
Item = TypeVar("Item")
T = TypeVar("T")
MOST_PREPARED = 2**18  # statistic sets, some 100 bytes each
STATE = (Output.RUNNING_MEAN, Output.RUNNING_VAR)
PER_ELEMENT = (Output.Y, Output.GRAD_X)
BY_PARAMETER = (Output.GRAD_WEIGHT, Output.GRAD_BIAS)


class Oracle:
    """The outputs of one layer with the statistic sets of ``partition``; NaN and ±Inf poison their own set.

    ``precise`` works in double-double, for float64 inputs. ``running`` normalizes with the running
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
        momentum: float | None = None,
        running: bool = False,
        steps: int | None = None,
        tile: int = TILE,
    ) -> None:
        self.inputs, self.outputs, self.partition = inputs, tuple(outputs), partition
        self.blocks = blocks(partition, tile)
        self.n = 1 if running else partition.max_n
        self.unit = 2.0**-104 if precise else 2.0**-53
        self._eps, self._precise, self._running, self._momentum = eps, precise, running, momentum
        self._sums = DType.FLOAT64 if precise else DType.FLOAT32  # in which the candidates accumulate
        self._trained = int(not running) if steps is None else steps
        self._weight = inputs.broadcast(inputs.weight, 1.0)
        self._bias = inputs.broadcast(inputs.bias, 0.0)
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
            held = {o: stored(value, inputs.state_dtype) for o, value in state.items()}
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
                statistics = Given.of(mean, var, self._eps, tiny=self._sums.tiny)
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
                found = self._part(tile, statistics, incoming, statistics.standardize(piece(tile)))
                return found if plain is None else _poisoned_part(found, plain.part(tile))

        return Evaluated(block=block, part=part, moments=batch, plain=plain)

    def sums(self) -> Sums:
        """What parts are to be added to."""
        outputs = [output for output in BY_PARAMETER if output in self.outputs]
        return Sums(outputs, self._parameter_shape, precise=self._precise, plain=self._plain is not None)

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
                output: self._made(gathered.value, gathered.cond, gathered.cond2, self.terms(output))
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
        if output in PER_ELEMENT:
            return self.n
        rows = self.inputs.x.size // math.prod(self._parameter_shape)
        return max(self.n if output is Output.GRAD_WEIGHT else 1, rows)

    @property
    def _parameter_shape(self) -> tuple[int, ...]:
        return tuple(self.inputs.x.shape[axis] for axis in self.inputs.parameter_axes)

    @property
    def _tracks(self) -> bool:
        return any(output.is_state for output in self.outputs)

    def _piece(self, tile: Tile) -> Piece:
        return Piece(self.inputs.x_of(tile), precise=self._precise, keep=False)

    def _pieces(self, block: Block, each: Each) -> Pieces:
        sets = block.stop - block.start
        return Pieces(self.inputs, block.tiles, sets, self._eps, each, precise=self._precise)

    def _own(self, pieces: Pieces, n: int) -> Own:
        sums = self._sums
        return own_statistics(
            pieces.over, n, self._eps, exponent=pieces.exponent, tiny=sums.tiny, unit=sums.unit_roundoff
        )

    def _part(self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized) -> Part:
        truths = {}
        if Output.Y in self.outputs:
            truths[Output.Y] = self._y(tile, x)
        if Output.GRAD_X in self.outputs:
            truths[Output.GRAD_X] = self._grad_x(tile, statistics, incoming, x)
        added = {o: self._summand(o, tile, x) for o in BY_PARAMETER if o in self.outputs}
        return Part(tile=tile, truths=truths, summands=added)

    def _h(self, tile: Tile) -> Real:
        return h_of(self.inputs, self._weight, tile, precise=self._precise)

    def _y(self, tile: Tile, x: Standardized) -> Truth:
        weight = self.inputs.cut(self._weight, tile)
        bias = self.inputs.cut(self._bias, tile)
        magnitude = np.abs(weight)
        cond = magnitude * (x.e + x.magnitude) + np.abs(bias)
        return self._made(times(x.x_hat, weight) + bias, cond, magnitude * x.e2, self.n)

    def _grad_x(
        self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized
    ) -> Truth:
        h = self._h(tile)
        if isinstance(statistics, Given):
            return self._made(*through_given(statistics, h), self.n)
        assert incoming is not None  # noqa: S101 (computed where grad_x is an output)
        return self._made(*through_own(statistics, incoming, x, h), self.n)

    def _summand(self, output: Output, tile: Tile, x: Standardized) -> Summand:
        g = self.inputs.grad_y_of(tile)
        size, axes = np.abs(g), self.inputs.parameter_axes
        if output is Output.GRAD_BIAS:
            return summand(tile, axes, DoubleDouble(g) if self._precise else g, size)
        return summand(tile, axes, times(x.x_hat, g), size * (x.e + x.magnitude), size * x.e2)

    def _of_state(self, state: Running) -> Truth:
        value = reshaped(state.value, (-1,))
        n = self.terms(Output.RUNNING_MEAN)
        return self._made(value, state.cond.reshape(-1), state.cond2.reshape(-1), n)

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
        how = (self._momentum, self._trained, inputs.state_dtype)
        return {
            Output.RUNNING_MEAN: trained_mean(old_mean, whole, *how),
            Output.RUNNING_VAR: trained_var(old_var, whole, *how),
        }

    def _made(self, value: Real, cond: Array, cond2: Array, n: int) -> Truth:
        shape = high(value).shape
        cond, cond2 = np.broadcast_to(cond + self._sums.tiny, shape), np.broadcast_to(cond2, shape)
        return Truth(value=high(value), tail=low(value), cond=cond, cond2=cond2, n=n, unit=self.unit)


def oracle_of(case: Case, arrays: Mapping[str, Floats], tile: int = TILE) -> Oracle:
    """The oracle of ``case``."""
    inputs, own = prepared(case, arrays)
    return Oracle(
        inputs,
        case.outputs,
        eps=case.params.eps,
        partition=own,
        precise=case.dtype is DType.FLOAT64,
        momentum=case.params.momentum,
        running=case.uses_running,
        steps=case.steps,
        tile=tile,
    )


def _poisoned_part(part: Part, plain: Part) -> Part:
    truths = {output: _poisoned(truth, plain.truths[output]) for output, truth in part.truths.items()}
    return replace(part, truths=truths, plain=plain)


def _poisoned(truth: Truth, plain: Truth) -> Truth:
    assert truth.tail is not None  # noqa: S101 (it was computed in double-double)
    known = np.isfinite(plain.value)
    value, tail = np.where(known, truth.value, plain.value), np.where(known, truth.tail, 0.0)
    return replace(truth, value=value, tail=tail)


def _known(a: Real, plain: Array) -> Real:
    """``a`` where ``plain`` is finite, ``plain`` elsewhere."""
    return where(np.isfinite(plain), a, plain)
