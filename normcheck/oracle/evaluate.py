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

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.dtype import DType
from normcheck.methods import Partition
from normcheck.methods.tiles import Block, Tile, blocks
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.gradients import Incoming, through_given, through_own, times
from normcheck.oracle.inputs import Inputs, prepared
from normcheck.oracle.parameters import Summand, gathered, reshaped, summand
from normcheck.oracle.state import given, stored, trained_mean, trained_var
from normcheck.oracle.statistics import (
    Array,
    Given,
    Moments,
    Own,
    Piece,
    Real,
    Running,
    Standardized,
    exponents,
    high,
    low,
    moments,
    own_statistics,
    stacked,
    where,
)
from normcheck.oracle.truth import Truth

Floats = NDArray[np.floating]
STATE = (Output.RUNNING_MEAN, Output.RUNNING_VAR)
PER_ELEMENT = (Output.Y, Output.GRAD_X)
BY_PARAMETER = (Output.GRAD_WEIGHT, Output.GRAD_BIAS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A tile of x with the outputs that have its shape, as (sets, elements)."""

    tile: Tile
    truths: Mapping[Output, Truth]


@dataclass(slots=True, kw_only=True)
class Evaluated:
    """A block of statistic sets: its :class:`Part`\\ s, and what it adds to the outputs that have another shape.

    ``sums`` are complete once the parts have been gone through.
    """

    block: Block
    moments: Moments | None
    parts: Iterator[Part]
    sums: Mapping[Output, list[Summand]]
    plain: Evaluated | None = None  # in float64 alone, where an input is not finite


class Oracle:
    """The outputs of one layer with the statistic sets of ``partition``; NaN and ±Inf poison their own set.

    ``precise`` works in double-double, for float64 inputs. ``running`` normalizes with the running
    statistics instead of the sets' own, as in eval mode. The running statistics are those after ``steps``
    training steps with ``momentum`` (None: one, or none where they are only used).
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
    ) -> None:
        self.inputs, self.outputs, self.partition = inputs, tuple(outputs), partition
        self.blocks = blocks(partition)
        self.n = 1 if running else partition.max_n
        self.unit = 2.0**-104 if precise else 2.0**-53
        self._eps, self._precise, self._running, self._momentum = eps, precise, running, momentum
        self._sums = DType.FLOAT64 if precise else DType.FLOAT32  # in which the candidates accumulate
        self._trained = int(not running) if steps is None else steps
        self._weight = inputs.broadcast(inputs.weight, 1.0)
        self._bias = inputs.broadcast(inputs.bias, 0.0)
        self._state: Mapping[Output, Running] = {}
        self._plain: Oracle | None = None
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
            )
        if running:
            with np.errstate(all="ignore"):
                state = self._trained_state(None)
            if self._plain is not None:
                plain = self._plain._state
                state = {o: replace(s, value=_known(s.value, high(plain[o].value))) for o, s in state.items()}
            held = {o: stored(value, inputs.state_dtype) for o, value in state.items()}
            self._state = held if self._trained else state

    def evaluate(self, block: Block) -> Evaluated:
        """One block; any number of them can be evaluated at the same time."""
        sums: dict[Output, list[Summand]] = {o: [] for o in BY_PARAMETER if o in self.outputs}
        if self._running:
            mean, var = (self._state[o].for_sets(block.start, block.stop) for o in STATE)
            with np.errstate(all="ignore"):
                given = Given.of(mean, var, self._eps, tiny=self._sums.tiny)
            parts = self._parts(block, given, self._raw_piece, sums)
            found = Evaluated(block=block, moments=None, parts=parts, sums=sums)
        else:
            own, piece = self._own(block)
            tracks = any(output.is_state for output in self.outputs)
            batch = moments(own, lambda: map(piece, block.tiles), block.n) if tracks else None
            parts = self._parts(block, own, piece, sums)
            found = Evaluated(block=block, moments=batch, parts=parts, sums=sums)
        if self._plain is not None:
            found.plain = self._plain.evaluate(block)
            found.parts = self._poisoned_parts(found.parts, found.plain.parts)
        return found

    def totals(self, evaluated: Sequence[Evaluated]) -> dict[Output, Truth]:
        """The outputs that do not have the shape of x, from all blocks in their order."""
        with np.errstate(all="ignore"):
            found = {
                output: self._gathered(output, [s for each in evaluated for s in each.sums[output]])
                for output in BY_PARAMETER
                if output in self.outputs
            }
            if any(output.is_state for output in self.outputs):
                state = self._trained_state([each.moments for each in evaluated if each.moments is not None])
                found |= {output: self._of_state(state[output]) for output in self.outputs if output.is_state}
        if self._plain is None:
            return found
        plain = self._plain.totals([each.plain for each in evaluated if each.plain is not None])
        return {output: _poisoned(truth, plain[output]) for output, truth in found.items()}

    def _own(self, block: Block) -> tuple[Own, Callable[[Tile], Piece]]:
        """The statistics of a block's sets, and what makes a piece of a tile."""
        single = len(block.tiles) == 1
        with np.errstate(all="ignore"):
            raw = [self.inputs.x_of(block.tiles[0])] if single else []
            sets = block.stop - block.start
            exponent = np.zeros((sets, 1), dtype=np.int_)
            if self._precise:
                exponent = exponents(raw or map(self.inputs.x_of, block.tiles), self._eps)

            def scaled(tile: Tile) -> Piece:
                x = raw[0] if single else self.inputs.x_of(tile)
                x = np.ldexp(x, -exponent) if self._precise else x
                return Piece(x, precise=self._precise, keep=single)

            known = [scaled(block.tiles[0])] if single else []

            def piece(tile: Tile) -> Piece:
                return known[0] if single else scaled(tile)

            own = own_statistics(
                lambda: map(piece, block.tiles),
                block.n,
                self._eps,
                exponent=exponent,
                tiny=self._sums.tiny,
                unit=self._sums.unit_roundoff,
            )
        return own, piece

    def _raw_piece(self, tile: Tile) -> Piece:
        return Piece(self.inputs.x_of(tile), precise=self._precise, keep=False)

    def _parts(
        self,
        block: Block,
        statistics: Own | Given,
        piece: Callable[[Tile], Piece],
        sums: Mapping[Output, list[Summand]],
    ) -> Iterator[Part]:
        def with_h(tile: Tile) -> tuple[Standardized, Real]:
            return statistics.standardize(piece(tile)), self._h(tile)

        incoming: Incoming | None = None
        if Output.GRAD_X in self.outputs and isinstance(statistics, Own):
            with np.errstate(all="ignore"):
                incoming = Incoming.of(lambda: map(with_h, block.tiles), block.n)
        for tile in block.tiles:
            with np.errstate(all="ignore"):
                x = statistics.standardize(piece(tile))
                truths = {}
                if Output.Y in self.outputs:
                    truths[Output.Y] = self._y(tile, x)
                if Output.GRAD_X in self.outputs:
                    truths[Output.GRAD_X] = self._grad_x(tile, statistics, incoming, x)
                for output, summands in sums.items():
                    summands.append(self._summand(output, tile, x))
            yield Part(tile=tile, truths=truths)

    @staticmethod
    def _poisoned_parts(parts: Iterator[Part], plain: Iterator[Part]) -> Iterator[Part]:
        for part, other in zip(parts, plain, strict=True):
            truths = {output: _poisoned(truth, other.truths[output]) for output, truth in part.truths.items()}
            yield replace(part, truths=truths)

    def _h(self, tile: Tile) -> Real:
        """h: the incoming gradient times the weight."""
        g = self.inputs.grad_y_of(tile)
        weight = tile.cut(np.broadcast_to(self._weight, tile.shape))
        return times(DoubleDouble(g), weight) if self._precise else g * weight

    def _y(self, tile: Tile, x: Standardized) -> Truth:
        weight = tile.cut(np.broadcast_to(self._weight, tile.shape))
        bias = tile.cut(np.broadcast_to(self._bias, tile.shape))
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
            return summand(tile, axes, DoubleDouble(g) if self._precise else g, size, None)
        return summand(tile, axes, times(x.x_hat, g), size * (x.e + x.magnitude), size * x.e2)

    def _gathered(self, output: Output, summands: Sequence[Summand]) -> Truth:
        x = self.inputs.x
        shape = tuple(x.shape[axis] for axis in self.inputs.parameter_axes)
        rows = x.size // math.prod(shape)
        n = max(self.n if output is Output.GRAD_WEIGHT else 1, rows)
        return self._made(*gathered(summands, shape, precise=self._precise), n)

    def _of_state(self, state: Running) -> Truth:
        value = reshaped(state.value, (-1,))
        n = self.partition.buckets[0].n
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
            batch = [self._moments(block) for block in self.blocks]
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

    def _moments(self, block: Block) -> Moments:
        own, piece = self._own(block)
        return moments(own, lambda: map(piece, block.tiles), block.n)

    def _made(self, value: Real, cond: Array, cond2: Array, n: int) -> Truth:
        shape = high(value).shape
        cond, cond2 = np.broadcast_to(cond + self._sums.tiny, shape), np.broadcast_to(cond2, shape)
        return Truth(value=high(value), tail=low(value), cond=cond, cond2=cond2, n=n, unit=self.unit)


