"""What x̂ rounded to a half precision before the affine step costs: the convention ``cast_then_affine``.

With u the unit roundoff of that dtype and η half its smallest number, beyond the rounding of the result itself:

    y            k·(u·|w·x̂| + η·|w| + η), k = 1, and one more for a bias, for then w·x̂ is rounded too, and for 1 + w
    grad_x       r·(|P|H + κ·|x̂|·M(H·|x̂|)) + η, H = u·|h| + η, as h = g·w is rounded; 2u for u with 1 + w
    grad_weight  Σ (2u·|g·x̂| + η·|g| + η), as x̂ and each product are rounded

Each u is u·(1 + 2u), for roundings of what has been rounded. M|x̂| is at most 1. Parameters are used as they are stored:
one of float32 promotes what it is applied to, and is not rounded itself.

x̂, w·x̂ with a bias, h and g·x̂ may overflow that dtype where the result does not, and an infinity, or NaN, is right; so
may be what an implementation gives that does not round them. There nothing can be decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from normcheck.conventions.catalogue import CastOrder, Convention, Weight
from normcheck.dtype import DType
from normcheck.oracle.elements import Standardized
from normcheck.oracle.given import Given
from normcheck.oracle.gradients import H, Incoming
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.reals import Array, high
from normcheck.oracle.statistics import Own


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What is forgiven for it, in absolute terms; ``bias``: there is one, ``offset``: the weight is 1 + w.

    x̂ may be off by ``roundoffs`` times its condition; ``largest`` is that number of the dtype.
    """

    unit: float
    half_subnormal: float
    largest: float
    roundoffs: float
    bias: bool
    offset: bool

    @classmethod
    def of(cls, inputs: Inputs, convention: Convention, *, bias: bool, roundoffs: float) -> Cast | None:
        """None where x̂ is not rounded first, or to the dtype of the sums."""
        dtype = DType(inputs.x.dtype.name)
        if convention.cast_order is CastOrder.AFFINE_THEN_CAST or not dtype.half:
            return None
        unit = dtype.output_roundoff
        return cls(
            unit=unit * (1.0 + 2.0 * unit),
            half_subnormal=0.5 * dtype.smallest_subnormal,
            largest=dtype.largest,
            roundoffs=roundoffs,
            bias=bias,
            offset=convention.weight is Weight.ONE_PLUS and inputs.weight is not None,
        )

    def rounded(self, x: Standardized) -> Standardized:
        """``x`` as what is rounded first, which may overflow."""
        return replace(x, unknown=self.beyond(self._size(x), x.unknown))

    def unknown_in_y(self, x: Standardized, weight: Array) -> Array | None:
        """Where w·x̂ may overflow before the bias is added, or x̂ itself is unknown."""
        return self.beyond(weight * self._size(x), x.unknown) if self.bias else x.unknown

    def unknown_in_product(self, size: Array, x: Standardized) -> Array | None:
        """Where g·x̂ may overflow, or x̂ itself is unknown; ``size`` is |g|."""
        return self.beyond(size * self._size(x), x.unknown)

    def beyond(self, size: Array, unknown: Array | None = None) -> Array:
        """Infinite where a number of this size may be infinite once it is rounded, or is ``unknown``; else 0."""
        found: Array = np.where(size * (1.0 + 2.0 * self.unit) >= self.largest, np.inf, 0.0)
        return found if unknown is None else found + unknown

    def _size(self, x: Standardized) -> Array:
        return x.magnitude + self.roundoffs * x.e

    def of_y(self, scaled: Array, weight: Array) -> Array:
        """Of y; ``scaled`` is w·x̂."""
        once: Array = self.unit * np.abs(scaled) + self.half_subnormal * (weight + 1.0)
        return (1.0 + self.bias + self.offset) * once

    def of_grad_x(self, own: Own, incoming: Incoming, x: Standardized, h: H) -> Array:
        """Of grad_x, with the sets' own statistics."""
        kappa = 1.0 if own.kappa is None else high(own.kappa)
        moved = self._of_h(h.size)
        if own.centre is not None:
            moved = moved + self._of_h(incoming.magnitude)
        moved = own.reach * (moved + kappa * x.magnitude * self._of_h(incoming.cross))
        found: Array = np.ldexp(moved, -own.exponent) + self.half_subnormal
        return found

    def of_grad_x_given(self, given: Given, h: H) -> Array:
        """Of grad_x, with running statistics."""
        return np.abs(high(given.inverse_root)) * self._of_h(h.size) + self.half_subnormal

    def of_product(self, size: Array, x: Standardized) -> Array:
        """Of what is summed for grad_weight, g·x̂; ``size`` is |g|."""
        return 2.0 * self.unit * (size * x.magnitude) + self.half_subnormal * (size + 1.0)

    def _of_h(self, size: Array) -> Array:
        """Of h, or of a mean of it."""
        return (1.0 + self.offset) * self.unit * size + self.half_subnormal
