"""PyTorch's decomposition of batch norm has a NaN for the running mean where its own kernel has infinity.

    python docs/findings/torch-decomposed-batch-norm-infinity.py

One element is infinite, so the mean of its channel is. The kernel sums and gives infinity; the decomposition, which
is what inductor and exported programs start from, takes the mean from var_mean, in which infinity less infinity is
NaN. Seen with torch 2.13.0 on the CPU.
"""

import torch

print("torch", torch.__version__)
x = torch.arange(40.0).reshape(2, 1, 4, 5)
x[0, 0, 1, 2] = float("inf")
decompositions = torch._decomp.get_decompositions([torch.ops.aten.native_batch_norm])
decomposed = decompositions[torch.ops.aten.native_batch_norm.default]
for name, function in (("kernel", torch.ops.aten.native_batch_norm), ("decomposition", decomposed)):
    mean, var = torch.zeros(1), torch.ones(1)
    function(x, None, None, mean, var, True, 0.1, 1e-5)
    print(f"{name}: running mean {mean.item()}")
