"""flax.nnx's layers, jitted, and jax.vjp."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import jax.numpy as jnp
from flax import nnx

from normcheck.backends._adapter import LayerFunction, Params
from normcheck.backends._base import Function
from normcheck.backends._flax import Flax, averaged, grouped, over_last
from normcheck.backends._jax_tools import leaf, leaves, load, tracked
from normcheck.backends.jax import Array, Parameter, wide


class FlaxNNX(Flax):
    """flax.nnx's layers."""

    def settings(self, x: Array, weight: Parameter, bias: Parameter, eps: float) -> Dict[str, Any]:
        """Besides, the parameters, flat as theirs are, with which they are initialized."""
        options = {**super().settings(x, weight, bias, eps), "rngs": nnx.Rngs(0)}
        given = {"scale_init": weight, "bias_init": bias}
        return {**options, **{name: _constant(p) for name, p in given.items() if p is not None}}

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``flax.nnx.BatchNorm``, whose running variance is biased: see :func:`_jax_tools.unbiased`."""
        channels = x.shape[params.channel_axis]
        layer = nnx.BatchNorm(channels, **averaged(params), **self.settings(x, weight, bias, params.eps))
        layer.mean.set_value(params.running_mean)
        layer.var.set_value(params.running_var)
        y = layer(x)
        return tracked(y, layer.mean[...], layer.var[...], x, params)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.nnx.LayerNorm`` over the last axes."""
        options = self.settings(x, weight, bias, params.eps)
        features = math.prod(x.shape[x.ndim - params.normalized_ndim :])
        return nnx.LayerNorm(features, **over_last(params.normalized_ndim), **options)(x)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.nnx.RMSNorm`` over the last axes."""
        options = self.without_bias(x, weight, params.eps)
        features = math.prod(x.shape[x.ndim - params.normalized_ndim :])
        return nnx.RMSNorm(features, **over_last(params.normalized_ndim), **options)(x)

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.nnx.InstanceNorm``, which takes the channels' axis."""
        axis, options = params.channel_axis, self.settings(x, weight, bias, params.eps)
        return nnx.InstanceNorm(x.shape[axis], feature_axes=axis, **options)(x)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.nnx.GroupNorm``, whose channels are last."""
        options = self.settings(x, weight, bias, params.eps)
        return nnx.GroupNorm(x.shape[-1], **grouped(len(params.groups), x.ndim), **options)(x)


def _constant(parameter: Array) -> Function:
    return lambda *_: parameter.reshape(-1)


def is_layer(value: Any) -> bool:
    """True: all of its modules are layers."""
    return isinstance(value, nnx.Module)


def held(layer: Any) -> List[Tuple[str, Any]]:
    """Its Params and BatchStats."""
    split: Any = nnx.split(layer, nnx.Param, nnx.BatchStat, ...)
    _, parameters, stats, _ = split
    return [*leaves(nnx.to_pure_dict(parameters)), *leaves(nnx.to_pure_dict(stats))]


def as_function(layer: Any) -> Function:
    """The layer as a function of the parameters that it holds."""
    return LayerFunction(layer, _called)


def _called(layer: Any, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
    """Call a user's layer: a copy of it, after ``train()`` or ``eval()``; the layer itself stays as it is.

    x is moved as for flax.linen. The fixture's weight and bias are loaded into the layer's one parameter called
    scale (or weight) and bias, running statistics into its BatchStat variables, of which the variance is biased.
    """
    axis = -1 if params.normalized_ndim else params.channel_axis
    split: Any = nnx.split(layer, nnx.Param, nnx.BatchStat, ...)
    graph, parameters, stats, rest = split
    values = load(nnx.to_pure_dict(parameters), ("scale", "weight"), weight, 1.0, x.dtype)
    nnx.replace_by_pure_dict(parameters, load(values, ("bias",), bias, 0.0, x.dtype))
    tracks = bool(stats) and params.running_mean is not None
    if tracks:
        state = load(nnx.to_pure_dict(stats), ("mean",), wide(params.running_mean), 0.0, x.dtype)
        nnx.replace_by_pure_dict(stats, load(state, ("var",), wide(params.running_var), 1.0, x.dtype))
    copy = nnx.merge(graph, parameters, stats, rest)
    copy.train() if params.training else copy.eval()
    y = jnp.moveaxis(copy(jnp.moveaxis(x, axis, -1)), -1, axis)
    if not tracks:
        return y
    updated = nnx.to_pure_dict(nnx.state(copy, nnx.BatchStat))
    return tracked(y, leaf(updated, "mean"), leaf(updated, "var"), x, params)
