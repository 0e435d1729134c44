"""haiku 0.0.17: in half precision the layers round mean and variance, and each step after them, to x's dtype.

float16's x² overflows from 256 on, so BatchNorm, whose variance is E[x²] - E[x]², has no variance there.

    python docs/findings/haiku-half-precision-statistics.py
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

print(f"haiku {hk.__version__}, jax {jax.__version__}")
layers = {
    "LayerNorm": lambda: hk.LayerNorm(-1, create_scale=False, create_offset=False, param_axis=-1),
    "GroupNorm": lambda: hk.GroupNorm(1, create_scale=False, create_offset=False),
    "BatchNorm": lambda: hk.BatchNorm(create_scale=False, create_offset=False, decay_rate=0.9),
}
random = np.random.default_rng(0)
for offset in (0, 10, 300):
    x = jnp.asarray(random.standard_normal((64, 32)) + offset, jnp.float16)
    for name, make in layers.items():
        more = (True,) if name == "BatchNorm" else ()
        norm = hk.transform_with_state(lambda x, make=make, more=more: make()(x, *more))
        y, _ = jax.jit(norm.apply)(*norm.init(None, x), None, x)
        wide = np.asarray(x, np.float64)
        axis = 0 if name == "BatchNorm" else 1
        exact = (wide - wide.mean(axis, keepdims=True)) / np.sqrt(wide.var(axis, keepdims=True) + 1e-5)
        once = np.abs(exact.astype(np.float16) - exact).max()
        error = np.abs(np.asarray(y, np.float64) - exact).max()
        print(f"{name}, offset {offset}: off by up to {error:.2g}, float32 rounded once by {once:.2g}")
