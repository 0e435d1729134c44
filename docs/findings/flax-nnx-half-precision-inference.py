"""flax 0.12.8: nnx.BatchNorm rounds its float32 running statistics to half precision before it uses them.

nnx rounds the statistics and the parameters to the layer's dtype, and computes in it what linen.BatchNorm, with
the same dtype, computes in float32 and rounds once.

    python docs/findings/flax-nnx-half-precision-inference.py
"""

import flax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

print(f"flax {flax.__version__}")
random = np.random.default_rng(0)
mean, var = np.full(4, 100.3, np.float32), np.full(4, 1.7, np.float32)
x = jnp.asarray(random.standard_normal((64, 4)) + 100, jnp.bfloat16)
exact = (np.asarray(x, np.float64) - mean) / np.sqrt(var + 1e-5)
old = linen.BatchNorm(
    use_running_average=True, use_scale=False, use_bias=False, epsilon=1e-5, dtype=jnp.bfloat16
)
new = nnx.BatchNorm(
    4,
    use_running_average=True,
    use_scale=False,
    use_bias=False,
    epsilon=1e-5,
    dtype=jnp.bfloat16,
    rngs=nnx.Rngs(0),
)
new.mean[...], new.var[...] = jnp.asarray(mean), jnp.asarray(var)
found = {
    "linen": old.apply({"batch_stats": {"mean": mean, "var": var}}, x),
    "nnx": new(x),
    "rounded once": jnp.asarray(exact, jnp.bfloat16),
}
for name, y in found.items():
    print(f"{name}: off by up to {np.abs(np.asarray(y, np.float64) - exact).max():.2g}")
