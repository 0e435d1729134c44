"""Epsilon: another value, another place."""

from __future__ import annotations

import numpy as np
from normalization import Call, Normalization, honest, inverse_root, mean


def fixed(eps: float) -> Normalization:
    """A layer that takes no notice of the eps that it is given."""
    return honest.but(inverse_root=lambda var, _: inverse_root(var, eps))


def adjusted(eps_of_var):
    """A layer that makes another eps of the one that it is given."""
    return honest.but(inverse_root=lambda var, eps: inverse_root(var, eps_of_var(var, eps)))


eps_1e_3 = fixed(1e-3)
eps_1e_6 = fixed(1e-6)
eps_1e_7 = fixed(1e-7)
eps_1e_12 = fixed(1e-12)
eps_ignored = fixed(0.0)
eps_machine = adjusted(lambda var, _: np.finfo(var.dtype).eps)
eps_doubled = adjusted(lambda _, eps: 2 * eps)
eps_squared = adjusted(lambda _, eps: eps**2)
eps_at_least_1001e_8 = adjusted(lambda _, eps: max(eps, 1.001e-5))
eps_in_float16 = adjusted(lambda _, eps: float(np.float16(eps)))
eps_outside_root = honest.but(inverse_root=lambda var, eps: 1 / (np.sqrt(var) + eps))
eps_inside_and_outside = honest.but(inverse_root=lambda var, eps: 1 / (np.sqrt(var + eps) + eps))
eps_as_floor = honest.but(inverse_root=lambda var, eps: 1 / np.sqrt(np.maximum(var, eps)))
eps_negative = honest.but(inverse_root=lambda var, eps: 1 / np.sqrt(np.abs(var - eps)))


class ScaledEps(Normalization):
    """Adds eps after x was divided by its largest element: in effect eps·max|x|²."""

    def normalized(self, rows, eps):
        return super().normalized(rows, eps * np.square(rows).max())


class EpsOverN(Normalization):
    """Adds eps to the sum of squares, before it is divided by n."""

    def normalized(self, rows, eps):
        return super().normalized(rows, eps / rows.shape[1])


class ForgottenInInference(Normalization):
    """Has eps in training only."""

    def in_inference(self, x, call: Call):
        centre, var = (call.along(call.params[name]) for name in ("running_mean", "running_var"))
        return (x - centre) / np.sqrt(var)


eps_scaled_by_max = ScaledEps()
eps_over_n = EpsOverN()
eps_forgotten_in_inference = ForgottenInInference()
eps_in_the_mean = honest.but(mean=lambda rows: mean(rows) + 1e-5)
