"""flax.linen's layers, as the framework of JAX that they are part of runs them: jitted, and jax.vjp."""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Tuple

import jax
import jax.numpy as jnp
from flax import linen

from normcheck.backends._adapter import LayerFunction, Params
from normcheck.backends._base import Function
from normcheck.backends._flax import Flax, averaged, grouped, over_last
from normcheck.backends._jax_tools import leaf, load, tracked
from normcheck.backends.jax import Array, Parameter, wide


class FlaxLinen(Flax):
    """flax.linen's layers."""

    def settings(self, x: Array, weight: Parameter, bias: Parameter, eps: float) -> Dict[str, Any]:
        """Besides, statistics in float32, which is linen's default."""
        return {**super().settings(x, weight, bias, eps), "force_float32_reductions": True}

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``flax.linen.BatchNorm``, whose running variance is biased: see :func:`_jax_tools.unbiased`."""
        layer = linen.BatchNorm(**averaged(params), **self.settings(x, weight, bias, params.eps))
        state = {"mean": params.running_mean, "var": params.running_var}
        variables = {"params": _parameters(weight, bias), "batch_stats": state}
        y, updated = layer.apply(variables, x, mutable=["batch_stats"])
        return tracked(y, updated["batch_stats"]["mean"], updated["batch_stats"]["var"], x, params)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.linen.LayerNorm`` over the last axes."""
        return self._applied(linen.LayerNorm, x, weight, bias, params, over_last(params.normalized_ndim))

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.linen.RMSNorm`` over the last axes."""
        how = {**over_last(params.normalized_ndim), **self.without_bias(x, weight, params.eps)}
        return linen.RMSNorm(**how).apply({"params": _parameters(weight, bias)}, x)

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.linen.InstanceNorm``, which takes the channels' axis."""
        options = {"feature_axes": params.channel_axis}
        return self._applied(linen.InstanceNorm, x, weight, bias, params, options)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``flax.linen.GroupNorm``, whose channels are last."""
        return self._applied(linen.GroupNorm, x, weight, bias, params, grouped(len(params.groups), x.ndim))

    def _applied(
        self, kind: Any, x: Array, weight: Parameter, bias: Parameter, params: Params, options: Dict[str, Any]
    ) -> Array:
        layer = kind(**options, **self.settings(x, weight, bias, params.eps))
        return layer.apply({"params": _parameters(weight, bias)}, x)


def _parameters(weight: Parameter, bias: Parameter) -> Dict[str, Array]:
    return {name: value for name, value in (("scale", weight), ("bias", bias)) if value is not None}


def is_layer(value: Any) -> bool:
    """True: all of its modules are layers."""
    return isinstance(value, linen.Module)


def held(layer: Any) -> List[Tuple[str, Any]]:
    """What it will hold, as far as it says: its arrays are made when it is called."""
    without = {"scale": "use_scale", "bias": "use_bias"}
    found = [name for name, flag in without.items() if getattr(layer, flag, True)]
    return [(name, None) for name in (*found, "mean", "var")]


def as_function(layer: Any) -> Function:
    """The layer as a function of the parameters that it holds."""
    return LayerFunction(layer, _called)


def _called(layer: Any, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
    """Call a user's layer.

    flax has the channels last: batch, instance and group norm get x with its channels moved there, and y is
    moved back. Layer norm, which is over the last axes in PyTorch too, gets x as it is. The fixture's weight
    and bias are loaded into the layer's one parameter called scale (or weight) and bias, running statistics
    into those of its collection batch_stats, of which the variance is biased, as flax.linen.BatchNorm's is.
    """
    axis = -1 if params.normalized_ndim else params.channel_axis
    moved = jnp.moveaxis(x, axis, -1)
    layer, flags = _switched(layer, params.training)
    variables = dict(layer.init(jax.random.key(0), jnp.zeros_like(moved), **flags))
    parameters = load(variables.get("params", {}), ("scale", "weight"), weight, 1.0, x.dtype)
    variables["params"] = load(parameters, ("bias",), bias, 0.0, x.dtype)
    state = variables.get("batch_stats")
    if state is None or params.running_mean is None:
        return jnp.moveaxis(layer.apply(variables, moved, **flags), -1, axis)
    state = load(state, ("mean",), wide(params.running_mean), 0.0, x.dtype)
    variables["batch_stats"] = load(state, ("var",), wide(params.running_var), 1.0, x.dtype)
    y, updated = layer.apply(variables, moved, mutable=["batch_stats"], **flags)
    mean, var = (leaf(updated["batch_stats"], name) for name in ("mean", "var"))
    return tracked(jnp.moveaxis(y, -1, axis), mean, var, x, params)


def _switched(layer: Any, training: bool) -> Tuple[Any, Dict[str, bool]]:
    """The layer in training or not, and what to call it with: whichever of flax's flags it has."""
    if hasattr(layer, "use_running_average"):
        return layer.clone(use_running_average=not training), {}
    flags = {"use_running_average": not training, "train": training, "training": training}
    taken = inspect.signature(layer.__call__).parameters
    return layer, {name: value for name, value in flags.items() if name in taken}
