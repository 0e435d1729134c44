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

from normcheck.backends._adapter import FIRST, Params, Taped
from normcheck.backends._base import NotAnArrayError, Tagged, Task, UnavailableError, flattened, named

Array = Any  # tinygrad.Tensor
Parameter = Optional[Array]


def _with_parameters(layer: Any, weight: Parameter, bias: Parameter, like: Array) -> Any:
    """The affine ``layer`` with this weight and bias in place of those it made; ones and zeros for None."""
    layer.weight = Tensor.ones(*layer.weight.shape, dtype=like.dtype) if weight is None else weight
    layer.bias = Tensor.zeros(*layer.bias.shape, dtype=like.dtype) if bias is None else bias
    return layer


class Tinygrad(Taped):
    """tinygrad's tensors on the device ``cpu``, which needs the compiler clang, or another of its devices.

    The device may name a renderer after a colon, as in tinygrad's own DEV: ``cpu:llvm``; ``python`` interprets.
    """

    CHANNELS = FIRST
    TRACKED = ("batch",)
    NO_BIAS = ("rms",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Make the device the default, as layers make tensors too, and compute something on it."""
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

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
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
        return named(value.numpy())

    def wide(self, array: Array) -> Array:
        """In float32 if it is of half precision."""
        return array.float() if array.dtype.itemsize == 2 else array

    def cast(self, array: Array, like: Array) -> Array:
        """In the dtype of ``like``."""
        return array.cast(like.dtype)

    def moveaxis(self, array: Array, source: int, target: int) -> Array:
        """A view."""
        axes = list(range(array.ndim))
        axes.insert(target % array.ndim, axes.pop(source))
        return array.permute(axes)

    def concatenate(self, arrays: List[Array], axis: int) -> Array:
        """A new tensor."""
        return arrays[0].cat(*arrays[1:], dim=axis)

    def pulled_back(self, tape: Any, y: Array, leaves: List[Array], grad_y: Array) -> Any:
        """Tensor.gradient; y is float32 where a parameter is, and grad_y has to have y's dtype for gradients to
        have theirs.
        """
        found = y.gradient(*leaves, gradient=grad_y.cast(y.dtype))
        Tensor.realize(*found)
        return found

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``tinygrad.nn.BatchNorm``, whose momentum and running variance mean what PyTorch's do."""
        how = {"affine": True, "track_running_stats": True, "momentum": params.momentum}
        layer = nn.BatchNorm(x.shape[1], eps=params.eps, **how)
        layer.running_mean, layer.running_var = params.running_mean, params.running_var
        with Context(TRAINING=int(params.training)):  # type: ignore[no-untyped-call]
            y = _with_parameters(layer, weight, bias, x)(x)
        return y, layer.running_mean, layer.running_var

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``tinygrad.nn.LayerNorm``."""
        shape = x.shape[x.ndim - params.normalized_ndim :]
        layer = nn.LayerNorm(shape, eps=params.eps, elementwise_affine=True)
        return _with_parameters(layer, weight, bias, x)(x)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``tinygrad.nn.RMSNorm``, which normalizes one axis: several are brought into one before."""
        rows = flattened(x, x.ndim - params.normalized_ndim)
        layer = nn.RMSNorm(rows.shape[-1], eps=params.eps, elementwise_affine=weight is not None)
        layer.weight = None if weight is None else weight.reshape(-1)
        return layer(rows).reshape(x.shape)

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``tinygrad.nn.InstanceNorm``."""
        return _with_parameters(nn.InstanceNorm(x.shape[1], eps=params.eps, affine=True), weight, bias, x)(x)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``tinygrad.nn.GroupNorm``."""
        layer = nn.GroupNorm(len(params.groups), x.shape[1], eps=params.eps, affine=True)
        return _with_parameters(layer, weight, bias, x)(x)
