"""PyTorch 2.13.0, CPU: the backward of batch_norm in channels_last memory reads a strided weight as if it were dense.

The weight is every second element of a larger tensor; what lies between is 1e6. grad_x of a channels_last x is then off
by about that much; that of a contiguous x, or with the same weight made contiguous, is right.

    python docs/findings/torch-batch-norm-strided-weight.py
"""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
print(f"torch {torch.__version__}")
dense = torch.randn(8)
strided = torch.full((16,), 1e6)[::2].copy_(dense)
x, g = torch.randn(2, 3, 8, 5, 7)
for memory_format in (torch.contiguous_format, torch.channels_last):
    found = []
    for weight in (dense, strided):
        leaf = x.clone(memory_format=memory_format).requires_grad_()
        y = F.batch_norm(leaf, torch.zeros(8), torch.ones(8), weight, training=True)
        y.backward(g.contiguous(memory_format=memory_format))
        found.append(leaf.grad)
    difference = (found[0] - found[1]).abs().max()
    print(f"{memory_format}: grad_x with a strided and with a dense weight differs by up to {difference:.3g}")
