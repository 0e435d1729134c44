"""NumPy: the four methods as one would write them by hand, forward and backward.

Every method brings x into rows, one for each statistic set, and back; NumPy adds pairwise along rows that lie
in memory one after another, and only there. Half precision is computed in
float32 and rounded once, at the end.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from normcheck.backends._base import (
    Backend,
    Differentiated,
    Function,
    NotAnArrayError,
    Tagged,
    flattened,
    same_groups,
)

Array = Any  # numpy.ndarray; spelled so that every NumPy from 1.21 on can run this
View = Tuple[List[Array], Callable[[List[Array]], Array]]  # rows, and how to bring them back


def _batch_view(x: Array, *, channel_axis: int = 1, **_: Any) -> View:
    by_channel = np.moveaxis(x, channel_axis, 0)
    shape = by_channel.shape
    return [np.ascontiguousarray(flattened(by_channel, 1))], lambda rows: np.moveaxis(
        rows[0].reshape(shape), 0, channel_axis
    )


def _layer_view(x: Array, *, normalized_ndim: int, **_: Any) -> View:
    rows = flattened(x, x.ndim - normalized_ndim)
    return [rows], lambda rows: rows[0].reshape(x.shape)


def _instance_view(x: Array, *, channel_axis: int = 1, **_: Any) -> View:
    by_sample = np.moveaxis(x, channel_axis, 1)
    shape = by_sample.shape
    return [np.ascontiguousarray(flattened(by_sample, 2))], lambda rows: np.moveaxis(
        rows[0].reshape(shape), 1, channel_axis
    )


def _group_view(
    x: Array,
    *,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
    **_: Any,
) -> View:
    by_sample = np.moveaxis(x, channel_axis, 1)
    split = same_groups({"num_groups": num_groups, "groups": groups}, by_sample.shape[1])

    def back(rows: List[Array]) -> Array:
        joined = np.empty(by_sample.shape, rows[0].dtype)
        for group, row in zip(split, rows):
            joined[:, group] = row.reshape(joined[:, group].shape)
        return np.moveaxis(joined, 1, channel_axis)

    return [np.ascontiguousarray(flattened(by_sample[:, group], 1)) for group in split], back


def _standardize(rows: Array, eps: float) -> Array:
    """Rows with mean 0 and variance 1; each row, of the last axis, is one statistic set."""
    return (rows - rows.mean(axis=-1, keepdims=True)) * _inverse_root(rows, eps)


def _inverse_root(rows: Array, eps: float) -> Array:
    return 1 / np.sqrt(rows.var(axis=-1, keepdims=True) + eps)


def _along(parameter: Array, x: Array, layer: bool, channel_axis: int) -> Array:
    """A parameter in a shape that broadcasts against x."""
    if layer:
        return parameter
    return parameter.reshape([-1 if axis == channel_axis % x.ndim else 1 for axis in range(x.ndim)])


def _wide(array: Array) -> Array:
    """Half precision in float32, in which statistics belong."""
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def _affine(x_hat: Array, weight: Any, bias: Any, static: Dict[str, Any]) -> Array:
    where = ("normalized_ndim" in static, static.get("channel_axis", 1))
    y = x_hat if weight is None else x_hat * _along(_wide(weight), x_hat, *where)
    return y if bias is None else y + _along(_wide(bias), x_hat, *where)


def _normalize(
    view: Callable[..., View], x: Array, weight: Any, bias: Any, eps: float, **static: Any
) -> Array:
    rows, back = view(_wide(x), **static)
    return _affine(back([_standardize(row, eps) for row in rows]), weight, bias, static).astype(x.dtype)


def _tracking(
    view: Callable[..., View],
    x: Array,
    weight: Any,
    bias: Any,
    eps: float,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float,
    channel_axis: int,
) -> Tuple[Array, Array, Array]:
    """y, and the running statistics after it; a channel's statistics are averaged over its rows."""
    static = {"channel_axis": channel_axis}
    if not training:
        mean, var = (_along(_wide(a), x, False, channel_axis) for a in (running_mean, running_var))
        y = _affine((_wide(x) - mean) / np.sqrt(var + eps), weight, bias, static)
        return y.astype(x.dtype), running_mean, running_var
    y = _normalize(view, x, weight, bias, eps, **static)
    (rows,), _ = view(_wide(x), **static)
    batch = (rows.mean(axis=-1), rows.var(axis=-1, ddof=1))
    new = [
        ((1 - momentum) * _wide(old) + momentum * now.reshape(-1, old.size).mean(axis=0)).astype(old.dtype)
        for old, now in zip((running_mean, running_var), batch)
    ]
    return y, new[0], new[1]


