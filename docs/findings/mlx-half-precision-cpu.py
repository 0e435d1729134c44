"""MLX 0.32.4, CPU: mlx.nn.BatchNorm sums float16 inputs in float16, where the sum overflows.

The mean of 65,536 numbers that are all 1.5 is 1.5. Their sum, 98,304, is more than float16 can hold: the mean is
infinite, and what is normalized with it is NaN. mlx.nn.LayerNorm, over as many numbers, is not concerned.

    python docs/findings/mlx-half-precision-cpu.py
"""

import mlx.core as mx
from mlx import nn

mx.set_default_device(mx.cpu)
print(f"mlx {mx.__version__}")
for dtype in (mx.float32, mx.float16, mx.bfloat16):
    batch_norm = nn.BatchNorm(1, eps=1e-5, momentum=1.0, affine=False)
    batch_norm.running_mean = mx.zeros(1, dtype)
    x = mx.full((64, 32, 32, 1), 1.5, dtype)
    y = batch_norm(x)
    layer_norm = nn.LayerNorm(x.size, eps=1e-5, affine=False)
    shown = f"BatchNorm: mean {batch_norm.running_mean.item()}, y {y.max().item()}"
    print(f"{dtype}: {shown}; LayerNorm: y {layer_norm(x.reshape(1, -1)).max().item()}")
