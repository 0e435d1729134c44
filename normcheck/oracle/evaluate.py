"""Every output of a normalization layer in twice the working precision, with condition numbers.

    y = weight·x̂ + bias                    cond = |weight|·(e + |x̂|) + |bias|       cond₂ = |weight|·e₂

With g = dL/dy, h = g·weight, and M the mean over the statistic set:

    grad_x      = r·(h - M(h) - x̂·M(h·x̂))     or r·h with running statistics
    grad_weight = Σ g·x̂                         cond = Σ|g|·(e + |x̂|)               cond₂ = Σ|g|·e₂
    grad_bias   = Σ g                           cond = Σ|g|

and those of grad_x in :func:`_grad_x`, of running statistics in :mod:`normcheck.oracle.state`. To each a ``tiny``
is added for what may underflow. The axes of a parameter's sum are those it broadcasts over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.dtype import DType
from normcheck.methods import Partition, parameter_axes, partition_of
from normcheck.methods.partition import join, split
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.state import given, stored, trained_mean, trained_var
from normcheck.oracle.statistics import (
    Array,
    Real,
    Running,
    Standardized,
    average,
    high,
    ldexp,
    low,
    mean,
    standardize,
    standardize_with,
    total,
)
from normcheck.oracle.truth import Truth

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a case computes from: arrays in its dtypes, or None where it has none.

    ``weight`` and ``bias`` have the shape of ``parameter_axes`` of x. ``running_mean`` and ``running_var``,
    of shape (C,), are there for batch norm only, ``grad_y``, of the shape of x, for gradients only.
    """

    x: Floats
    weight: Floats | None = None
    bias: Floats | None = None
    running_mean: Floats | None = None
    running_var: Floats | None = None
    grad_y: Floats | None = None
    parameter_axes: tuple[int, ...] = (1,)

    def broadcast(self, parameter: Floats | None, default: float) -> Array:
        """A parameter in float64, of a shape that broadcasts against x; ``default`` where there is none."""
        if parameter is None:
            return np.full((1,) * self.x.ndim, default)
        sizes = dict(zip(self.parameter_axes, parameter.shape, strict=True))
        return parameter.astype(np.float64).reshape([sizes.get(axis, 1) for axis in range(self.x.ndim)])


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
    """Compute ``outputs`` with the statistic sets of ``partition``; NaN and ±Inf poison their own set.

    ``precise`` works in double-double, for float64 inputs. ``running`` normalizes with the running
    statistics instead of the sets' own, as in eval mode. The running statistics are those after ``steps``
    training steps with ``momentum`` (None: one, or none where they are only used).
    """
    with np.errstate(all="ignore"):  # non-finite numbers are answers here, not accidents
        x = inputs.x.astype(np.float64)
        sums = DType.FLOAT64 if precise else DType.FLOAT32  # in which they are accumulated
        tiny, unit = sums.tiny, sums.unit_roundoff
        rows = split(x, partition)
        blocks = [standardize(block, eps, precise=precise, tiny=tiny, unit=unit) for block in rows]
        trained = int(not running) if steps is None else steps
        state = _state(inputs, blocks, momentum, trained, precise)
        if running and trained:
            state = {output: stored(value, _held(inputs)) for output, value in state.items()}
        if running:
            centre, spread = (
                state[o].for_sets(len(rows[0])) for o in (Output.RUNNING_MEAN, Output.RUNNING_VAR)
            )
            blocks = [standardize_with(block, centre, spread, eps, tiny=tiny) for block in rows]
        layer = _Layer(inputs, partition, blocks, state, 1 if running else partition.max_n, precise, tiny)
        truths = {output: layer.truth(output) for output in outputs}
    if precise and not np.isfinite(x).all():
        plain = evaluate(
            inputs,
            truths,
            eps=eps,
            partition=partition,
            precise=False,
            momentum=momentum,
            running=running,
            steps=steps,
        )
        truths = {output: _poisoned(truth, plain[output]) for output, truth in truths.items()}
    return truths


def truths_of(case: Case, arrays: Mapping[str, Floats]) -> dict[Output, Truth]:
    """What the oracle says of each output of ``case``."""
    inputs, own = prepared(case, arrays)
    return evaluate(
        inputs,
        case.outputs,
        eps=case.params.eps,
        partition=own,
        precise=case.dtype is DType.FLOAT64,
        momentum=case.params.momentum,
        running=case.uses_running,
        steps=case.steps,
    )