def batch_norm(
    x: Array,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float,
    channel_axis: int = 1,
) -> Tuple[Array, Array, Array]:
    """Normalize each channel over the batch, or with the running statistics; the statistics after it."""
    state = (running_mean, running_var, training, momentum)
    return _tracking(_batch_view, x, weight, bias, eps, *state, channel_axis)


def layer_norm(x: Array, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Array:
    """Normalize each sample over its last ``normalized_ndim`` axes."""
    return _normalize(_layer_view, x, weight, bias, eps, normalized_ndim=normalized_ndim)


def instance_norm(
    x: Array,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    running_mean: Optional[Array] = None,
    running_var: Optional[Array] = None,
    training: bool = True,
    momentum: float = 0.0,
    channel_axis: int = 1,
) -> Any:
    """Normalize each channel of each sample, or with running statistics if there are any; then those too."""
    if running_mean is None or running_var is None:
        return _normalize(_instance_view, x, weight, bias, eps, channel_axis=channel_axis)
    state = (running_mean, running_var, training, momentum)
    return _tracking(_instance_view, x, weight, bias, eps, *state, channel_axis)


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
    how = {"num_groups": num_groups, "groups": groups, "channel_axis": channel_axis}
    return _normalize(_group_view, x, weight, bias, eps, **how)


def _gradients(
    view: Callable[..., View], static: Dict[str, Any], arrays: List[Any], named: Dict[str, Any], grad_y: Array
) -> Dict[str, Array]:
    """The textbook backward pass: dx = r·(h - mean(h) - x̂·mean(h·x̂)), h = weight·grad_y."""
    x, weight, bias = arrays
    wide, g, eps = _wide(x), _wide(grad_y), static["eps"]
    where = ("normalized_ndim" in static, static.get("channel_axis", 1))
    h = g if weight is None else g * _along(_wide(weight), x, *where)
    if static.get("training", True):
        rows, back = view(wide, **static)
        x_hats = [_standardize(row, eps) for row in rows]
        dx = back([_backward(*parts, eps) for parts in zip(rows, x_hats, view(h, **static)[0])])
        x_hat = back(x_hats)
    else:
        mean, var = (_along(_wide(named[name]), x, *where) for name in ("running_mean", "running_var"))
        root = np.sqrt(var + eps)
        dx, x_hat = h / root, (wide - mean) / root
    found = {"grad_x": dx.astype(x.dtype)}
    if weight is not None:
        found["grad_weight"] = _summed(g * x_hat, weight, *where)
    if bias is not None:
        found["grad_bias"] = _summed(g, bias, *where)
    return found


def _backward(rows: Array, x_hat: Array, h: Array, eps: float) -> Array:
    centred = h - h.mean(axis=-1, keepdims=True)
    return _inverse_root(rows, eps) * (centred - x_hat * (h * x_hat).mean(axis=-1, keepdims=True))


def _summed(a: Array, parameter: Array, layer: bool, channel_axis: int) -> Array:
    """The sum of ``a`` over all that ``parameter`` broadcasts over: rows of one axis, so pairwise."""
    if layer:
        rows = np.ascontiguousarray(a.reshape(-1, parameter.size).T)
    else:
        rows = np.ascontiguousarray(flattened(np.moveaxis(a, channel_axis, 0), 1))
    return rows.sum(axis=-1).reshape(parameter.shape).astype(parameter.dtype)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}

_VIEWS: Dict[Function, Callable[..., View]] = {
    batch_norm: _batch_view,
    layer_norm: _layer_view,
    instance_norm: _instance_view,
    group_norm: _group_view,
}


class NumPy(Backend):
    """NumPy's arrays; a user's function is called as it is, without gradients."""

    METHODS = METHODS

    def environment(self) -> Dict[str, Any]:
        """NumPy has no settings that affect these sums: it adds pairwise, on one thread."""
        return {"version": np.__version__, "device": "cpu", "threads": 1, "deterministic": True}

    def from_numpy(self, tagged: Tagged) -> Array:
        """The array itself; bfloat16 as ml_dtypes has it."""
        dtype, data = tagged
        if dtype != "bfloat16":
            return data
        import ml_dtypes

        return data.view(ml_dtypes.bfloat16)

    def to_numpy(self, value: Any) -> Tagged:
        """The array itself, with its dtype's name."""
        if not isinstance(value, (np.ndarray, np.generic)):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a numpy array")
        array = np.asarray(value)
        name = array.dtype.name
        return name, array.view(np.uint16) if name == "bfloat16" else array

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Array,
    ) -> Differentiated:
        """The gradients of the functions of this module; NumPy itself cannot differentiate a user's."""
        returned = function(*arrays, **named, **static)
        if function not in _VIEWS:
            return returned, None, None
        return returned, _gradients(_VIEWS[function], static, arrays, named, grad_y), None
