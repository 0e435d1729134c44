"""flax 0.12.8: by default the variance is E[x²] - E[x]², which loses the digits that the mean shares with x.

``use_fast_variance=False`` has them. Both of linen's and nnx's layers do so; haiku's BatchNorm does, too, does
not clip what comes out below 0, and has no option.

    python docs/findings/flax-fast-variance.py
"""

import flax
import haiku as hk
import jax
import numpy as np
from flax import linen

print(f"flax {flax.__version__}, haiku {hk.__version__}, jax {jax.__version__}")
random = np.random.default_rng(0)
for offset in (0, 1e2, 1e3, 1e4):
    x = (random.standard_normal((64, 8)) + offset).astype(np.float32)
    exact = (x - x.mean(0, dtype=np.float64)) / np.sqrt(x.var(0, dtype=np.float64) + 1e-5)
    for fast in (True, False):
        norm = linen.BatchNorm(use_running_average=False, epsilon=1e-5, use_fast_variance=fast)
        y, _ = norm.init_with_output(jax.random.key(0), x)
        error = np.abs(y - exact).max()
        print(f"offset {offset:g}, use_fast_variance={fast}: off by up to {error:.2g}")
    unclipped = hk.transform_with_state(
        lambda x: hk.BatchNorm(create_scale=False, create_offset=False, decay_rate=0.9, eps=1e-5)(x, True)
    )
    y, _ = unclipped.apply(*unclipped.init(None, x), None, x)
    print(f"offset {offset:g}, haiku.BatchNorm: off by up to {np.abs(y - exact).max():.2g}")