def prepared(case: Case, arrays: Mapping[str, Floats]) -> tuple[Inputs, Partition]:
    """The inputs of a case as the oracle takes them, and its statistic sets."""
    shape = arrays["x"].shape
    axes = parameter_axes(case.method, shape, case.params)
    return Inputs(**arrays, parameter_axes=axes), partition_of(case.method, shape, case.params)


def _poisoned(truth: Truth, plain: Truth) -> Truth:
    """``truth``, infinite where float64 alone says so: the error-free transformations make that NaN."""
    assert truth.tail is not None  # noqa: S101 (it was computed in double-double)
    known = np.isfinite(plain.value)
    value, tail = np.where(known, truth.value, plain.value), np.where(known, truth.tail, 0.0)
    return replace(truth, value=value, tail=tail)


def _state(
    inputs: Inputs, blocks: Sequence[Standardized], momentum: float | None, steps: int, precise: bool
) -> dict[Output, Running]:
    """The running statistics after the training steps; none for a method that has none."""
    if inputs.running_mean is None or inputs.running_var is None:
        return {}
    old_mean = given(inputs.running_mean, precise=precise)
    old_var = given(inputs.running_var, precise=precise)
    if momentum is None or steps == 0:
        return {Output.RUNNING_MEAN: old_mean, Output.RUNNING_VAR: old_var}
    (block,) = blocks  # of the methods that keep them, the partition is one block
    held = _held(inputs)
    return {
        Output.RUNNING_MEAN: trained_mean(old_mean, block, momentum, steps, held),
        Output.RUNNING_VAR: trained_var(old_var, block, momentum, steps, held),
    }


def _held(inputs: Inputs) -> DType:
    """The dtype in which the running statistics are stored."""
    assert inputs.running_mean is not None  # noqa: S101 (asked of layers that have them)
    return DType(inputs.running_mean.dtype.name)


class _Layer:
    """The outputs of one layer, computed when asked for; x̂ and its conditions in the layout of x."""

    def __init__(
        self,
        inputs: Inputs,
        partition: Partition,
        blocks: Sequence[Standardized],
        state: Mapping[Output, Running],
        n: int,
        precise: bool,
        tiny: float,
    ) -> None:
        self.inputs, self.partition, self.blocks, self.state = inputs, partition, blocks, state
        self.n, self.precise, self.tiny = n, precise, tiny
        self.weight = inputs.broadcast(inputs.weight, 1.0)
        self.bias = inputs.broadcast(inputs.bias, 0.0)
        self.x_hat = self._join([block.x_hat for block in blocks])
        self.e = join([block.e for block in blocks], partition)
        self.e2 = join([block.e2 for block in blocks], partition)

    def truth(self, output: Output) -> Truth:
        """One output."""
        if output.is_state:
            state = self.state[output]
            cond, cond2 = state.cond.reshape(-1), state.cond2.reshape(-1)
            return self._made(_reshaped(state.value, (-1,)), cond, cond2, self.blocks[0].x.shape[1])
        compute = {
            Output.Y: self._y,
            Output.GRAD_X: self._grad_x,
            Output.GRAD_WEIGHT: self._grad_weight,
            Output.GRAD_BIAS: self._grad_bias,
        }
        return compute[output]()

    def _y(self) -> Truth:
        magnitude = np.abs(self.weight)
        cond = magnitude * (self.e + np.abs(high(self.x_hat))) + np.abs(self.bias)
        return self._made(_times(self.x_hat, self.weight) + self.bias, cond, magnitude * self.e2, self.n)

    def _grad_x(self) -> Truth:
        shape = self.inputs.x.shape
        weights = split(np.broadcast_to(self.weight, shape), self.partition)
        parts = [
            _grad_x(block, g, w, precise=self.precise)
            for block, g, w in zip(self.blocks, split(self._g, self.partition), weights, strict=True)
        ]
        cond = join([part[1] for part in parts], self.partition)
        cond2 = join([part[2] for part in parts], self.partition)
        return self._made(self._join([part[0] for part in parts]), cond, cond2, self.n)

    def _grad_weight(self) -> Truth:
        g = np.abs(self._g)
        product = _times(self.x_hat, self._g)
        cond = total(self._by_parameter(g * (self.e + np.abs(high(self.x_hat)))))
        cond2 = total(self._by_parameter(g * self.e2))
        return self._summed(self._by_parameter(product), high(cond), high(cond2), self.n)

    def _grad_bias(self) -> Truth:
        g: Real = DoubleDouble(self._g) if self.precise else self._g
        cond = high(total(self._by_parameter(np.abs(self._g))))
        return self._summed(self._by_parameter(g), cond, np.zeros_like(cond), 1)

    @property
    def _g(self) -> Array:
        assert self.inputs.grad_y is not None  # noqa: S101 (a case with gradients has it)
        return self.inputs.grad_y.astype(np.float64)

    def _by_parameter(self, a: Real) -> Real:
        """One row for each element of a parameter: all that is summed for it."""
        if isinstance(a, DoubleDouble):
            return DoubleDouble(high(self._by_parameter(a.hi)), high(self._by_parameter(a.lo)))
        kept = self.inputs.parameter_axes
        others = tuple(axis for axis in range(a.ndim) if axis not in kept)
        rows = math.prod(a.shape[axis] for axis in kept)
        return np.ascontiguousarray(a.transpose(kept + others)).reshape(rows, -1)

    def _summed(self, rows: Real, cond: Array, cond2: Array, n: int) -> Truth:
        shape = tuple(self.inputs.x.shape[axis] for axis in self.inputs.parameter_axes)
        result = _reshaped(total(rows), shape)
        largest = max(n, high(rows).shape[1])
        return self._made(result, cond.reshape(shape), cond2.reshape(shape), largest)

    def _join(self, blocks: Sequence[Real]) -> Real:
        value: Array = join([high(block) for block in blocks], self.partition)
        tails = [tail for block in blocks if (tail := low(block)) is not None]
        return DoubleDouble(value, join(tails, self.partition)) if tails else value

    def _made(self, value: Real, cond: Array, cond2: Array, n: int) -> Truth:
        shape = high(value).shape
        cond, cond2 = np.broadcast_to(cond + self.tiny, shape), np.broadcast_to(cond2, shape)
        unit = 2.0**-104 if self.precise else 2.0**-53
        return Truth(value=high(value), tail=low(value), cond=cond, cond2=cond2, n=n, unit=unit)


