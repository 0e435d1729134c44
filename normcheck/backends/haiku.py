"""haiku's layers, transformed, jitted, and jax.vjp.

Their statistics, and the running ones, are of x's own dtype. The channels stay where they are.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

import haiku as hk
import jax.numpy as jnp

from normcheck.backends._adapter import Params
from normcheck.backends._base import Task
from normcheck.backends._jax_tools import MANY, JaxLibrary, tracked
from normcheck.backends.jax import Array, Parameter

State = Dict[str, Dict[str, Array]]


def _format(params: Params) -> str:
    return "channels_first" if params.channel_axis == 1 else "channels_last"


def _along(x: Array, channel_axis: int) -> Tuple[int, ...]:
    """The shape of what belongs to the channels, with x's number of axes."""
    channel = channel_axis % x.ndim
    return tuple(length if axis == channel else 1 for axis, length in enumerate(x.shape))


class _Call:
    """A layer, to be made where haiku wants it made, with weight and bias in the ``shape`` of its parameters."""

    def __init__(self, weight: Parameter, bias: Parameter, shape: Tuple[int, ...]) -> None:
        given = {"scale": weight, "offset": bias}
        self.parameters = {name: value.reshape(shape) for name, value in given.items() if value is not None}
        self.affine = {"create_scale": weight is not None, "create_offset": bias is not None, "name": "norm"}

    def __call__(
        self, kind: Any, x: Array, options: Dict[str, Any], state: Optional[State] = None, **call: Any
    ) -> Tuple[Array, State]:
        """Y of the layer of this ``kind``, and the state after it."""

        def applied(x: Array) -> Array:
            return kind(**options, **self.affine)(x, **call)

        y, after = hk.transform_with_state(applied).apply({"norm": self.parameters}, state or {}, None, x)
        return y, after


class Haiku(JaxLibrary):
    """haiku's layers."""

    LIBRARY = hk
    CHANNELS: Mapping[str, int] = {}
    NO_BIAS = ("rms",)
    WIDE_STATE = False

    def not_offered(self, task: Task) -> Optional[str]:
        """Its decay rate is "in [0, 1)"."""
        if task.tracks and not 0 < task.params["momentum"] <= 1:
            return "haiku's batch norm has a decay rate below 1, so a momentum above 0"
        return super().not_offered(task)

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``haiku.BatchNorm``, whose decay rate weighs the old value, and whose running variance is biased:
        see :func:`_jax_tools.unbiased`.
        """
        shape = _along(x, params.channel_axis)
        state = {}
        for name, running in (("mean", params.running_mean), ("var", params.running_var)):
            average = running.reshape(shape)
            counter = jnp.array(MANY, jnp.int32)
            state[f"norm/~/{name}_ema"] = {"hidden": average, "average": average, "counter": counter}
        options = {"decay_rate": 1 - params.momentum, "eps": params.eps, "axis": None}
        options["data_format"] = _format(params)
        call = {"is_training": params.training, "test_local_stats": False}
        y, after = _Call(weight, bias, shape)(hk.BatchNorm, x, options, state, **call)
        mean, var = (after[f"norm/~/{name}_ema"]["average"].reshape(-1) for name in ("mean", "var"))
        return tracked(y, mean, var, x, params)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``haiku.LayerNorm`` over the last axes."""
        last = params.normalized_ndim
        axes = tuple(range(-last, 0))
        leading = (1,) * (x.ndim - last) if last > 1 else ()
        options = {"axis": axes, "eps": params.eps, "use_fast_variance": False, "param_axis": axes}
        return _Call(weight, bias, leading + x.shape[x.ndim - last :])(hk.LayerNorm, x, options)[0]

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``haiku.RMSNorm`` over the last axes."""
        last = params.normalized_ndim
        axes = tuple(range(-last, 0))
        leading = (1,) * (x.ndim - last) if last > 1 else ()
        call = _Call(weight, bias, leading + x.shape[x.ndim - last :])
        call.affine.pop("create_offset")
        return call(hk.RMSNorm, x, {"axis": axes, "eps": params.eps, "param_axis": axes})[0]

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``haiku.InstanceNorm``."""
        shape = (x.shape[-1],) if params.channel_axis == -1 else _along(x, 1)
        options = {"eps": params.eps, "data_format": _format(params)}
        return _Call(weight, bias, shape)(hk.InstanceNorm, x, options)[0]

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``haiku.GroupNorm``."""
        shape = _along(x, params.channel_axis)
        options = {"groups": len(params.groups), "axis": slice(1, None), "eps": params.eps}
        options["data_format"] = _format(params)
        of_sample = shape[1:] if params.channel_axis == 1 else shape[-1:]
        return _Call(weight, bias, of_sample)(hk.GroupNorm, x, options)[0]
