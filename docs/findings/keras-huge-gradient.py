"""Keras 3.15.1 on JAX and PyTorch: gradients are wrong where the variance is about 10³⁰, in float32.

Scaling x by s divides the gradient by s where epsilon is nothing. The derivative of rsqrt(variance) is variance^-1.5,
10⁻⁴⁵, which float32 has not; so a part of the gradient is lost. On TensorFlow it is right.

    KERAS_BACKEND=jax python docs/findings/keras-huge-gradient.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np

rng = np.random.default_rng(0)
x, g = (rng.normal(size=(2, 6)).astype(np.float32) for _ in range(2))
layer = keras.layers.GroupNormalization(2, epsilon=1e-12)
layer.build(x.shape)


def gradient(x: np.ndarray) -> np.ndarray:
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.vjp(layer, jax.numpy.asarray(x))[1](jax.numpy.asarray(g))[0])
    if keras.backend.backend() == "torch":
        import torch

        leaf = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(layer(leaf), leaf, torch.tensor(g))[0].numpy()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        leaf = tf.Variable(x)
        y = layer(leaf)
    return tape.gradient(y, leaf, output_gradients=tf.constant(g)).numpy()


print(f"keras {keras.__version__} on {keras.backend.backend()}")
expected = gradient(x)
for exponent in (10, 30, 50):
    found = gradient(x * np.float32(2.0**exponent)) * np.float32(2.0**exponent)
    error = abs(found - expected).max() / abs(expected).max()
    print(f"x times 2^{exponent}: the gradient, scaled back, is off by {error:.1g} of the largest")
