"""MLX 0.32.4, CPU: gradients of normalizations of large numbers lose the part that goes through the variance.

It holds (var + eps)^(-3/2), which is formed by itself: less than float32's normal numbers from a standard deviation σ
of about 5·10¹² on, 0 from about 10¹⁵ on. The gradient, of size 1/σ, is far from that, and the outputs are right.

    python docs/findings/mlx-gradient-of-large-numbers.py
"""

import mlx.core as mx
import numpy as np
from mlx import nn

mx.set_default_device(mx.cpu)
print(f"mlx {mx.__version__}")
layer_norm = nn.LayerNorm(64, affine=False)
batch_norm = nn.BatchNorm(2, affine=False, track_running_stats=False)
layers = {"LayerNorm": layer_norm, "BatchNorm": lambda x: batch_norm(x.T).T}
noise, g = np.random.default_rng(0).standard_normal((2, 2, 64)).astype(np.float32)
for sigma in (1.0, 1e10, 1e13, 1e14, 1e15, 3e15):
    x = noise * np.float32(sigma)
    wide = x.astype(np.float64)
    root = np.sqrt(wide.var(axis=1, keepdims=True) + 1e-5)
    x_hat = (wide - wide.mean(axis=1, keepdims=True)) / root
    exact = (g - g.mean(axis=1, keepdims=True) - x_hat * (g * x_hat).mean(axis=1, keepdims=True)) / root
    shown = []
    for name, layer in layers.items():
        found = mx.grad(lambda a, layer=layer: (layer(a) * mx.array(g)).sum())(mx.array(x))
        shown.append(f"{name} {np.abs(np.array(found) - exact).max() / np.abs(exact).max():.2g}")
    print(f"standard deviation {sigma:g}: relative error of the gradient: {', '.join(shown)}")
