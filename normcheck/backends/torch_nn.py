"""torch.nn's modules, which hold their parameters and running statistics."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Type

import torch
from torch import nn

from normcheck.backends._adapter import Params
from normcheck.backends._base import Task
from normcheck.backends.torch import Parameter, Tensor, Torch

BATCH: Dict[int, Type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
INSTANCE: Dict[int, Type[nn.Module]] = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def _called(module: nn.Module, x: Tensor, weight: Parameter, bias: Parameter, **buffers: Tensor) -> Tensor:
    """The module with these parameters and buffers in place of those that it made; it updates the buffers in place."""
    ours = {"weight": weight, "bias": bias, **buffers}
    given = {name: value for name, value in ours.items() if value is not None}
    y: Tensor = torch.func.functional_call(module, given, (x,))
    return y


def _affine(x: Tensor, weight: Parameter, bias: Parameter) -> Dict[str, Any]:
    """Whether a module of the channels scales and shifts: both or neither."""
    if weight is None and bias is None:
        return {"affine": False, "device": x.device}
    held = weight if weight is not None else x
    return {"affine": True, "device": x.device, "dtype": held.dtype}


def _tracking(
    modules: Dict[int, Type[nn.Module]], x: Tensor, weight: Parameter, bias: Parameter, params: Params
) -> Tensor:
    """A module of the channels, which updates running statistics in place if it gets them."""
    state = {"running_mean": params.running_mean, "running_var": params.running_var}
    if params.running_mean is None:
        state = {}
    module = modules[x.ndim](
        x.shape[1],
        eps=params.eps,
        momentum=params.momentum,
        track_running_stats=bool(state),
        **_affine(x, weight, bias),
    )
    return _called(module.train(params.training), x, weight, bias, **state)


class TorchModules(Torch):
    """The modules of torch.nn."""

    def batch_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """``torch.nn.BatchNorm1d``, ``2d`` or ``3d``."""
        return _tracking(BATCH, x, weight, bias, params)

    def layer_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """``torch.nn.LayerNorm``."""
        module = nn.LayerNorm(
            list(x.shape[x.ndim - params.normalized_ndim :]),
            eps=params.eps,
            elementwise_affine=weight is not None,
            bias=bias is not None,
            device=x.device,
        )
        return _called(module, x, weight, bias)

    def rms_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """``torch.nn.RMSNorm``."""
        shape = list(x.shape[x.ndim - params.normalized_ndim :])
        affine = weight is not None
        module = nn.RMSNorm(shape, eps=params.eps, elementwise_affine=affine, device=x.device)
        return _called(module, x, weight, bias)

    def instance_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """``torch.nn.InstanceNorm1d``, ``2d`` or ``3d``."""
        return _tracking(INSTANCE, x, weight, bias, params)

    def group_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """``torch.nn.GroupNorm``."""
        module = nn.GroupNorm(len(params.groups), x.shape[1], eps=params.eps, **_affine(x, weight, bias))
        return _called(module, x, weight, bias)

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """nn.InstanceNorm1d takes two axes for one sample without a batch."""
        weight, bias = "weight" in task.arrays, "bias" in task.arrays
        if task.method == "layer" and bias and not weight:
            return "torch.nn.LayerNorm has no bias without a weight"
        if task.method not in ("layer", "rms") and weight is not bias:
            return "the modules of torch.nn have both weight and bias, or neither"
        if task.method == "instance" and len(shape) == 2:
            return "torch.nn.InstanceNorm1d takes (N, C) for one sample of C channels"
        return super().unsupported(task, shape)
