"""tinygrad 0.14.0: gradients of normalizations of large numbers lose the part that goes through the variance.

It holds (var + eps)^(-3/2), which is formed by itself: less than float32's normal numbers from a standard deviation σ
of about 5·10¹² on, 0 from about 10¹⁵ on. The gradient, of size 1/σ, is far from that, and the outputs are right.
The CPU device needs clang; DEV=PYTHON needs no compiler.

    DEV=CPU python docs/findings/tinygrad-gradient-of-large-numbers.py
"""

import importlib.metadata

import numpy as np
from tinygrad import Device, Tensor, nn

print(f"tinygrad {importlib.metadata.version('tinygrad')} on {Device.DEFAULT}")
layer = nn.LayerNorm(64, elementwise_affine=False)
noise, g = np.random.default_rng(0).standard_normal((2, 2, 64)).astype(np.float32)
for sigma in (1.0, 1e10, 1e13, 1e14, 1e15, 3e15):
    x = noise * np.float32(sigma)
    wide = x.astype(np.float64)
    root = np.sqrt(wide.var(axis=1, keepdims=True) + 1e-5)
    x_hat = (wide - wide.mean(axis=1, keepdims=True)) / root
    exact = (g - g.mean(axis=1, keepdims=True) - x_hat * (g * x_hat).mean(axis=1, keepdims=True)) / root
    leaf = Tensor(x)
    (found,) = layer(leaf).gradient(leaf, gradient=Tensor(g))
    error = np.abs(found.numpy() - exact).max() / np.abs(exact).max()
    print(f"standard deviation {sigma:g}: relative error of the gradient {error:.2g}")
