"""Legitimate ways to write a normalization, in PyTorch, with their gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)
from gradients import by_hand
from normalization import honest, variance
from torch import nn

CHANNELS, SPATIAL = 8, (5, 7)  # of the fixtures nchw and offset-…

composed = honest
backward_by_hand = by_hand
library_variance = honest.but(
    mean=lambda rows: rows.mean(-1, keepdim=True),
    variance=lambda rows, _: torch.var_mean(rows, -1, correction=0, keepdim=True)[0],
    inverse_root=lambda var, eps: torch.rsqrt(var + eps),
)
centre_detached = honest.but(variance=lambda rows, centre: variance(rows, centre.detach()))  # ∂var/∂mean = 0
float64_inside = honest.but(receive=lambda x: x.double())
batch_module = nn.BatchNorm2d(CHANNELS)
layer_module = nn.LayerNorm((CHANNELS, *SPATIAL))
instance_module = nn.InstanceNorm2d(CHANNELS, affine=True)
rms_module = nn.RMSNorm((CHANNELS, *SPATIAL), eps=1e-5)
group_module = nn.GroupNorm(4, CHANNELS)


def layer_by_group(x, weight, bias, *, eps: float, normalized_ndim: int):
    """Layer norm by the group norm of one group, and an affine step of its own."""
    rows = x.reshape(-1, 1, weight.numel() if weight is not None else x.shape[-normalized_ndim:].numel())
    x_hat = F.group_norm(rows.float() if x.dtype.itemsize == 2 else rows, 1, eps=eps).reshape(x.shape)
    y = x_hat if weight is None else x_hat * weight
    return (y if bias is None else y + bias).to(x.dtype)


def rms_by_length(x, weight, bias, *, eps: float, normalized_ndim: int):
    """RMS norm by the length of each vector."""
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    wide = x.float() if x.dtype.itemsize == 2 else x
    length = torch.linalg.vector_norm(wide, dim=axes, keepdim=True)
    x_hat = wide * torch.rsqrt(length**2 / (x.numel() // length.numel()) + eps)
    y = x_hat if weight is None else x_hat * weight
    return (y if bias is None else y + bias).to(x.dtype)


def instance_by_batch(x, weight, bias, *, eps: float):
    """Instance norm by the batch norm of one sample with all channels of all samples."""
    channels = x.reshape(1, -1, *x.shape[2:])
    wide = channels.float() if x.dtype.itemsize == 2 else channels
    x_hat = F.batch_norm(wide, None, None, training=True, eps=eps).reshape(x.shape)
    along = [1, -1, *[1] * (x.ndim - 2)]
    y = x_hat if weight is None else x_hat * weight.reshape(along)
    return (y if bias is None else y + bias.reshape(along)).to(x.dtype)
