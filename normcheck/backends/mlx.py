"""MLX: the layers of mlx.nn, which have the channels last, and its own differentiation."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict, List, Mapping, Optional, Tuple

import mlx.core as mx
import numpy as np
from mlx.nn.layers import normalization as nn  # where mypy finds what mlx.nn has

from normcheck.backends._adapter import LAST, Adapter, Params, by_gradient, first
from normcheck.backends._base import (
    Differentiated,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
)
from normcheck.backends._base import named as named_array

Array = Any  # mlx.core.array
Parameter = Optional[Array]


def _with_parameters(layer: Any, weight: Parameter, bias: Parameter, like: Array) -> Any:
    """The affine ``layer`` with this weight and bias in place of those it made; ones and zeros for None."""
    layer.weight = mx.ones(layer.weight.shape, like.dtype) if weight is None else weight
    layer.bias = mx.zeros(layer.bias.shape, like.dtype) if bias is None else bias
    return layer


def _interleaved(groups: List[List[int]]) -> bool:
    """True if channel c is in group c mod the number of groups, which is how MLX's own are."""
    channels, number = sum(map(len, groups)), len(groups)
    strided = [list(range(first, channels, number)) for first in range(number)]
    return channels % number == 0 and groups == strided


class Mlx(Adapter):
    """MLX's arrays, computed as its layers are called, on one stream."""

    ARRAYS = mx
    CHANNELS = LAST
    TRACKED = ("batch",)
    NO_BIAS = ("rms",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """``cpu`` or ``gpu``."""
        self.options, self.device = dict(options), device
        kind = {"cpu": mx.cpu, "gpu": mx.gpu}.get(device)
        if kind is None or not mx.is_available(kind):
            raise UnavailableError(f"MLX has no device {device!r} here")
        mx.set_default_device(kind)

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {
            "version": importlib.metadata.version("mlx"),
            "device": self.device,
            "threads": "one stream",
            "deterministic": True,
        }

    def not_offered(self, task: Task) -> Optional[str]:
        """Besides, float64 on the GPU."""
        if self.device == "gpu" and task.dtype == "float64":
            return "has no float64 on the GPU"
        return super().not_offered(task)

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """What the layers check for."""
        channels = shape[task.params.get("channel_axis", 1)]
        trains = task.mode == "train" or task.steps > 0
        if task.params["eps"] <= 0:
            return "mlx.nn refuses an eps that is not positive"
        if task.method == "batch" and len(shape) > 4:
            return "mlx.nn.BatchNorm refuses more than 4 axes"
        if task.method == "batch" and trains and int(np.prod(shape)) == channels:
            return "mlx.nn.BatchNorm refuses one value per channel"
        if task.method in ("instance", "group") and shape[0] == 0:
            return f"the {task.method} norm of mlx.nn refuses an empty batch"
        return None

    def from_numpy(self, tagged: Tagged) -> Array:
        """A copy; float64 would be float32 if it were not asked for."""
        dtype, data = tagged
        if dtype == "bfloat16":
            return mx.array(data).view(mx.bfloat16)
        return mx.array(data, dtype=getattr(mx, dtype))

    def to_numpy(self, value: Any) -> Tagged:
        """The array's data, once it is computed; bfloat16 as 16-bit integers."""
        if not isinstance(value, mx.array):
            raise NotAnArrayError(f"is a {type(value).__name__}, not an mlx.core.array")
        if value.dtype == mx.bfloat16:
            return "bfloat16", np.array(value.view(mx.uint16))
        return named_array(np.array(value))

    def wide(self, array: Array) -> Array:
        """In float32 if it is of half precision."""
        return array.astype(mx.float32) if array.dtype.size == 2 else array

    def take(self, array: Array, indices: List[int], axis: int) -> Array:
        """By an array of indices: MLX takes no list."""
        return array[(slice(None),) * (axis % array.ndim) + (mx.array(indices),)]

    def differentiate(self, *call: Any) -> Differentiated:
        """mlx.core.value_and_grad of Σ y·grad_y, whose gradient with respect to y is grad_y."""
        function, static, arrays, named, grad_y = call
        places = [place for place, array in enumerate(arrays) if array is not None]

        def weighted(*given: Array) -> Tuple[Array, Any]:
            returned = function(*given, **named, **static)
            return (first(returned) * grad_y).sum(), returned

        try:
            (_, returned), found = mx.value_and_grad(weighted, argnums=places)(*arrays)
            found = found if len(places) > 1 else (found,)  # of one argument it is no tuple
            mx.eval(found)
        except Exception as error:  # an answer about the gradients, if it can be called without them
            return function(*arrays, **named, **static), {}, error
        return returned, dict(zip(by_gradient(arrays), found)), None

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``mlx.nn.BatchNorm``, whose momentum and running variance mean what PyTorch's do."""
        layer = nn.BatchNorm(
            params.running_mean.size,
            eps=params.eps,
            momentum=params.momentum,
            affine=True,
            track_running_stats=True,
        ).train(params.training)
        layer.running_mean, layer.running_var = params.running_mean, params.running_var
        y = _with_parameters(layer, weight, bias, x)(x)
        return y, layer.running_mean, layer.running_var

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``mlx.nn.LayerNorm``, which normalizes one axis: several are brought into one before."""
        rows = mx.flatten(x, x.ndim - params.normalized_ndim, -1)
        layer = nn.LayerNorm(rows.shape[-1], eps=params.eps, affine=True, bias=True)
        weight, bias = (None if p is None else p.reshape(-1) for p in (weight, bias))
        return _with_parameters(layer, weight, bias, x)(rows).reshape(x.shape)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``mlx.nn.RMSNorm``, which normalizes one axis: several are brought into one before."""
        rows = mx.flatten(x, x.ndim - params.normalized_ndim, -1)
        layer = nn.RMSNorm(rows.shape[-1], eps=params.eps)
        layer.weight = mx.ones(rows.shape[-1:], x.dtype) if weight is None else weight.reshape(-1)
        return layer(rows).reshape(x.shape)

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``mlx.nn.InstanceNorm``."""
        layer = nn.InstanceNorm(x.shape[-1], eps=params.eps, affine=True)
        return _with_parameters(layer, weight, bias, x)(x)

    def takes(self, groups: List[List[int]]) -> bool:
        """Interleaved groups too."""
        return super().takes(groups) or _interleaved(groups)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``mlx.nn.GroupNorm``, pytorch_compatible or, for interleaved groups, not."""
        regular = super().takes(list(params.groups))
        layer = nn.GroupNorm(
            len(params.groups), x.shape[-1], eps=params.eps, affine=True, pytorch_compatible=regular
        )
        return _with_parameters(layer, weight, bias, x)(x)
