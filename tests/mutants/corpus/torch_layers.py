"""Layers of torch.nn that do something else than what they were made with, and native operators used wrongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)
from torch import nn

CHANNELS, SPATIAL = 8, (5, 7)  # of the fixtures nchw and offset-…


class OtherEps(nn.BatchNorm2d):
    def forward(self, x):
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, 1e-3
        )


class OtherMomentum(nn.BatchNorm2d):
    def forward(self, x):
        state = (self.running_mean, self.running_var)
        return F.batch_norm(x, *state, self.weight, self.bias, self.training, 1 - self.momentum, self.eps)


class OtherGroups(nn.GroupNorm):
    def __init__(self, used: int) -> None:
        super().__init__(4, CHANNELS)
        self.used = used

    def forward(self, x):
        return F.group_norm(x, self.used, self.weight, self.bias, self.eps)


class OtherLayerEps(nn.LayerNorm):
    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, 1e-3)


class EpsOfDtype(nn.RMSNorm):
    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, None)


batch_eps_1e_3 = OtherEps(CHANNELS)
batch_momentum_keras = OtherMomentum(CHANNELS)
batch_cumulative = nn.BatchNorm2d(CHANNELS, momentum=None)
two_groups = OtherGroups(2)
one_group = OtherGroups(1)
rms_eps_of_dtype = EpsOfDtype((CHANNELS, *SPATIAL), eps=1e-5)
layer_eps_1e_3 = OtherLayerEps((CHANNELS, *SPATIAL))


def channels_last_group_norm(x, weight, bias, *, eps: float, num_groups: int):
    """Native group norm of x in channels_last memory: PyTorch's CPU kernel for it is one-pass."""
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return F.group_norm(x, num_groups, weight, bias, eps)
