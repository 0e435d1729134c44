"""Liger-Kernel's Triton kernels on the CPU, in Triton's interpreter: no GPU is needed to see what they compute.

pip install --no-deps --target FOLDER triton==3.9.0 liger-kernel==0.7.0
PYTHONPATH=FOLDER normcheck compare --method rms --normalized-ndim 1 --backend llama=torch:liger.py:llama_rms_norm

The interpreter adds and multiplies bfloat16 as the integers that hold it, as normcheck shows: take float16 or float32.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"  # before the kernels are decorated

import torch.distributed.tensor  # noqa: F401 (Liger-Kernel takes it for imported)
import triton
import triton.language as tl
from liger_kernel.ops import layer_norm as layer
from liger_kernel.ops import rms_norm as rms

from normcheck import Unsupported


@triton.jit
def rsqrt(x):
    return tl.rsqrt(x)


rms.rsqrt = layer.rsqrt = rsqrt  # that of libdevice is for GPUs alone


def llama_rms_norm(x, weight, *, eps):
    """x̂ is rounded to the dtype of x before it meets the weight: cast_order=cast_then_affine."""
    return rms.LigerRMSNormFunction.apply(x, weight, eps, 0.0, "llama", False)


def gemma_rms_norm(x, weight, *, eps):
    """All in float32, and 1 + weight: weight=1+w."""
    if weight is None:
        raise Unsupported("1 + weight of no weight")
    return rms.LigerRMSNormFunction.apply(x, weight, eps, 1.0, "gemma", False)


def layer_norm(x, weight, bias, *, eps):
    if weight is None or bias is None:
        raise Unsupported("its kernel takes a weight and a bias")
    return layer.LigerLayerNormFunction.apply(x, weight, bias, eps)
