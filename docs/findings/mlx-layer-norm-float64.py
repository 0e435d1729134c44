"""MLX 0.32.4, CPU: mlx.core.fast.layer_norm takes and returns float64, but has the precision of float32.

mlx.nn.LayerNorm, InstanceNorm and GroupNorm(pytorch_compatible=True) are made of it, so theirs is the same; the same
formula with mx.mean and mx.var, and mlx.nn.BatchNorm, have the precision of float64.

    python docs/findings/mlx-layer-norm-float64.py
"""

import mlx.core as mx
import numpy as np

mx.set_default_device(mx.cpu)
print(f"mlx {mx.__version__}")
x = np.random.default_rng(0).standard_normal((4, 64))
exact = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
a = mx.array(x, dtype=mx.float64)
formula = (a - mx.mean(a, axis=-1, keepdims=True)) * mx.rsqrt(mx.var(a, axis=-1, keepdims=True) + 1e-5)
for name, y in (("fast.layer_norm", mx.fast.layer_norm(a, None, None, 1e-5)), ("the formula", formula)):
    print(f"{name}: {y.dtype}, largest error {np.abs(np.array(y) - exact).max():.2g}")
