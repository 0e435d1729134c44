"""NumPy: the four methods as one would write them by hand, each a mean and a variance over one axis."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from normcheck.backends._base import Function, NotAnArrayError, Tagged, Task, same_groups

Array = Any  # numpy.ndarray; spelled so that every NumPy from 1.21 on can run this


def environment() -> Dict[str, Any]:
    """NumPy has no settings that affect these sums: it adds pairwise, on one thread."""
    return {"version": np.__version__, "device": "cpu", "threads": 1, "deterministic": True}


def configure(task: Task) -> None:
    """Nothing to prepare."""


def unsupported(task: Task, shape: Tuple[int, ...]) -> Optional[str]:
    """NumPy computes every case."""
    return None


def from_numpy(array: Array) -> Array:
    """The array itself."""
    return array


def to_numpy(value: Any) -> Tagged:
    """The array itself, with its dtype's name."""
    if not isinstance(value, (np.ndarray, np.generic)):
        raise NotAnArrayError(f"is a {type(value).__name__}, not a numpy array")
    array = np.asarray(value)
    return array.dtype.name, array


def compiled(function: Function, static: Dict[str, Any]) -> Function:
    """NumPy runs what is written."""
    return lambda *arrays: function(*arrays, **static)


def _standardize(rows: Array, eps: float) -> Array:
    """Rows with mean 0 and variance 1; each row, of the last axis, is one statistic set."""
    mean = rows.mean(axis=-1, keepdims=True)
    var = rows.var(axis=-1, keepdims=True)
    return (rows - mean) / np.sqrt(var + eps)


def _affine(x_hat: Array, weight: Optional[Array], bias: Optional[Array], axis: int) -> Array:
    """weight·x̂ + bias along the channels in ``axis``."""
    shape = [-1 if axis == a else 1 for a in range(x_hat.ndim)]
    if weight is not None:
        x_hat = x_hat * weight.reshape(shape)
    return x_hat if bias is None else x_hat + bias.reshape(shape)


def batch_norm(x: Array, weight: Any, bias: Any, *, eps: float, channel_axis: int = 1) -> Array:
    """Normalize each channel over the batch."""
    by_channel = np.moveaxis(x, channel_axis, 0)
    rows = by_channel.reshape(by_channel.shape[0], -1)
    x_hat = np.moveaxis(_standardize(rows, eps).reshape(by_channel.shape), 0, channel_axis)
    return _affine(x_hat, weight, bias, channel_axis % x.ndim)


def layer_norm(x: Array, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Array:
    """Normalize each sample over its last ``normalized_ndim`` axes."""
    rows = x.reshape(*x.shape[: x.ndim - normalized_ndim], -1)
    x_hat = _standardize(rows, eps).reshape(x.shape)
    y = x_hat if weight is None else x_hat * weight
    return y if bias is None else y + bias


def instance_norm(x: Array, weight: Any, bias: Any, *, eps: float, channel_axis: int = 1) -> Array:
    """Normalize each channel of each sample."""
    channels_first = np.moveaxis(x, channel_axis, 1)
    rows = channels_first.reshape(*channels_first.shape[:2], -1)
    x_hat = np.moveaxis(_standardize(rows, eps).reshape(channels_first.shape), 1, channel_axis)
    return _affine(x_hat, weight, bias, channel_axis % x.ndim)


def group_norm(
    x: Array,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Array:
    """Normalize each group of channels of each sample."""
    channels_first = np.moveaxis(x, channel_axis, 1)
    x_hat = np.empty_like(channels_first)
    params = {"num_groups": num_groups, "groups": groups}
    for group in same_groups(params, channels_first.shape[1]):
        part = channels_first[:, group]
        x_hat[:, group] = _standardize(part.reshape(len(part), -1), eps).reshape(part.shape)
    return _affine(np.moveaxis(x_hat, 1, channel_axis), weight, bias, channel_axis % x.ndim)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}
