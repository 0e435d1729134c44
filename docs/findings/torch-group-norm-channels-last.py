"""PyTorch's CPU group norm loses precision in channels-last memory: its variance is computed in one pass there.

    python docs/findings/torch-group-norm-channels-last.py

prints the largest error against float64, for the same numbers in both memory layouts, at growing offsets. Seen with
torch 2.12.0 and 2.13.0 on x86-64: the two agree at offset 0; at 10⁴ contiguous memory is off by 10⁻³, as float32 has
to be, and channels-last memory by more than 10².
"""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
print("torch", torch.__version__)
print("offset   contiguous  channels_last")
noise = torch.randn(2, 8, 16, 16)
for offset in (0.0, 1e1, 1e2, 1e3, 1e4):
    x = noise + offset
    exact = F.group_norm(x.double(), 4)
    last = x.contiguous(memory_format=torch.channels_last)
    errors = [(F.group_norm(each, 4) - exact).abs().max().item() for each in (x, last)]
    print(f"{offset:<8g} {errors[0]:<11.1e} {errors[1]:.1e}")
