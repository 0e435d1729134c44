"""PyTorch 2.13.0, CPU: the gradients of instance_norm depend on the memory format of the incoming gradient.

With one sample, several channels and an x of four axes (or of five, in channels_last_3d), the same gradient in
channels_last memory gives other gradients than in contiguous memory, though its values are the same. With two samples
they agree.

    python docs/findings/torch-instance-norm-channels-last-gradient.py
"""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
print(f"torch {torch.__version__}")
for samples in (1, 2):
    x = torch.randn(samples, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, dtype=torch.float64, requires_grad=True)
    g = torch.randn(samples, 2, 3, 4, dtype=torch.float64)
    found = []
    for gradient in (g, g.contiguous(memory_format=torch.channels_last)):
        y = F.instance_norm(x, weight=weight, use_input_stats=True)
        found.append(torch.autograd.grad(y, [x, weight], gradient))
    for name, a, b in zip(("grad_x", "grad_weight"), *found, strict=True):
        print(f"{samples} sample(s): {name} differs by up to {(a - b).abs().max():.3g}")