def evaluate(
    inputs: Inputs,
    outputs: Iterable[Output],
    *,
    eps: float,
    partition: Partition,
    precise: bool,
    momentum: float | None = None,
    running: bool = False,
    steps: int | None = None,
) -> dict[Output, Truth]:
    """All of ``outputs`` as whole arrays; see :class:`Oracle`."""
    oracle = Oracle(
        inputs,
        outputs,
        eps=eps,
        partition=partition,
        precise=precise,
        momentum=momentum,
        running=running,
        steps=steps,
    )
    return _whole(oracle)


def truths_of(case: Case, arrays: Mapping[str, Floats]) -> dict[Output, Truth]:
    """What the oracle says of each output of ``case``, as whole arrays."""
    return _whole(oracle_of(case, arrays))


def oracle_of(case: Case, arrays: Mapping[str, Floats]) -> Oracle:
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
    )


def _whole(oracle: Oracle) -> dict[Output, Truth]:
    evaluated: list[Evaluated] = []
    parts: list[Part] = []
    for block in oracle.blocks:
        each = oracle.evaluate(block)
        parts += each.parts
        evaluated.append(each)
    found = oracle.totals(evaluated)
    shape = oracle.partition.shape
    for output in PER_ELEMENT:
        if output in oracle.outputs:
            names = ("value", "tail", "cond", "cond2")
            precise = oracle.unit < 2.0**-53
            arrays = {name: np.empty(shape) for name in names if name != "tail" or precise}
            for part, name in itertools.product(parts, arrays):
                part.tile.paste(getattr(part.truths[output], name), arrays[name])
            found[output] = Truth(
                value=arrays["value"],
                tail=arrays.get("tail"),
                cond=arrays["cond"],
                cond2=arrays["cond2"],
                n=oracle.n,
                unit=oracle.unit,
            )
    return {output: found[output] for output in oracle.outputs}


def _poisoned(truth: Truth, plain: Truth) -> Truth:
    assert truth.tail is not None  # noqa: S101 (it was computed in double-double)
    known = np.isfinite(plain.value)
    value, tail = np.where(known, truth.value, plain.value), np.where(known, truth.tail, 0.0)
    return replace(truth, value=value, tail=tail)


def _known(a: Real, plain: Array) -> Real:
    """``a`` where ``plain`` is finite, ``plain`` elsewhere."""
    return where(np.isfinite(plain), a, plain)
