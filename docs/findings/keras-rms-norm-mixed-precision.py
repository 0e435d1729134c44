"""keras 3.15.1: under a mixed precision policy RMSNormalization rounds its float32 scale to the half precision.

LayerNormalization multiplies by the float32 variable and rounds once, at the end.

    python docs/findings/keras-rms-norm-mixed-precision.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np

print(f"keras {keras.__version__} on {keras.backend.backend()}")
random = np.random.default_rng(0)
x = random.standard_normal((4, 64)).astype(np.float16)
scale = random.standard_normal(64).astype(np.float32)
layers = {
    "RMSNormalization": keras.layers.RMSNormalization(epsilon=1e-5, dtype="mixed_float16"),
    "LayerNormalization": keras.layers.LayerNormalization(epsilon=1e-5, center=False, dtype="mixed_float16"),
}
wide = x.astype(np.float64)
for name, layer in layers.items():
    layer.build(x.shape)
    layer.set_weights([scale])
    d = wide if name == "RMSNormalization" else wide - wide.mean(-1, keepdims=True)
    exact = d / np.sqrt(np.square(d).mean(-1, keepdims=True) + 1e-5) * scale
    y = np.asarray(layer(x), np.float64)
    once = np.abs(exact.astype(np.float16) - exact).max()
    print(f"{name}: off by up to {np.abs(y - exact).max():.2g}, rounded once by {once:.2g}")
