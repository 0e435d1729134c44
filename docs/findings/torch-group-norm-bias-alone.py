"""PyTorch 2.13.0, CPU: group_norm with a bias and no weight cannot be differentiated with respect to the bias.

The forward is right, and so is the gradient of x alone. With a weight, or without both, all gradients are there; so
they are after torch.compile, and in layer, batch and instance norm.

    python docs/findings/torch-group-norm-bias-alone.py
"""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
print(f"torch {torch.__version__}")
x = torch.randn(2, 4, 3, requires_grad=True)
weight, bias = (torch.randn(4, requires_grad=True) for _ in range(2))
calls = {"neither": (None, None), "weight": (weight, None), "both": (weight, bias), "bias": (None, bias)}
for name, given in calls.items():
    try:
        F.group_norm(x, 2, *given).sum().backward()
        print(f"{name}: differentiated")
    except RuntimeError as error:
        print(f"{name}: {error}")
