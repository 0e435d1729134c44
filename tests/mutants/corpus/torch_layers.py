"""Layers of torch.nn with the wrong arguments, and native operators used wrongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)
from torch import nn

CHANNELS, SPATIAL = 8, (5, 7)  # of the fixtures nchw and offset-…

batch_eps_1e_3 = nn.BatchNorm2d(CHANNELS, eps=1e-3)
batch_momentum_keras = nn.BatchNorm2d(CHANNELS, momentum=0.99)
batch_cumulative = nn.BatchNorm2d(CHANNELS, momentum=None)
batch_untracked = nn.BatchNorm2d(CHANNELS, track_running_stats=False)
two_groups = nn.GroupNorm(2, CHANNELS)
one_group = nn.GroupNorm(1, CHANNELS)
rms_eps_of_dtype = nn.RMSNorm((4, 5, 7))  # of the fixture low-sigma
layer_eps_1e_3 = nn.LayerNorm((CHANNELS, *SPATIAL), eps=1e-3)


def channels_last_group_norm(x, weight, bias, *, eps: float, num_groups: int):
    """Native group norm of x in channels_last memory: PyTorch's CPU kernel for it is one-pass."""
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return F.group_norm(x, num_groups, weight, bias, eps)
