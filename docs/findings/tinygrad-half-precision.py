"""tinygrad 0.14.0: normalization layers round mean and variance of half precision inputs to half precision before use.

The sums are float32, but what comes out of them is not: subtracted from x, a mean of about 100 that is rounded to
bfloat16 is off by up to 0.25. Parameters in float32 make the result float32, with the same error.
The CPU device needs clang; DEV=PYTHON needs no compiler.

    DEV=CPU python docs/findings/tinygrad-half-precision.py
"""

import importlib.metadata

import numpy as np
from tinygrad import Device, Tensor, dtypes, nn

print(f"tinygrad {importlib.metadata.version('tinygrad')} on {Device.DEFAULT}")
rng = np.random.default_rng(0)
layer = nn.LayerNorm(64, elementwise_affine=False)
for dtype in (dtypes.float16, dtypes.bfloat16):
    for mean in (0, 100):
        x = Tensor((mean + rng.standard_normal((4, 64))).astype(np.float32)).cast(dtype).realize()
        wide = x.float().numpy().astype(np.float64)
        exact = (wide - wide.mean(axis=1, keepdims=True)) / np.sqrt(wide.var(axis=1, keepdims=True) + 1e-5)
        rounded = Tensor(exact.astype(np.float32)).cast(dtype).realize().float().numpy()
        errors = (np.abs(y - exact).max() for y in (layer(x).realize().float().numpy(), rounded))
        error, least = (f"{value:.2g}" for value in errors)
        print(f"{dtype}, mean {mean}: largest error {error}; of the exact result, rounded once: {least}")
