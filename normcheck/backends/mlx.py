"""MLX: the layers of mlx.nn, which have the channels last, and its own differentiation."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict, List, Mapping, Optional, Tuple

import mlx.core as mx
import numpy as np
from mlx.nn.layers import normalization as nn  # where mypy finds what mlx.nn has

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

Array = Any  # mlx.core.array


def _with_parameters(layer: Any, weight: Optional[Array], bias: Optional[Array], like: Array) -> Any:
    """The affine ``layer`` with the weight and bias, in the place of its own; ones and zeros where they are None."""
    layer.weight = mx.ones(layer.weight.shape, like.dtype) if weight is None else weight
    layer.bias = mx.zeros(layer.bias.shape, like.dtype) if bias is None else bias
    return layer


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
    """``mlx.nn.BatchNorm``, whose momentum and running variance mean what PyTorch's do."""
    layer = nn.BatchNorm(
        running_mean.size, eps=eps, momentum=momentum, affine=True, track_running_stats=True
    ).train(training)
    layer.running_mean, layer.running_var = running_mean, running_var
    y = _with_parameters(layer, weight, bias, x)(mx.moveaxis(x, channel_axis, -1))
    return mx.moveaxis(y, -1, channel_axis), layer.running_mean, layer.running_var


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: float, normalized_ndim: int
) -> Array:
    """``mlx.nn.LayerNorm``, which normalizes one axis: several are brought into one before."""
    rows = mx.flatten(x, x.ndim - normalized_ndim, -1)
    layer = nn.LayerNorm(rows.shape[-1], eps=eps, affine=True, bias=True)
    weight, bias = (None if p is None else p.reshape(-1) for p in (weight, bias))
    return _with_parameters(layer, weight, bias, x)(rows).reshape(x.shape)


def instance_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    channel_axis: int = 1,
) -> Array:
    """``mlx.nn.InstanceNorm``."""
    x = mx.moveaxis(x, channel_axis, -1)
    layer = nn.InstanceNorm(x.shape[-1], eps=eps, affine=True)
    return mx.moveaxis(_with_parameters(layer, weight, bias, x)(x), -1, channel_axis)


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
    """``mlx.nn.GroupNorm``, pytorch_compatible or, for interleaved groups, not; else one call for each group."""
    x = mx.moveaxis(x, channel_axis, -1)
    split = same_groups({"num_groups": num_groups, "groups": groups}, x.shape[-1])
    contiguous = equal_contiguous(split)
    if contiguous or _interleaved(split):
        layer = nn.GroupNorm(len(split), x.shape[-1], eps=eps, affine=True, pytorch_compatible=contiguous)
        y = _with_parameters(layer, weight, bias, x)(x)
    else:
        parts = []
        for group in split:
            layer = nn.GroupNorm(1, len(group), eps=eps, affine=True, pytorch_compatible=True)
            of_group = _with_parameters(layer, _taken(weight, group), _taken(bias, group), x)
            parts.append(of_group(_taken(x, group)))
        y = mx.concatenate(parts, axis=-1)[..., mx.array(places(split))]
    return mx.moveaxis(y, -1, channel_axis)


def _taken(array: Optional[Array], channels: List[int]) -> Optional[Array]:
    return None if array is None else array[..., mx.array(channels)]


def _interleaved(groups: List[List[int]]) -> bool:
    """True if channel c is in group c mod the number of groups, which is how MLX's own are."""
    channels, number = sum(map(len, groups)), len(groups)
    strided = [list(range(first, channels, number)) for first in range(number)]
    return channels % number == 0 and groups == strided


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class Mlx(Backend):
    """MLX's arrays, computed as its layers are called, on one stream."""

    METHODS: Mapping[str, Function] = METHODS
    TRACKED = ("batch",)

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

    def lacks(self, task: Task) -> Optional[str]:
        """Besides, float64 on the GPU."""
        if self.device == "gpu" and task.dtype == "float64":
            return "has no float64 on the GPU"
        return super().lacks(task)

    def refuses(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
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
        array = np.array(value)
        return array.dtype.name, array

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Array,
    ) -> Differentiated:
        """mlx.core.value_and_grad of Σ y·grad_y, whose gradient with respect to y is grad_y."""
        places = [place for place, array in enumerate(arrays) if array is not None]

        def weighted(*given: Array) -> Tuple[Array, Any]:
            returned = function(*given, **named, **static)
            y = returned[0] if isinstance(returned, tuple) and returned else returned
            return (y * grad_y).sum(), returned

        try:
            (_, returned), found = mx.value_and_grad(weighted, argnums=places)(*arrays)
            found = found if len(places) > 1 else (found,)  # of one argument it is no tuple
            mx.eval(found)
        except Exception as error:  # an answer about the gradients, if it can be called without them
            return function(*arrays, **named, **static), {}, error
        return returned, {GRADIENTS[place]: gradient for place, gradient in zip(places, found)}, None
