"""flax 0.12.8: in half precision the gradient of the input is rounded three times.

The layers convert x to float32 once for the statistics and once for x - mean. Each path's gradient is rounded to
x's dtype, and their sum again; converted once, x would have a gradient that is rounded once. linen and nnx do so.

    python docs/findings/flax-half-precision-input-gradient.py
"""

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

print(f"flax {flax.__version__}, jax {jax.__version__}")
random = np.random.default_rng(0)
x, g = (jnp.asarray(random.standard_normal((64, 32)), jnp.bfloat16) for _ in range(2))


def layer(dtype):
    return linen.LayerNorm(use_scale=False, use_bias=False, use_fast_variance=False, dtype=dtype)


def of_half(x):
    return (layer(jnp.bfloat16).apply({}, x).astype(jnp.float32) * g).sum()


def of_single(x):
    return (layer(jnp.float32).apply({}, x) * g).sum()


exact = np.asarray(jax.jit(jax.grad(of_single))(x.astype(jnp.float32)), np.float64)
rounded = jnp.asarray(exact, jnp.bfloat16)
for name, found in (("dtype=bfloat16", jax.jit(jax.grad(of_half))(x)), ("float32, rounded once", rounded)):
    print(f"{name}: off by up to {np.abs(np.asarray(found, np.float64) - exact).max():.2g}")
