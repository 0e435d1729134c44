"""TensorFlow 2.21.0: tf.nn.moments rounds its results to half precision, and tf.nn.batch_normalization uses them so.

float16 is computed in float32 and rounded, bfloat16 in bfloat16. Normalization with such statistics is off by far more
than the one rounding of y, more so the larger its offset. Casting x to float32 first, as Keras does, avoids it.

    python docs/findings/tensorflow-half-precision.py
"""

import numpy as np
import tensorflow as tf

print(f"tensorflow {tf.__version__}")
noise = np.random.default_rng(0).normal(size=(64, 8)) + 10
for dtype in (tf.float16, tf.bfloat16):
    x = tf.cast(noise, dtype)
    exact = np.asarray(tf.cast(x, tf.float64))
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    for name, wide in (("as it is", x), ("cast to float32", tf.cast(x, tf.float32))):
        y = tf.nn.batch_normalization(wide, *tf.nn.moments(wide, [0]), None, None, 1e-5)
        y = np.asarray(tf.cast(tf.cast(y, dtype), tf.float64))
        print(f"{dtype.name} {name}: off by up to {abs(y - exact).max():.2g}")
