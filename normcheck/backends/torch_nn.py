"""torch.nn's modules, which hold parameters and running statistics of their own."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from torch import nn

from normcheck.backends._base import Function, Task
from normcheck.backends.torch import Torch, in_groups

Tensor = torch.Tensor
BATCH: Dict[int, Type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
INSTANCE: Dict[int, Type[nn.Module]] = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def _called(
    module: nn.Module, x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], **buffers: Tensor
) -> Tensor:
    """The module with these parameters and buffers in place of its own; it updates the buffers in place."""
    ours = {"weight": weight, "bias": bias, **buffers}
    given = {name: value for name, value in ours.items() if value is not None}
    y: Tensor = torch.func.functional_call(module, given, (x,))
    return y


def _affine(x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor]) -> Dict[str, Any]:
    """Whether a module of the channels scales and shifts; it does both or neither."""
    if weight is None and bias is None:
        return {"affine": False, "device": x.device}
    if weight is None or bias is None:
        raise ValueError("the modules of torch.nn have both weight and bias, or neither")
    return {"affine": True, "device": x.device, "dtype": weight.dtype}


def batch_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    channel_axis: int = 1,
) -> Tuple[Tensor, Tensor, Tensor]:
    """``torch.nn.BatchNorm1d``, ``2d`` or ``3d``."""
    x = x.movedim(channel_axis, 1)
    affine = _affine(x, weight, bias)
    module = BATCH[x.ndim](x.shape[1], eps=eps, momentum=momentum, track_running_stats=True, **affine)
    y = _called(module.train(training), x, weight, bias, running_mean=running_mean, running_var=running_var)
    return y.movedim(1, channel_axis), running_mean, running_var


def layer_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, normalized_ndim: int
) -> Tensor:
    """``torch.nn.LayerNorm``."""
    if weight is None and bias is not None:
        raise ValueError("torch.nn.LayerNorm has no bias without a weight")
    module = nn.LayerNorm(
        list(x.shape[x.ndim - normalized_ndim :]),
        eps=eps,
        elementwise_affine=weight is not None,
        bias=bias is not None,
        device=x.device,
    )
    return _called(module, x, weight, bias)


def instance_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    running_mean: Optional[Tensor] = None,
    running_var: Optional[Tensor] = None,
    training: bool = True,
    momentum: float = 0.0,
    channel_axis: int = 1,
) -> Any:
    """``torch.nn.InstanceNorm1d``, ``2d`` or ``3d``."""
    x = x.movedim(channel_axis, 1)
    module = INSTANCE[x.ndim](
        x.shape[1],
        eps=eps,
        momentum=momentum,
        track_running_stats=running_mean is not None,
        **_affine(x, weight, bias),
    ).train(training)
    if running_mean is None or running_var is None:
        return _called(module, x, weight, bias).movedim(1, channel_axis)
    y = _called(module, x, weight, bias, running_mean=running_mean, running_var=running_var)
    return y.movedim(1, channel_axis), running_mean, running_var


def group_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Tensor:
    """``torch.nn.GroupNorm``; for groups that it cannot have, one module for each, put together."""

    def call(part: Tensor, w: Optional[Tensor], b: Optional[Tensor], number: int) -> Tensor:
        module = nn.GroupNorm(number, part.shape[1], eps=eps, **_affine(part, w, b))
        return _called(module, part, w, b)

    return in_groups(call, x, weight, bias, num_groups, groups, channel_axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class TorchModules(Torch):
    """The modules of torch.nn."""

    METHODS = METHODS

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """nn.InstanceNorm1d takes two axes for one sample without a batch."""
        if task.method == "instance" and len(shape) == 2:
            return "torch.nn.InstanceNorm1d takes (N, C) for one sample of C channels"
        return super().unsupported(task, shape)
