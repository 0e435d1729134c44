"""flax.nnx's layers, jitted, and jax.vjp.

Their statistics are float32 or better whatever x is, so running statistics of half precision go in as
float32, and are rounded when they come out.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional, Tuple

import jax.numpy as jnp
from flax import nnx

from normcheck.backends._base import Function
from normcheck.backends._flax import Flax
from normcheck.backends.jax import Array, in_groups, leaf, load, unbiased, wide


def _options(
    x: Array, weight: Optional[Array], bias: Optional[Array], eps: float, use_fast_variance: bool
) -> Dict[str, Any]:
    """What all the layers take; they are initialized with the parameters, flat as theirs are."""
    given = [parameter for parameter in (weight, bias) if parameter is not None]
    options: Dict[str, Any] = {
        "epsilon": eps,
        "dtype": x.dtype,
        "param_dtype": given[0].dtype if given else x.dtype,
        "use_scale": weight is not None,
        "use_bias": bias is not None,
        "use_fast_variance": use_fast_variance,
        "rngs": nnx.Rngs(0),
    }
    if weight is not None:
        options["scale_init"] = lambda *_: weight.reshape(-1)
    if bias is not None:
        options["bias_init"] = lambda *_: bias.reshape(-1)
    return options


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
    use_fast_variance: bool = True,
) -> Tuple[Array, Array, Array]:
    """``flax.nnx.BatchNorm``, whose momentum weighs the old value, and whose running variance is biased:
    that takes what :func:`normcheck.backends.jax.unbiased` says.
    """
    layer = nnx.BatchNorm(
        x.shape[channel_axis],
        use_running_average=not training,
        axis=channel_axis,
        momentum=1 - momentum,
        **_options(x, weight, bias, eps, use_fast_variance),
    )
    layer.mean.set_value(wide(running_mean))
    layer.var.set_value(wide(running_var))
    y = layer(x)
    var = layer.var[...]
    if training:
        var = unbiased(var, running_var, momentum, x)
    return y, layer.mean[...].astype(running_mean.dtype), var.astype(running_var.dtype)


def layer_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    normalized_ndim: int,
    use_fast_variance: bool = True,
) -> Array:
    """``flax.nnx.LayerNorm`` over the last axes."""
    axes = tuple(range(-normalized_ndim, 0))
    features = math.prod(x.shape[x.ndim - normalized_ndim :])
    options = _options(x, weight, bias, eps, use_fast_variance)
    return nnx.LayerNorm(features, reduction_axes=axes, feature_axes=axes, **options)(x)


def instance_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    channel_axis: int = 1,
    use_fast_variance: bool = True,
) -> Array:
    """``flax.nnx.InstanceNorm``, which takes the channels' axis."""
    options = _options(x, weight, bias, eps, use_fast_variance)
    return nnx.InstanceNorm(x.shape[channel_axis], feature_axes=channel_axis, **options)(x)


def group_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
    use_fast_variance: bool = True,
) -> Array:
    """``flax.nnx.GroupNorm``, whose channels are last."""

    def call(part: Array, w: Optional[Array], b: Optional[Array], number: int) -> Array:
        layer = nnx.GroupNorm(
            part.shape[-1],
            num_groups=number,
            group_size=None,
            reduction_axes=tuple(range(1, part.ndim)),
            **_options(part, w, b, eps, use_fast_variance),
        )
        return layer(part)

    y = in_groups(call, jnp.moveaxis(x, channel_axis, -1), weight, bias, num_groups, groups, -1)
    return jnp.moveaxis(y, -1, channel_axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class FlaxNNX(Flax):
    """flax.nnx's layers."""

    METHODS: Mapping[str, Function] = METHODS


class _Layer:
    """A flax.nnx.Module called like a function; its eps, groups and momentum are its own.

    flax has the channels last: batch, instance and group norm get x with its channels moved there, and y is
    moved back. Layer norm, which is over the last axes in PyTorch too, gets x as it is. The fixture's weight
    and bias are loaded into the layer's one parameter called scale (or weight) and bias, running statistics
    into its BatchStat variables, of which the variance is biased, as flax.nnx.BatchNorm's is. The layer
    itself stays as it is: a copy of it is called, after ``train()`` or ``eval()``.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(
        self,
        x: Array,
        weight: Optional[Array],
        bias: Optional[Array],
        *,
        channel_axis: int = 1,
        normalized_ndim: Optional[int] = None,
        training: bool = True,
        momentum: Optional[float] = None,
        running_mean: Optional[Array] = None,
        running_var: Optional[Array] = None,
    ) -> Any:
        axis = channel_axis if normalized_ndim is None else -1
        split: Any = nnx.split(self.layer, nnx.Param, nnx.BatchStat, ...)
        graph, params, stats, rest = split
        values = nnx.to_pure_dict(params)
        values = load(values, ("scale", "weight"), weight, 1.0, x.dtype)
        nnx.replace_by_pure_dict(params, load(values, ("bias",), bias, 0.0, x.dtype))
        if running_mean is not None and running_var is not None and stats:
            state = load(nnx.to_pure_dict(stats), ("mean",), wide(running_mean), 0.0, x.dtype)
            nnx.replace_by_pure_dict(stats, load(state, ("var",), wide(running_var), 1.0, x.dtype))
        layer = nnx.merge(graph, params, stats, rest)
        layer.train() if training else layer.eval()
        y = jnp.moveaxis(layer(jnp.moveaxis(x, axis, -1)), -1, axis)
        if running_mean is None or running_var is None or momentum is None or not stats:
            return y
        updated = nnx.to_pure_dict(nnx.state(layer, nnx.BatchStat))
        mean, var = leaf(updated, "mean"), leaf(updated, "var")
        if training:
            var = unbiased(var, running_var, momentum, x)
        return y, mean.astype(running_mean.dtype), var.astype(running_var.dtype)


def as_function(layer: Any) -> Function:
    """The layer as a function of the parameters that it holds."""
    return _Layer(layer)
