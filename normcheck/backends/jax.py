"""JAX: jitted jax.numpy, as one would write a normalization without a layer library."""

from __future__ import annotations

import functools
import json
from typing import Any, Dict, List, Optional, Tuple

import jax
import jax.numpy as jnp
import numpy as np

from normcheck.backends._base import Function, NotAnArrayError, Tagged, Task, same_groups

Array = Any  # jax.Array


def environment() -> Dict[str, Any]:
    """JAX on its default device; float64 is switched on for float64 cases only."""
    device = jax.devices()[0]
    return {
        "version": jax.__version__,
        "device": device.platform,
        "threads": "XLA's own pool",
        "deterministic": True,
        "jit": True,
        "x64": "float64 cases only",
    }


def configure(task: Task) -> None:
    """Without x64, JAX would turn float64 into float32 and say nothing."""
    jax.config.update("jax_enable_x64", task.dtype == "float64")  # type: ignore[no-untyped-call]


def unsupported(task: Task, shape: Tuple[int, ...]) -> Optional[str]:
    """JAX computes every case."""
    return None


def from_numpy(array: Any) -> Array:
    """A copy on the default device: JAX arrays never change, so they must not share memory that may."""
    return jnp.array(array, copy=True)


def to_numpy(value: Any) -> Tagged:
    """The array's data, once it is computed."""
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        raise NotAnArrayError(f"is a {type(value).__name__}, not a jax.Array")
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        return "bfloat16", array.view(np.uint16)
    return array.dtype.name, array


def compiled(function: Function, static: Dict[str, Any]) -> Function:
    """The jitted function, one for each set of parameters; eps is traced, so that it costs no compilation."""
    eps = static["eps"]
    others = json.dumps({name: value for name, value in static.items() if name != "eps"}, sort_keys=True)
    jitted = _jitted(function, others)
    return lambda *arrays: jitted(*arrays, eps=eps)


@functools.lru_cache(maxsize=None)
def _jitted(function: Function, others: str) -> Function:
    return jax.jit(functools.partial(function, **json.loads(others)))


def _standardize(rows: Array, eps: Any) -> Array:
    """Rows with mean 0 and variance 1; each row, of the last axis, is one statistic set."""
    deviation = rows - rows.mean(axis=-1, keepdims=True)
    var = jnp.square(deviation).mean(axis=-1, keepdims=True)
    return deviation / jnp.sqrt(var + eps)


def _affine(x_hat: Array, weight: Optional[Array], bias: Optional[Array], axis: int) -> Array:
    """weight·x̂ + bias along the channels in ``axis``."""
    shape = [-1 if axis == a else 1 for a in range(x_hat.ndim)]
    if weight is not None:
        x_hat = x_hat * weight.reshape(shape)
    return x_hat if bias is None else x_hat + bias.reshape(shape)


def batch_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: Any, channel_axis: int = 1
) -> Array:
    """Normalize each channel over the batch."""
    by_channel = jnp.moveaxis(x, channel_axis, 0)
    rows = by_channel.reshape(by_channel.shape[0], -1)
    x_hat = jnp.moveaxis(_standardize(rows, eps).reshape(by_channel.shape), 0, channel_axis)
    return _affine(x_hat, weight, bias, channel_axis % x.ndim)


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: Any, normalized_ndim: int
) -> Array:
    """Normalize each sample over its last ``normalized_ndim`` axes."""
    rows = x.reshape(*x.shape[: x.ndim - normalized_ndim], -1)
    y = _standardize(rows, eps).reshape(x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def instance_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: Any, channel_axis: int = 1
) -> Array:
    """Normalize each channel of each sample."""
    channels_first = jnp.moveaxis(x, channel_axis, 1)
    rows = channels_first.reshape(*channels_first.shape[:2], -1)
    x_hat = jnp.moveaxis(_standardize(rows, eps).reshape(channels_first.shape), 1, channel_axis)
    return _affine(x_hat, weight, bias, channel_axis % x.ndim)


def group_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: Any,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Array:
    """Normalize each group of channels of each sample: as one array where they are equal and contiguous."""
    channels_first = jnp.moveaxis(x, channel_axis, 1)
    batch, channels = channels_first.shape[:2]
    if num_groups is not None:
        x_hat = _standardize(channels_first.reshape(batch, num_groups, -1), eps).reshape(channels_first.shape)
    else:
        split = same_groups({"groups": groups}, channels)
        parts = [channels_first[:, np.array(group)] for group in split]
        parts = [_standardize(part.reshape(batch, -1), eps).reshape(part.shape) for part in parts]
        order = np.argsort([channel for group in split for channel in group])
        x_hat = jnp.concatenate(parts, axis=1)[:, order]
    return _affine(jnp.moveaxis(x_hat, 1, channel_axis), weight, bias, channel_axis % x.ndim)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}
