"""equinox's layers, jitted, and jax.vjp. They are functions of one sample, its channels first: jax.vmap calls
them with all.

It has no instance norm. In mode ``ema``, its own default, batch norm in training normalizes with the running
statistics that it has just updated, not with the batch's.
"""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Mapping, Optional, Tuple

import equinox as eqx
import jax
import jax.numpy as jnp

from normcheck.backends._adapter import FIRST, LayerFunction, Params
from normcheck.backends._base import Function, Task
from normcheck.backends._jax_tools import MANY, JaxLibrary, leaves, load, tracked
from normcheck.backends.jax import Array, Parameter


def _with(layer: Any, weight: Parameter, bias: Parameter, dtype: Any) -> Any:
    """The layer with these parameters; those of a layer that has both, but gets one, leave x̂ as it is."""
    layer = load(layer, ("weight",), weight, 1.0, dtype)
    return load(layer, ("bias",), bias, 0.0, dtype)


def _batch_norm_of(layer: Any) -> Any:
    """The equinox.nn.BatchNorm that ``layer`` is or has; None if there is none."""
    leaves = jax.tree_util.tree_leaves(layer, is_leaf=lambda node: isinstance(node, eqx.nn.BatchNorm))
    found = [node for node in leaves if isinstance(node, eqx.nn.BatchNorm)]
    if len(found) > 1:
        raise TypeError(
            f"the layer has {len(found)} batch norms to load the fixture's running statistics into"
        )
    return found[0] if found else None


def _indices(layer: Any) -> Tuple[Any, Any]:
    """Where the state of the layer's batch norm is: the running statistics, and how often it was updated."""
    norm = _batch_norm_of(layer)
    if norm.mode == "ema":
        return norm.ema_state_index, norm.ema_first_time_index
    return norm.batch_state_index, norm.batch_counter


def _tracking(layer: Any, x: Array, params: Params) -> Tuple[Array, Array, Array]:
    """Call a layer that is or has a batch norm with all samples of x, and these running statistics."""
    norm = _batch_norm_of(layer)
    counter = jnp.array(False) if norm.mode == "ema" else jnp.array(MANY)
    state = (params.running_mean, params.running_var)
    indices = (eqx.nn.StateIndex(state), eqx.nn.StateIndex(counter))
    layer = eqx.tree_at(_indices, layer, indices, is_leaf=lambda node: isinstance(node, eqx.nn.StateIndex))
    layer = eqx.nn.inference_mode(layer, value=not params.training)
    batched = jax.vmap(layer, in_axes=(0, None), out_axes=(0, None), axis_name=norm.axis_name)
    y, after = batched(x, eqx.nn.State(layer))
    mean, var = after.get(indices[0])
    return tracked(y, mean, var, x, params)


def _mapped(layer: Function, axes: int) -> Function:
    """The layer over so many leading axes."""
    for _ in range(axes):
        layer = jax.vmap(layer)
    return layer


class Equinox(JaxLibrary):
    """equinox's layers; ``[mode=ema]`` is that of its batch norm in which training uses the moving average."""

    LIBRARY = eqx
    CHANNELS = FIRST
    WIDE_STATE = False
    instance_norm = None  # type: ignore[assignment]

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Mode ``batch``, what others call batch norm, unless the option says otherwise; equinox's own is ``ema``."""
        super().__init__(options, device)
        self.mode: Any = self.options.get("mode", "batch")

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {**super().environment(), "mode": self.mode}

    def not_offered(self, task: Task) -> Optional[str]:
        """Its momentum is "between 0 and 1 exclusive"."""
        if task.tracks and not 0 < task.params["momentum"] < 1:
            return "equinox's batch norm has a momentum between 0 and 1"
        return super().not_offered(task)

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``equinox.nn.BatchNorm``, whose momentum weighs the old value, and whose running variance is biased:
        see :func:`_jax_tools.unbiased`.
        """
        layer = eqx.nn.BatchNorm(
            x.shape[1],
            axis_name="batch",
            eps=params.eps,
            channelwise_affine=weight is not None or bias is not None,
            momentum=1 - params.momentum,
            inference=not params.training,
            dtype=params.running_mean.dtype,
            mode=self.mode,
        )
        return _tracking(_with(layer, weight, bias, x.dtype), x, params)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``equinox.nn.LayerNorm``, for each of the leading axes under a jax.vmap."""
        leading = x.ndim - params.normalized_ndim
        affine = {"use_weight": weight is not None, "use_bias": bias is not None}
        layer = eqx.nn.LayerNorm(x.shape[leading:], eps=params.eps, **affine, dtype=x.dtype)
        return _mapped(_with(layer, weight, bias, x.dtype), leading)(x)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``equinox.nn.RMSNorm``, for each of the leading axes under a jax.vmap."""
        leading = x.ndim - params.normalized_ndim
        affine = {"use_weight": weight is not None, "use_bias": bias is not None}
        layer = eqx.nn.RMSNorm(x.shape[leading:], eps=params.eps, **affine, dtype=x.dtype)
        return _mapped(_with(layer, weight, bias, x.dtype), leading)(x)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``equinox.nn.GroupNorm``."""
        how = {"eps": params.eps, "channelwise_affine": weight is not None or bias is not None}
        layer = eqx.nn.GroupNorm(len(params.groups), x.shape[1], **how, dtype=x.dtype)
        return _mapped(_with(layer, weight, bias, x.dtype), 1)(x)


def is_layer(value: Any) -> bool:
    """False for other Modules: for a StateIndex, and for what equinox's transformations such as filter_jit return; one
    that takes weight and bias is a function.
    """
    return callable(value) and "weight" not in inspect.signature(value).parameters


def held(layer: Any) -> List[Tuple[str, Any]]:
    """Its arrays; the running statistics of a batch norm are in a State, made when it is called."""
    state = [] if _batch_norm_of(layer) is None else ["running_mean", "running_var"]
    return [*leaves(eqx.filter(layer, eqx.is_array)), *((name, None) for name in state)]


def as_function(layer: Any) -> Function:
    """The layer as a function of the parameters that it holds."""
    return LayerFunction(layer, _called)


def _called(layer: Any, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
    """Call a user's layer, which is what equinox's own are: a function of one sample, whose channels are first.

    It is called under jax.vmap, with the axis_name that its batch norm has; in layer norm's cases under one for
    each axis that is not normalized. Running statistics are loaded into the state of the one batch norm that it
    is or has, and so it is called with a State. ``inference`` is switched.
    """
    layer = _with(layer, weight, bias, x.dtype)
    if params.normalized_ndim:
        return _mapped(layer, x.ndim - params.normalized_ndim)(x)
    x = jnp.moveaxis(x, params.channel_axis, 1)
    if params.running_mean is None or _batch_norm_of(layer) is None:
        layer = eqx.nn.inference_mode(layer, value=not params.training)
        return jnp.moveaxis(_mapped(layer, 1)(x), 1, params.channel_axis)
    y, *state = _tracking(layer, x, params)
    return (jnp.moveaxis(y, 1, params.channel_axis), *state)
