"""TensorFlow 2.21.0, CPU: tf.compat.v1.nn.fused_batch_norm takes epsilon as it is given; there is no minimum.

Older versions raised it to 1.001e-5 (tensorflow/tensorflow#37768). Its running variance is the unbiased one.

    python docs/findings/tensorflow-fused-batch-norm-epsilon.py
"""

import numpy as np
import tensorflow as tf

print(f"tensorflow {tf.__version__}")
x = tf.reshape(tf.constant([1e-3, -1e-3, 1e-3, -1e-3]), (1, 2, 2, 1))
for epsilon in (1e-3, 1e-5, 1e-6, 1e-12):
    y, _, variance = tf.compat.v1.nn.fused_batch_norm(x, [1.0], [0.0], epsilon=epsilon, is_training=True)
    print(f"epsilon {epsilon:g}: {float(y[0, 0, 0, 0]):.6f}, expected {1e-3 / np.sqrt(1e-6 + epsilon):.6f}")
print(f"running variance {float(variance[0]):.4g}: biased would be 1e-06, unbiased {4 / 3 * 1e-6:.4g}")