def _grad_x(block: Standardized, g: Array, w: Array, *, precise: bool) -> tuple[Real, Array, Array]:
    """grad_x of one block, and its condition numbers:

    cond  = r·[2(|h| + M|h| + |x̂|·M|h·x̂|) + |M(h·x̂)|·e + |x̂|·M(|h|·e)] + |dx|·p
    cond₂ = r·[e·M(|h|·e) + p·(|M(h·x̂)|·e + |x̂|·M(|h|·e) + 2(|h| + M|h| + |x̂|·M|h·x̂|))] + 2|dx|·s
    """
    h: Real = _times(DoubleDouble(g), w) if precise else g * w
    r = block.reach
    h_magnitude, x_hat = np.abs(high(h)), np.abs(high(block.x_hat))
    if not block.own:
        dx = h * block.inverse_root
        magnitude = np.abs(high(dx))
        return dx, magnitude * (2.0 + block.p), magnitude * (1.0 + 2.0 * block.p + block.s)
    product = mean(h * block.x_hat)  # M(h·x̂)
    dx = (h - mean(h) - block.x_hat * product) * block.inverse_root
    magnitude = np.abs(high(dx))
    direct = 2.0 * (h_magnitude + average(h_magnitude) + x_hat * average(h_magnitude * x_hat))
    spread = average(h_magnitude * block.e)  # M(|h|·e)
    through = np.abs(high(product)) * block.e + x_hat * spread
    cond = r * (direct + through) + magnitude * block.p
    cond2 = r * (block.e * spread + block.p * (through + direct)) + 2.0 * magnitude * block.s
    back = -block.exponent  # r belongs to the scaled x
    return ldexp(dx, back), np.ldexp(cond, back), np.ldexp(cond2, back)


def _times(a: Real, b: Array) -> Real:
    """a·b; in double-double with b's exponent apart, so that the splitting in the product cannot overflow."""
    if not isinstance(a, DoubleDouble):
        return a * b
    fraction, exponent = np.frexp(b)
    return (a * fraction).ldexp(exponent)


def _reshaped(a: Real, shape: tuple[int, ...]) -> Real:
    return (
        DoubleDouble(a.hi.reshape(shape), a.lo.reshape(shape))
        if isinstance(a, DoubleDouble)
        else a.reshape(shape)
    )
