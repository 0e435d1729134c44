"""tinygrad: the layers of tinygrad.nn and its own differentiation."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from tinygrad import nn
from tinygrad.device import Device
from tinygrad.dtype import dtypes
from tinygrad.helpers import DEV, Context
from tinygrad.tensor import Tensor

from normcheck.backends._base import (
    GRADIENTS,
    Backend,
    Differentiated,
    Function,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
    equal_contiguous,
    places,
    same_groups,
)

Array = Any  # tinygrad.Tensor


def _with_parameters(layer: Any, weight: Optional[Array], bias: Optional[Array], like: Array) -> Any:
    """The affine ``layer`` with the weight and bias, in the place of its own; ones and zeros where they are None."""
    layer.weight = Tensor.ones(*layer.weight.shape, dtype=like.dtype) if weight is None else weight
    layer.bias = Tensor.zeros(*layer.bias.shape, dtype=like.dtype) if bias is None else bias
    return layer


def _moved(x: Array, source: int, target: int) -> Array:
    axes = list(range(x.ndim))
    axes.insert(target % x.ndim, axes.pop(source))
    return x.permute(axes)


def batch_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float,
    channel_axis: int = 1,
) -> Tuple[Array, Array, Array]:
    """``tinygrad.nn.BatchNorm``, whose momentum and running variance mean what PyTorch's do."""
    x = _moved(x, channel_axis, 1)
    layer = nn.BatchNorm(x.shape[1], eps=eps, affine=True, track_running_stats=True, momentum=momentum)
    layer.running_mean, layer.running_var = running_mean, running_var
    with Context(TRAINING=int(training)):  # type: ignore[no-untyped-call]
        y = _with_parameters(layer, weight, bias, x)(x)
    return _moved(y, 1, channel_axis), layer.running_mean, layer.running_var


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: float, normalized_ndim: int
) -> Array:
    """``tinygrad.nn.LayerNorm``."""
    layer = nn.LayerNorm(x.shape[x.ndim - normalized_ndim :], eps=eps, elementwise_affine=True)
    return _with_parameters(layer, weight, bias, x)(x)


def instance_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    channel_axis: int = 1,
) -> Array:
    """``tinygrad.nn.InstanceNorm``."""
    x = _moved(x, channel_axis, 1)
    layer = nn.InstanceNorm(x.shape[1], eps=eps, affine=True)
    return _moved(_with_parameters(layer, weight, bias, x)(x), 1, channel_axis)


def group_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Array:
    """``tinygrad.nn.GroupNorm``; for groups that it cannot have, one call for each, put together."""
    x = _moved(x, channel_axis, 1)
    split = same_groups({"num_groups": num_groups, "groups": groups}, x.shape[1])
    if equal_contiguous(split):
        layer = nn.GroupNorm(len(split), x.shape[1], eps=eps, affine=True)
        y = _with_parameters(layer, weight, bias, x)(x)
    else:
        parts = []
        for group in split:
            layer = nn.GroupNorm(1, len(group), eps=eps, affine=True)
            of_group = _with_parameters(layer, _taken(weight, group), _taken(bias, group), x)
            parts.append(of_group(x[:, group]))
        y = parts[0].cat(*parts[1:], dim=1)[:, places(split)]
    return _moved(y, 1, channel_axis)


def _taken(parameter: Optional[Array], group: List[int]) -> Optional[Array]:
    return None if parameter is None else parameter[group]


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class Tinygrad(Backend):
    """tinygrad's tensors on the device ``cpu``, which needs the compiler clang, or another of its devices.

    The device may name a renderer after a colon, as in tinygrad's own DEV: ``cpu:llvm``; ``python`` interprets.
    """

    METHODS: Mapping[str, Function] = METHODS
    TRACKED = ("batch",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Make the device the default, as layers make tensors of their own, and compute something on it."""
        self.options, self.device = dict(options), device
        compiler = os.environ.get("CC", "clang")
        # Asked first: what it compiled once it takes from its cache, also where it can compile nothing more.
        if device.partition(":")[0] == "cpu" and shutil.which(compiler) is None:
            raise UnavailableError(f"tinygrad's CPU device compiles with clang, but there is no {compiler!r}")
        try:
            DEV.value = device.upper()
            Tensor([1.0]).add(1).realize()
        except Exception as error:  # it depends on the device, its driver and its compiler
            raise UnavailableError(f"tinygrad has no device {device!r} here: {error}") from error

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {
            "version": importlib.metadata.version("tinygrad"),
            "device": self.device,
            "renderer": type(Device[Device.DEFAULT].renderer).__name__,
            "threads": 1,
            "deterministic": True,
        }

    def refuses(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """It cannot reshape an empty tensor to a length of -1."""
        if task.method in ("instance", "group") and shape[0] == 0:
            return f"the {task.method} norm of tinygrad.nn refuses an empty batch"
        return None

    def from_numpy(self, tagged: Tagged) -> Array:
        """A copy on the device."""
        dtype, data = tagged
        tensor = Tensor(np.ascontiguousarray(data))
        return (tensor.bitcast(dtypes.bfloat16) if dtype == "bfloat16" else tensor).realize()

    def to_numpy(self, value: Any) -> Tagged:
        """The tensor's data, once it is computed; bfloat16, which NumPy does not have, as 16-bit integers."""
        if not isinstance(value, Tensor):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a tinygrad.Tensor")
        if value.dtype == dtypes.bfloat16:
            return "bfloat16", value.bitcast(dtypes.uint16).numpy()
        array = value.numpy()
        return array.dtype.name, array

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Array,
    ) -> Differentiated:
        """Tensor.gradient, from y back to x, weight and bias."""
        leaves = {name: array for name, array in zip(GRADIENTS, arrays) if array is not None}
        returned = self.compiled(function, static)(*arrays, **named)
        y = returned[0] if isinstance(returned, tuple) and returned else returned
        try:
            # y is float32 where a parameter is, and grad_y has to have y's dtype for gradients to have theirs.
            found = y.gradient(*leaves.values(), gradient=grad_y.cast(y.dtype))
            Tensor.realize(*found)
        except Exception as error:  # whatever the user's backward raises is an answer about the gradients
            return returned, {}, error
        return returned, dict(zip(leaves, found)), None
