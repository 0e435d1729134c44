"""PyTorch 2.13.0, CPU: intermediates of half precision kernels are rounded to it.

layer_norm's gradients of half precision parameters are summed in half precision.

The gradient of the bias is the plain sum of the incoming gradients. Summed in float32 and rounded once it is off by
at most half a unit in the last place of bfloat16, a relative 2⁻⁹ (0.002); here it is off by more.

batch_norm with running statistics rounds each step where x or a parameter is strided: the same values in dense memory
are rounded once. So it is with its gradients.

    python docs/findings/torch-half-precision-cpu.py
"""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
print(f"torch {torch.__version__}")
x = torch.randn(64, 8).bfloat16()
g = torch.randn(64, 8).abs().bfloat16()
bias = torch.zeros(8, dtype=torch.bfloat16, requires_grad=True)
(found,) = torch.autograd.grad(F.layer_norm(x, (8,), torch.ones(8).bfloat16(), bias), [bias], g)
exact = g.double().sum(0)
rounded = g.float().sum(0).bfloat16()
for name, value in (("layer_norm", found), ("float32 sum, rounded once", rounded)):
    print(f"{name}: relative error up to {((value.double() - exact) / exact).abs().max():.2g}")

strided = torch.randn(64, 16).bfloat16()[:, ::2]
given = [torch.rand(8).bfloat16() + 1 for _ in range(4)]  # mean, variance, weight, bias
exact = F.batch_norm(strided.double(), *(each.double() for each in given))
for name, x in (("dense", strided.contiguous()), ("strided", strided)):
    wrong = F.batch_norm(x, *given) != exact.bfloat16()
    print(
        f"batch_norm, {name} x: {wrong.sum()} of {wrong.numel()} values of y are not the exact ones rounded once"
    )
