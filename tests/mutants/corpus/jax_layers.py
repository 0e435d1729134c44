"""JAX: what flax does by default, and derivatives that are stopped."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from normalization import Normalization, honest, mean, variance


def jitted(layer: Normalization):
    """``layer`` as one program; everything but the arrays is fixed when it is traced."""

    def run(x, weight, bias, *, eps: float, channel_axis: int = 1, **params):
        arrays = {name: params.pop(name) for name in ("running_mean", "running_var") if name in params}

        @jax.jit
        def program(x, weight, bias, arrays):
            return layer(x, weight, bias, eps=eps, channel_axis=channel_axis, **params, **arrays)

        return program(x, weight, bias, arrays)

    if not layer.instance:
        run.of_instances = jitted(layer.of_instances)
    return run


def fast(rows, centre):
    """E[x²] - E[x]², clipped: flax's default (use_fast_variance=True)."""
    return jnp.maximum(mean(rows**2) - centre**2, 0)


fast_variance = jitted(honest.but(variance=fast))
variance_stopped = jitted(honest.but(variance=lambda *rows: jax.lax.stop_gradient(variance(*rows))))
mean_stopped = jitted(honest.but(mean=lambda rows: jax.lax.stop_gradient(mean(rows))))
plain = jitted(honest)
library_variance = jitted(
    honest.but(
        mean=lambda rows: jnp.mean(rows, axis=-1, keepdims=True),
        variance=lambda rows, _: jnp.var(rows, axis=-1, keepdims=True),
        inverse_root=lambda var, eps: jax.lax.rsqrt(var + eps),
    )
)
ones_contracted = jitted(
    honest.but(mean=lambda rows: (rows @ jnp.full(rows.shape[1], 1.0, rows.dtype))[:, None] / rows.shape[1])
)
