"""haiku's layers, transformed, jitted, and jax.vjp.

Their statistics, and the running ones, are of x's own dtype.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import haiku as hk
import jax
import jax.numpy as jnp

from normcheck.backends._base import Function, Task
from normcheck.backends.jax import Array, Jax, in_groups, unbiased

# How many training steps the running statistics stand for: so many that ``1 - decay**steps``, by which haiku
# divides them, is 1. They have no bias towards their initial value that it could take away.
MANY = 2**30


def _affine(weight: Optional[Array], bias: Optional[Array]) -> Dict[str, Any]:
    return {"create_scale": weight is not None, "create_offset": bias is not None, "name": "norm"}


def _applied(
    call: Callable[[Array], Array],
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    shape: Tuple[int, ...],
    state: Optional[Dict[str, Dict[str, Array]]] = None,
) -> Tuple[Array, Dict[str, Dict[str, Array]]]:
    """``call(x)``, in which there is a layer called "norm", with parameters of ``shape``; the state after it."""
    given = {"scale": weight, "offset": bias}
    params = {name: value.reshape(shape) for name, value in given.items() if value is not None}
    y, after = hk.transform_with_state(call).apply({"norm": params}, state or {}, None, x)
    return y, after


def _channels(channel_axis: int) -> str:
    return "channels_first" if channel_axis == 1 else "channels_last"


def _along(x: Array, channel_axis: int) -> Tuple[int, ...]:
    """The shape of what belongs to the channels, with x's number of axes."""
    channel = channel_axis % x.ndim
    return tuple(length if axis == channel else 1 for axis, length in enumerate(x.shape))


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
    """``haiku.BatchNorm``, whose decay rate weighs the old value, and whose running variance is biased:
    that takes what :func:`normcheck.backends.jax.unbiased` says.
    """
    shape = _along(x, channel_axis)
    state = {}
    for name, running in (("mean", running_mean), ("var", running_var)):
        average = running.reshape(shape)
        counter = jnp.array(MANY, jnp.int32)
        state[f"norm/~/{name}_ema"] = {"hidden": average, "average": average, "counter": counter}

    def call(x: Array) -> Array:
        layer = hk.BatchNorm(
            decay_rate=1 - momentum,
            eps=eps,
            axis=None,
            data_format=_channels(channel_axis),
            **_affine(weight, bias),
        )
        return layer(x, is_training=training, test_local_stats=False)

    y, after = _applied(call, x, weight, bias, shape, state)
    mean, var = (after[f"norm/~/{name}_ema"]["average"].reshape(-1) for name in ("mean", "var"))
    if training:
        var = unbiased(var, running_var, momentum, x).astype(var.dtype)
    return y, mean, var


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: float, normalized_ndim: int
) -> Array:
    """``haiku.LayerNorm`` over the last axes."""
    axes = tuple(range(-normalized_ndim, 0))
    leading = (1,) * (x.ndim - normalized_ndim) if normalized_ndim > 1 else ()

    def call(x: Array) -> Array:
        layer = hk.LayerNorm(axes, eps=eps, use_fast_variance=False, param_axis=axes, **_affine(weight, bias))
        return layer(x)

    return _applied(call, x, weight, bias, leading + x.shape[x.ndim - normalized_ndim :])[0]


def instance_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: float, channel_axis: int = 1
) -> Array:
    """``haiku.InstanceNorm``."""

    def call(x: Array) -> Array:
        return hk.InstanceNorm(eps=eps, data_format=_channels(channel_axis), **_affine(weight, bias))(x)

    shape = (x.shape[-1],) if channel_axis == -1 else _along(x, 1)
    return _applied(call, x, weight, bias, shape)[0]


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
    """``haiku.GroupNorm``."""

    def call(part: Array, w: Optional[Array], b: Optional[Array], number: int) -> Array:
        def normalized(x: Array) -> Array:
            layer = hk.GroupNorm(
                number,
                axis=slice(1, None),
                eps=eps,
                data_format=_channels(channel_axis),
                **_affine(w, b),
            )
            return layer(x)

        shape = _along(part, channel_axis)
        return _applied(normalized, part, w, b, shape[1:] if channel_axis == 1 else shape[-1:])[0]

    return in_groups(call, x, weight, bias, num_groups, groups, channel_axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class Haiku(Jax):
    """haiku's layers."""

    METHODS: Mapping[str, Function] = METHODS
    TRACED = ()  # the layers' users give them Python's numbers
    TRACKED = ("batch",)

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {**super().environment(), "version": hk.__version__, "jax": jax.__version__}

    def lacks(self, task: Task) -> Optional[str]:
        """Its decay rate is "in [0, 1)"."""
        if task.tracks and not 0 < task.params["momentum"] <= 1:
            return "haiku's batch norm has a decay rate below 1, so a momentum above 0"
        return super().lacks(task)
