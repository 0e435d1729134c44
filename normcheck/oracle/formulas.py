"""What each output of a tile is, with its condition numbers.

    y = weight·x̂ + bias                    cond = |weight|·(e + |x̂|) + |bias|       cond₂ = |weight|·e₂

With g = dL/dy:

    grad_weight = Σ g·x̂                    cond = Σ|g|·(e + |x̂|)                    cond₂ = Σ|g|·e₂
    grad_bias   = Σ g                      cond = Σ|g|

grad_x is that of :mod:`normcheck.oracle.gradients`, the running statistics are those of
:mod:`normcheck.oracle.state`. The axes of a
parameter's sum are those it broadcasts over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Output
from normcheck.dtype import DType
from normcheck.methods.tiles import Tile
from normcheck.oracle.cast import Cast
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.elements import Standardized
from normcheck.oracle.given import Given, Running
from normcheck.oracle.gradients import H, Incoming, h_of, through_given, through_own
from normcheck.oracle.inputs import Inputs, Weight
from normcheck.oracle.parameters import Summand, reshaped, summand
from normcheck.oracle.reals import Array, Real, high, low, overflown
from normcheck.oracle.statistics import Own
from normcheck.oracle.truth import Truth, probable_roundoffs
from normcheck.verdict import Excuse

Floats = NDArray[np.floating]
LARGEST = 2.0**1023


@dataclass(frozen=True, slots=True, kw_only=True)
class Formulas:
    """The outputs of a layer, from elements that have been standardized.

    ``stats`` is the dtype in which candidates hold statistics, ``n`` the largest count of elements summed for x̂.
    ``bias`` broadcasts to x; ``cast`` is None where nothing is rounded on the way. ``running`` is of eval mode.
    """

    inputs: Inputs
    weight: Weight
    bias: Array
    cast: Cast | None
    stats: DType
    n: int
    running: bool

    @property
    def unit(self) -> float:
        """The unit roundoff of the oracle itself."""
        return 2.0**-104 if self.precise else 2.0**-53

    @property
    def precise(self) -> bool:
        """True where values are in double-double."""
        return self.stats is DType.FLOAT64

    def h(self, tile: Tile) -> H:
        """What the gradient of x̂ is: grad_y times the weight."""
        h = h_of(self.inputs, self.weight, tile, precise=self.precise)
        return h if self.cast is None else replace(h, unknown=self.cast.beyond(h.magnitude))

    def y(self, tile: Tile, x: Standardized) -> Truth:
        """Y of the elements in ``x``."""
        weight = self.weight.at(tile)
        bias = self.inputs.cut(self.bias, tile)
        magnitude = np.abs(high(weight.value))
        cond = magnitude * (x.e + x.magnitude) + np.abs(bias)
        if weight.stored is not None:
            cond = cond + np.abs(weight.stored) * x.magnitude
        unknown = x.unknown if self.cast is None else self.cast.unknown_in_y(x, magnitude)
        scaled = x.x_hat * weight.value
        forgiven = None if self.cast is None else self.cast.of_y(high(scaled), magnitude)
        value = overflown(scaled + bias, high(x.x_hat) * high(weight.value) + bias)
        return self.truth(value, *self._known(cond, magnitude * x.e2, unknown), self.n, forgiven)

    def sum(self, tile: Tile) -> Truth:
        """X and the residual."""
        total, size = self.inputs.sum_of(tile), self.inputs.size_of(tile)
        assert size is not None  # noqa: S101 (there is a residual)
        return self.truth(total if self.precise else total.hi, size, np.zeros(()), 1)

    def alone(self, tile: Tile, y: Truth) -> Truth:
        """Y of elements that are sets by themselves: x̂ is 0 whatever x is, so no other x explains an error.

        Code that computes x·s + (bias - mean·s) is off by as much as with an x of another size, all the same.
        """
        usual = probable_roundoffs(1) * self.stats.output_roundoff * y.cond
        cond = np.broadcast_to(np.abs(self.inputs.cut(self.bias, tile)) + self.stats.tiny, y.cond.shape)
        nothing = np.zeros_like(y.cond2)
        return replace(y, cond=cond, cond2=nothing, excused=usual, excuse=Excuse.ONE_ELEMENT)

    def grad_x(
        self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized
    ) -> Truth:
        """The gradient of x, through the sets' own statistics or past those that are given."""
        h = self.h(tile)
        if isinstance(statistics, Given):
            forgiven = None if self.cast is None else self.cast.of_grad_x_given(statistics, h)
            value, cond, cond2, unknown = through_given(statistics, h)
            return self.truth(value, *self._known(cond, cond2, unknown), self.n, forgiven)
        assert incoming is not None  # noqa: S101 (computed where grad_x is an output)
        forgiven = None if self.cast is None else self.cast.of_grad_x(statistics, incoming, x, h)
        return self.truth(*through_own(statistics, incoming, x, h), self.n, forgiven)

    def _known(
        self, cond: Array, cond2: Array, unknown: Array | None = None, terms: int = 1
    ) -> tuple[Array, Array]:
        """Conditions, infinite where there is no value that can be decided, which ``unknown`` says, and nowhere else.

        Those of the largest x, or of as many ``terms``, leave the range of float64 where statistics are given; with the
        sets' own they are not as large as x.
        """
        if self.running:
            cond, cond2 = (np.minimum(each, LARGEST / terms) for each in (cond, cond2))
        return (cond if unknown is None else cond + unknown), cond2

    def summand(self, output: Output, tile: Tile, x: Standardized) -> Summand:
        """What this tile adds to a parameter's gradient."""
        g = self.inputs.grad_y_of(tile)
        size, axes = np.abs(g), self.inputs.axes_of(self.parameter_of(output))
        if output is Output.GRAD_BIAS:
            return summand(tile, axes, DoubleDouble(g) if self.precise else g, size)
        forgiven = None if self.cast is None else self.cast.of_product(size, x)
        cond = size * (x.e + x.magnitude)
        unknown = x.unknown if self.cast is None else self.cast.unknown_in_product(size, x)
        cond, cond2 = self._known(cond, size * x.e2, unknown, self.terms(output))
        return summand(tile, axes, x.x_hat * g, cond, cond2, forgiven)

    def state(self, state: Running) -> Truth:
        """A running statistic, as it is returned."""
        value = reshaped(state.value, (-1,))
        n = self.terms(Output.RUNNING_MEAN)
        found = self.truth(value, state.cond.reshape(-1), state.cond2.reshape(-1), n)
        if state.unsettled is not None and state.unsettled.any():
            found = replace(found, unsettled=state.unsettled.reshape(-1))
        if state.excused is None:
            return found
        return replace(found, excused=state.excused.reshape(-1), excuse=Excuse.HALF_STATE)

    def terms(self, output: Output) -> int:
        """The largest count of elements summed for ``output``."""
        if output.is_state:
            return samples_of(self.inputs)
        if output is Output.SUM:
            return 1
        if output.is_elementwise:
            return self.n
        rows = self.inputs.x.size // self.parameter_of(output).size
        return max(self.n if output is Output.GRAD_WEIGHT else 1, rows)

    def parameter_of(self, gradient: Output) -> Floats:
        """The parameter whose gradient an output is."""
        found = self.inputs.weight if gradient is Output.GRAD_WEIGHT else self.inputs.bias
        assert found is not None  # noqa: S101 (it has a gradient)
        return found

    def truth(self, value: Real, cond: Array, cond2: Array, n: int, forgiven: Array | None = None) -> Truth:
        """A value with its conditions, to which what may underflow is added."""
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


def samples_of(inputs: Inputs) -> int:
    """The count of elements that running statistics sum of a batch: of all samples, which instance norm averages."""
    assert inputs.running_mean is not None  # noqa: S101 (they have been updated)
    return inputs.x.size // inputs.running_mean.size
