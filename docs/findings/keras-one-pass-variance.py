"""Keras 3.15.1 on NumPy and PyTorch: the variance is E[x²] - E[x]², which may be negative: NaN at an offset of 10⁴.

keras.ops.moments has this formula there, unclipped, and BatchNormalization and GroupNormalization use it; on NumPy
LayerNormalization too. On JAX and TensorFlow the variance is that of the deviations. On either backend:

    KERAS_BACKEND=torch python docs/findings/keras-one-pass-variance.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "numpy")
import keras
import numpy as np

print(f"keras {keras.__version__} on {keras.backend.backend()}")
noise = np.random.default_rng(0).normal(size=(64, 8))
for offset in (0, 1e2, 1e4):
    x = (noise + offset).astype(np.float32)
    wide = x.astype(np.float64)
    for name, layer, axis in (
        ("BatchNormalization", keras.layers.BatchNormalization(epsilon=1e-5), 0),
        ("LayerNormalization", keras.layers.LayerNormalization(epsilon=1e-5), 1),
        ("GroupNormalization", keras.layers.GroupNormalization(1, epsilon=1e-5), 1),
    ):
        y = keras.ops.convert_to_numpy(layer(x, training=True))
        exact = (wide - wide.mean(axis, keepdims=True)) / np.sqrt(wide.var(axis, keepdims=True) + 1e-5)
        error = np.nanmax(abs(y - exact))
        print(f"offset {offset:g}, {name}: {np.isnan(y).sum()} NaN, the others off by up to {error:.1g}")
