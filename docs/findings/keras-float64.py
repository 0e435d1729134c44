"""Keras 3.15.1: normalization layers of dtype float64 compute in float32, except on TensorFlow.

BatchNormalization, LayerNormalization and GroupNormalization cast their input to keras.backend.result_type(dtype,
"float32"), which makes float32 of float64 on JAX, PyTorch and NumPy. The result is cast back: it is called float64.

    python docs/findings/keras-float64.py
"""

import os

os.environ["KERAS_BACKEND"] = "numpy"
import keras
import numpy as np

print(
    f"keras {keras.__version__}: result_type(float64, float32) = {keras.backend.result_type('float64', 'float32')}"
)
x = np.random.default_rng(0).normal(size=(4, 6)) + 3
for name, layer, axis in (
    ("BatchNormalization", keras.layers.BatchNormalization(epsilon=1e-5, dtype="float64"), 0),
    ("LayerNormalization", keras.layers.LayerNormalization(epsilon=1e-5, dtype="float64"), 1),
    ("GroupNormalization", keras.layers.GroupNormalization(1, epsilon=1e-5, dtype="float64"), 1),
):
    y = np.asarray(layer(x, training=True))
    exact = (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)
    print(f"{name}: {y.dtype}, off by up to {abs(y - exact).max():.1g}")
