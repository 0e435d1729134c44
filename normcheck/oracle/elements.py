"""The outputs of one tile, and what it adds to the gradients of the parameters.

    y = weight·x̂ + bias                    cond = |weight|·(e + |x̂|) + |bias|       cond₂ = |weight|·e₂
    sum = x + residual                     cond = |x| + |residual|

With g = dL/dy:

    grad_weight = Σ g·x̂                    cond = Σ|g|·(e + |x̂|)                    cond₂ = Σ|g|·e₂
    grad_bias   = Σ g                      cond = Σ|g|

A weight that is stored less 1 adds |weight - 1|·|x̂| to cond(y). grad_x is that of :mod:`normcheck.oracle.gradients`,
and so is grad_residual. To each condition a ``tiny`` is added for what may underflow.

Where x̂ is rounded to a half precision before the affine step, with the roundoff u and half the smallest subnormal η,
each of the k roundings of y (k = 1, and one for a bias, one for a weight that is stored less 1) is forgiven
u·|weight·x̂| + η·|weight| + η. On the way back h is rounded, and each product g·x̂:

    grad_x         r·(|P|H + κ|x̂|·M(H·|x̂|)),   H = u·|h| + η        grad_weight    Σ(2u·|g·x̂| + η·|g| + η)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from normcheck.case import Output
from normcheck.dtype import DType
from normcheck.methods.tiles import Tile
from normcheck.oracle.affine import Affine, times
from normcheck.oracle.double_double import DoubleDouble, two_sum
from normcheck.oracle.given import Given
from normcheck.oracle.gradients import Incoming, through_given, through_own
from normcheck.oracle.parameters import Summand, summand
from normcheck.oracle.parts import Part
from normcheck.oracle.reals import Array, Real, high, low
from normcheck.oracle.statistics import Own, Standardized
from normcheck.oracle.truth import Truth

BY_PARAMETER = (Output.GRAD_WEIGHT, Output.GRAD_BIAS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Makes truths: ``unit`` is the unit roundoff of the oracle, ``tiny`` what each condition has at least.

    With ``partial`` an infinite condition means that the element cannot be decided.
    """

    unit: float
    tiny: float
    partial: bool

    def truth(self, value: Real, cond: Array, cond2: Array, n: int, forgiven: Array | None = None) -> Truth:
        """One output, or a part of it."""
        leading = high(value)
        shape = leading.shape
        cond, cond2 = np.broadcast_to(cond + self.tiny, shape), np.broadcast_to(cond2, shape)
        undecided = None
        if self.partial:
            undecided = np.isinf(cond) & np.isfinite(leading)
            undecided = undecided if undecided.any() else None
        return Truth(
            value=leading,
            tail=low(value),
            cond=cond,
            cond2=cond2,
            n=n,
            unit=self.unit,
            forgiven=None if forgiven is None else np.broadcast_to(forgiven, shape),
            undecided=undecided,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Makes the parts of a layer; ``n`` is the number of elements in its largest statistic set.

    ``cast`` is the half precision to which x̂ is rounded before the affine step, None where it is not.
    """

    affine: Affine
    outputs: tuple[Output, ...]
    made: Made
    n: int
    precise: bool
    cast: DType | None

    def part(self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized) -> Part:
        """All outputs at ``tile``, whose x̂ is ``x``."""
        truths = {}
        if Output.Y in self.outputs:
            truths[Output.Y] = self._y(tile, x)
        if Output.SUM in self.outputs:
            truths[Output.SUM] = self._sum(tile)
        if Output.GRAD_X in self.outputs or Output.GRAD_RESIDUAL in self.outputs:
            gradient = self._grad_x(tile, statistics, incoming, x)
            truths |= {o: gradient for o in (Output.GRAD_X, Output.GRAD_RESIDUAL) if o in self.outputs}
        added = {o: self._summand(o, tile, x) for o in BY_PARAMETER if o in self.outputs}
        return Part(tile=tile, truths=truths, summands=added)

    def h_of(self, tile: Tile) -> tuple[Real, Array | None]:
        """H at ``tile``, and by how much it moves beyond twice its magnitude; None for not at all."""
        moved = self.affine.moved_of(tile)
        more = None if moved is None else np.abs(self.affine.inputs.grad_y_of(tile)) * moved
        return self.affine.h_of(tile, precise=self.precise), more

    def _y(self, tile: Tile, x: Standardized) -> Truth:
        moved, size, bias = (
            self.affine.moved_of(tile),
            np.abs(high(self.affine.weight_of(tile))),
            self._bias(tile),
        )
        cond = size * (x.e + x.magnitude) + bias
        if moved is not None:
            cond = cond + moved * x.magnitude
        if x.unknown is not None:
            cond = cond + x.unknown
        forgiven = None
        if self.cast is not None:
            u, eta = self.cast.output_roundoff, 0.5 * self.cast.smallest_subnormal
            forgiven = self._roundings * (size * (u * x.magnitude + eta) + eta) * (1.0 + 2.0 * u)
        return self.made.truth(self.affine.y_of(tile, x.x_hat), cond, size * x.e2, self.n, forgiven)

    def _bias(self, tile: Tile) -> Array:
        return np.abs(self.affine.bias_of(tile))

    @property
    def _roundings(self) -> int:
        """How many of the roundings of y are before the last one."""
        return 1 + self.affine.has_bias + (self.affine.stored is not None)

    def _sum(self, tile: Tile) -> Truth:
        a, b = self.affine.inputs.addends_of(tile)
        size = np.abs(a) + np.abs(b)
        value = DoubleDouble(*two_sum(a, b)) if self.precise else a + b
        return self.made.truth(value, size, np.zeros_like(size), 1)

    def _grad_x(
        self, tile: Tile, statistics: Own | Given, incoming: Incoming | None, x: Standardized
    ) -> Truth:
        h, more = self.h_of(tile)
        if isinstance(statistics, Given):
            found = through_given(statistics, h, more)
        else:
            assert incoming is not None  # noqa: S101 (computed where grad_x is an output)
            found = through_own(statistics, incoming, x, h, more)
        return self.made.truth(*found, self.n, self._forgiven(statistics, incoming, x, h))

    def _forgiven(
        self, statistics: Own | Given, incoming: Incoming | None, x: Standardized, h: Real
    ) -> Array | None:
        """What the roundings of h cost grad_x."""
        if self.cast is None:
            return None
        u, eta = self.cast.output_roundoff, 0.5 * self.cast.smallest_subnormal
        u = u * (1 + (self.affine.stored is not None)) * (1.0 + 2.0 * u)
        moved = u * np.abs(high(h)) + eta
        if isinstance(statistics, Given) or incoming is None:
            return np.abs(high(statistics.inverse_root)) * moved
        if statistics.mean is not None:
            moved = moved + (u * incoming.magnitude + eta)
        steepest = 1.0 if statistics.steepest is None else statistics.steepest
        moved = moved + x.magnitude * (u * incoming.cross + eta * steepest)  # M|x̂| is at most 1
        return np.ldexp(statistics.reach * moved, -statistics.exponent)

    def _summand(self, output: Output, tile: Tile, x: Standardized) -> Summand:
        inputs = self.affine.inputs
        g = inputs.grad_y_of(tile)
        size, axes = np.abs(g), inputs.summed_axes(output)
        if output is Output.GRAD_BIAS:
            return summand(tile, axes, DoubleDouble(g) if self.precise else g, size)
        cond = size * (x.e + x.magnitude)
        if x.unknown is not None:
            cond = cond + x.unknown
        found = summand(tile, axes, times(x.x_hat, g), cond, size * x.e2)
        if self.cast is None:
            return found
        u, eta = self.cast.output_roundoff, 0.5 * self.cast.smallest_subnormal
        forgiven = (2.0 * u * size * x.magnitude + eta * size + eta) * (1.0 + 2.0 * u)
        return replace(found, forgiven=high(summand(tile, axes, forgiven).value))
