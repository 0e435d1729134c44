"""equinox's layers, jitted, and jax.vjp. They are functions of one sample, its channels first: jax.vmap calls
them with all.

It has no instance norm. In mode ``ema``, its own default, batch norm in training normalizes with the running
statistics that it has just updated, not with the batch's.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Dict, List, Mapping, Optional, Tuple

import equinox as eqx
import jax
import jax.numpy as jnp

from normcheck.backends._base import Function, Task
from normcheck.backends.jax import Array, Jax, in_groups, load, unbiased

# How many training steps the running statistics stand for: so many that ``1 - momentum**steps``, by which
# mode "batch" divides them, is 1. They have no bias towards their initial value that it could take away.
MANY = 2**30


def _with(layer: Any, weight: Optional[Array], bias: Optional[Array], dtype: Any) -> Any:
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


def _tracking(
    layer: Any, x: Array, running_mean: Array, running_var: Array, training: bool, momentum: float
) -> Tuple[Array, Array, Array]:
    """Call a layer that is or has a batch norm with all samples of x, and these running statistics."""
    norm = _batch_norm_of(layer)
    counter = jnp.array(False) if norm.mode == "ema" else jnp.array(MANY)
    indices = (eqx.nn.StateIndex((running_mean, running_var)), eqx.nn.StateIndex(counter))
    layer = eqx.tree_at(_indices, layer, indices, is_leaf=lambda node: isinstance(node, eqx.nn.StateIndex))
    layer = eqx.nn.inference_mode(layer, value=not training)
    batched = jax.vmap(layer, in_axes=(0, None), out_axes=(0, None), axis_name=norm.axis_name)
    y, state = batched(x, eqx.nn.State(layer))
    mean, var = state.get(indices[0])
    if training:
        var = unbiased(var, running_var, momentum, x).astype(var.dtype)
    return y, mean, var


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
    mode: Any = "ema",
) -> Tuple[Array, Array, Array]:
    """``equinox.nn.BatchNorm``, whose momentum weighs the old value, and whose running variance is biased:
    that takes what :func:`normcheck.backends.jax.unbiased` says.
    """
    layer = eqx.nn.BatchNorm(
        x.shape[channel_axis],
        axis_name="batch",
        eps=eps,
        channelwise_affine=weight is not None or bias is not None,
        momentum=1 - momentum,
        inference=not training,
        dtype=running_mean.dtype,
        mode=mode,
    )
    layer = _with(layer, weight, bias, x.dtype)
    y, *state = _tracking(
        layer, jnp.moveaxis(x, channel_axis, 1), running_mean, running_var, training, momentum
    )
    return (jnp.moveaxis(y, 1, channel_axis), *state)


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: float, normalized_ndim: int
) -> Array:
    """``equinox.nn.LayerNorm``, for each of the leading axes under a jax.vmap."""
    leading = x.ndim - normalized_ndim
    layer = eqx.nn.LayerNorm(
        x.shape[leading:],
        eps=eps,
        use_weight=weight is not None,
        use_bias=bias is not None,
        dtype=x.dtype,
    )
    return _mapped(_with(layer, weight, bias, x.dtype), leading)(x)


def _mapped(layer: Function, axes: int) -> Function:
    """The layer over so many leading axes."""
    for _ in range(axes):
        layer = jax.vmap(layer)
    return layer


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
    """``equinox.nn.GroupNorm``."""

    def call(part: Array, w: Optional[Array], b: Optional[Array], number: int) -> Array:
        layer = eqx.nn.GroupNorm(
            number,
            part.shape[1],
            eps=eps,
            channelwise_affine=w is not None or b is not None,
            dtype=part.dtype,
        )
        return _mapped(_with(layer, w, b, part.dtype), 1)(part)

    y = in_groups(call, jnp.moveaxis(x, channel_axis, 1), weight, bias, num_groups, groups, 1)
    return jnp.moveaxis(y, 1, channel_axis)


METHODS: Dict[str, Function] = {"batch": batch_norm, "layer": layer_norm, "group": group_norm}


class Equinox(Jax):
    """equinox's layers; ``[mode=ema]`` is that of its batch norm in which training uses the moving average."""

    METHODS: Mapping[str, Function] = METHODS
    TRACED = ()  # the layers' users give them Python's numbers
    TRACKED = ("batch",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Mode ``batch``, what others call batch norm, unless the option says otherwise; equinox's own is ``ema``."""
        super().__init__(options, device)
        self.mode = self.options.get("mode", "batch")
        self.METHODS = {**METHODS, "batch": functools.partial(batch_norm, mode=self.mode)}

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {
            **super().environment(),
            "version": eqx.__version__,
            "jax": jax.__version__,
            "mode": self.mode,
        }

    def lacks(self, task: Task) -> Optional[str]:
        """Its momentum is "between 0 and 1 exclusive"."""
        if task.tracks and not 0 < task.params["momentum"] < 1:
            return "equinox's batch norm has a momentum between 0 and 1"
        return super().lacks(task)


class _Layer:
    """An equinox Module called like a function; its eps, groups and momentum are its own.

    It is what equinox's own layers are: a function of one sample, whose channels are first. It is called
    under jax.vmap, with the axis_name that its batch norm has; in layer norm's cases under one for each axis
    that is not normalized. The fixture's weight and bias are loaded into the layer's one parameter of that
    name, running statistics into the state of the one batch norm that it is or has, and so it is called with
    a State. ``inference`` is switched.
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
        layer = _with(self.layer, weight, bias, x.dtype)
        if normalized_ndim is not None:
            return _mapped(layer, x.ndim - normalized_ndim)(x)
        x = jnp.moveaxis(x, channel_axis, 1)
        if running_mean is None or running_var is None or momentum is None or _batch_norm_of(layer) is None:
            layer = eqx.nn.inference_mode(layer, value=not training)
            return jnp.moveaxis(_mapped(layer, 1)(x), 1, channel_axis)
        y, *state = _tracking(layer, x, running_mean, running_var, training, momentum)
        return (jnp.moveaxis(y, 1, channel_axis), *state)


def as_function(value: Any) -> Function:
    """The layer as a function of the parameters that it holds.

    What equinox's transformations such as filter_jit return are Modules too: one that takes weight and bias
    is a function already.
    """
    function: Function = value
    return function if "weight" in inspect.signature(value).parameters else _Layer(value)
