"""jax 0.10.2, CPU: lax.rsqrt's derivative underflows to 0 for arguments from about 1e25 on.

It is -½·rsqrt(v)/v, below the smallest normal float32 where v^(-3/2) is. Layers that normalize with it (flax's,
haiku's, equinox's LayerNorm and GroupNorm) lose the part of the gradient that comes through the variance.

    python docs/findings/jax-rsqrt-gradient-of-large-numbers.py
"""

import jax
import numpy as np
from jax import lax

print(f"jax {jax.__version__}")
for v in (1e20, 1e24, 1e25, 1e26, 1e30):
    found = float(jax.jit(jax.grad(lax.rsqrt))(np.float32(v))) * v**1.5
    print(f"rsqrt'({v:g}) is {found:.6f} of v^(-3/2), which should be -0.5")

x = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
g = np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32)


def norm(x, power):
    d = x - x.mean(1, keepdims=True)
    v = lax.square(d).mean(1, keepdims=True)
    return d * lax.rsqrt(v) if power == "rsqrt" else d / lax.sqrt(v)


for power in ("rsqrt", "sqrt"):
    for scale in (1.0, 1e15):
        gradient = jax.jit(jax.grad(lambda x, p=power: (norm(x, p) * g).sum()))(x * np.float32(scale))
        along = np.abs((np.asarray(gradient, np.float64) * scale * x).sum(1)).max()
        print(f"{power}, x of size {scale:g}: gradient along x, which should be 0, up to {along:.2g}")
