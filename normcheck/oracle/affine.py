"""What x̂ is multiplied by and what is added in the end, as a convention has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normcheck.conventions import Convention
from normcheck.conventions.catalogue import Bias, Weight
from normcheck.methods.tiles import Tile
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.reals import Array, Real, high, low


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """Weight and bias of the inputs, of shapes that broadcast against x; where there is none they are 1 and 0.

    The weight is stored + ``offset``; ``stored`` is None where it is the weight itself.
    """

    inputs: Inputs
    weight: Real
    bias: Array
    stored: Array | None
    has_bias: bool

    @classmethod
    def of(cls, inputs: Inputs, convention: Convention, *, precise: bool) -> Affine:
        """Weight and bias in the precision of the oracle."""
        given = None if convention.weight is Weight.IGNORED else inputs.weight
        bias = None if convention.bias is Bias.IGNORED else inputs.bias
        weight: Real = inputs.broadcast(given, 1.0)
        stored: Array | None = None
        if given is not None and convention.weight is Weight.ONE_PLUS:
            stored = np.abs(high(weight))
            weight = DoubleDouble(high(weight)) + 1.0 if precise else 1.0 + high(weight)
        return cls(
            inputs=inputs,
            weight=weight,
            bias=inputs.broadcast(bias, 0.0),
            stored=stored,
            has_bias=bias is not None,
        )

    def weight_of(self, tile: Tile) -> Real:
        """The weight at ``tile``."""
        tail, leading = low(self.weight), self.inputs.cut(high(self.weight), tile)
        return leading if tail is None else DoubleDouble(leading, self.inputs.cut(tail, tile))

    def bias_of(self, tile: Tile) -> Array:
        """The bias at ``tile``."""
        return self.inputs.cut(self.bias, tile)

    def moved_of(self, tile: Tile) -> Array | None:
        """How far the weight moves at ``tile`` beyond its own magnitude, for a relative movement of what is stored.

        None where it is stored as it is: then it moves by its magnitude, which is counted with the rest.
        """
        return None if self.stored is None else self.inputs.cut(self.stored, tile)

    def h_of(self, tile: Tile, *, precise: bool) -> Real:
        """H at ``tile``: the incoming gradient times the weight."""
        g, weight = self.inputs.grad_y_of(tile), self.weight_of(tile)
        return times(DoubleDouble(g), weight) if precise else times(g, weight)

    def y_of(self, tile: Tile, x_hat: Real) -> Real:
        """Y at ``tile``."""
        return times(x_hat, self.weight_of(tile)) + self.bias_of(tile)


def times(a: Real, b: Real) -> Real:
    """a·b; in double-double with b's exponent apart, so that the splitting in the product cannot overflow."""
    if not isinstance(a, DoubleDouble):
        return a * b
    fraction, exponent = np.frexp(high(b))
    tail = low(b)
    scaled: Real = fraction if tail is None else DoubleDouble(fraction, np.ldexp(tail, -exponent))
    return (a * scaled).ldexp(exponent)
