"""TensorFlow 2.21.0: tf.train.ExponentialMovingAverage of a float64 variable has a decay of float32.

python docs/findings/tensorflow-moving-average-float64.py
"""

import tensorflow as tf

print(f"tensorflow {tf.__version__}")
value = tf.Variable(0.0, dtype=tf.float64)
average = tf.train.ExponentialMovingAverage(decay=0.9)
average.apply([value])
value.assign(1.0)
average.apply([value])
found = float(average.average(value).numpy())
print(f"0.9·0 + 0.1·1 = {found!r}, off by {abs(found - 0.1):.1g}")
