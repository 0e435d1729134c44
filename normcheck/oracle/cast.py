"""What x̂ rounded to a half precision before the affine step costs: the convention ``cast_then_affine``.

With u the unit roundoff of that dtype and η half its smallest number, beyond the rounding of the result itself:

    y            k·(u·|w·x̂| + η·|w| + η), k = 1, or 2 with a bias, for then w·x̂ is rounded too
    grad_x       u·r·(|P||h| + κ·|x̂|·M|h·x̂|) + η, as h = g·w is rounded
    grad_weight  Σ (2u·|g·x̂| + η), as x̂ and each product are rounded
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normcheck.conventions.catalogue import CastOrder, Convention
from normcheck.dtype import DType
from normcheck.oracle.gradients import H, Incoming
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.reals import Array, high
from normcheck.oracle.statistics import Given, Own, Standardized


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What is forgiven for it, in absolute terms; ``bias``: there is one."""

    unit: float
    half_subnormal: float
    bias: bool

    @classmethod
    def of(cls, inputs: Inputs, convention: Convention, *, bias: bool) -> Cast | None:
        """None where x̂ is not rounded first, or to the dtype of the sums."""
        dtype = DType(inputs.x.dtype.name)
        if convention.cast_order is CastOrder.AFFINE_THEN_CAST or not dtype.half:
            return None
        return cls(unit=dtype.output_roundoff, half_subnormal=0.5 * dtype.smallest_subnormal, bias=bias)

    def of_y(self, scaled: Array, weight: Array) -> Array:
        """Of y; ``scaled`` is w·x̂."""
        once: Array = self.unit * np.abs(scaled) + self.half_subnormal * (weight + 1.0)
        return 2.0 * once if self.bias else once

    def of_grad_x(self, own: Own, incoming: Incoming, x: Standardized, h: H) -> Array:
        """Of grad_x, with the sets' own statistics."""
        kappa = 1.0 if own.kappa is None else high(own.kappa)
        size = h.size + incoming.magnitude if own.centre is not None else h.size
        moved = own.reach * (size + kappa * x.magnitude * incoming.cross)
        return self.unit * np.ldexp(moved, -own.exponent) + self.half_subnormal

    def of_grad_x_given(self, given: Given, h: H) -> Array:
        """Of grad_x, with running statistics."""
        return self.unit * np.abs(high(given.inverse_root)) * h.size + self.half_subnormal

    def of_product(self, product: Array) -> Array:
        """Of what is summed for grad_weight, |g·x̂|."""
        return 2.0 * self.unit * product + self.half_subnormal
