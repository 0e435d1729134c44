"""torch 2.13.0, flax 0.12.8, equinox 0.13.8: the gradient of RMS norm for float32 numbers beyond 10¹³.

Autograd takes the derivative of rsqrt, which has mean(x²) to the power of -3/2: for x near 10¹⁵ that is 10⁻⁴⁵, below
float32's smallest number, so that the part of the gradient that goes through the root is lost, or has one digit.

    python docs/findings/rms-norm-gradient-of-large-numbers.py
"""

import numpy as np
import torch
import torch.nn.functional as F

print(f"torch {torch.__version__}")
random = np.random.default_rng(0)
x, grad_y = random.standard_normal((2, 4, 64)).astype(np.float32)
for scale in (1.0, 1e10, 1e13, 1e14, 1e15):
    given = torch.from_numpy(x * np.float32(scale)).requires_grad_()
    F.rms_norm(given, (64,), eps=1e-5).backward(torch.from_numpy(grad_y))
    wide, g = given.detach().numpy().astype(np.float64), grad_y.astype(np.float64)
    r = 1 / np.sqrt(np.square(wide).mean(-1, keepdims=True) + 1e-5)
    x_hat = wide * r
    exact = r * (g - x_hat * (g * x_hat).mean(-1, keepdims=True))
    error = np.abs(given.grad.numpy() - exact).max() / np.abs(exact).max()
    print(f"x near {scale:.0e}: the gradient is off by {error:.2g} of its size")
