"""flax.linen's layers, as the framework of JAX that they are part of runs them: jitted, and jax.vjp.

Their statistics are float32 or better whatever x is, so running statistics of half precision go in as
float32, and are rounded when they come out.
"""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Mapping, Optional, Tuple

import jax
import jax.numpy as jnp
from flax import linen

from normcheck.backends._base import Function
from normcheck.backends._flax import Flax
from normcheck.backends.jax import Array, in_groups, leaf, load, unbiased, wide


def _options(
    x: Array, weight: Optional[Array], bias: Optional[Array], eps: float, use_fast_variance: bool
) -> Dict[str, Any]:
    """What all the layers take."""
    given = [parameter for parameter in (weight, bias) if parameter is not None]
    return {
        "epsilon": eps,
        "dtype": x.dtype,
        "param_dtype": given[0].dtype if given else x.dtype,
        "use_scale": weight is not None,
        "use_bias": bias is not None,
        "use_fast_variance": use_fast_variance,
        "force_float32_reductions": True,
    }


def _params(weight: Optional[Array], bias: Optional[Array]) -> Dict[str, Array]:
    return {name: value for name, value in (("scale", weight), ("bias", bias)) if value is not None}


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
    """``flax.linen.BatchNorm``, whose momentum weighs the old value, and whose running variance is biased:
    that takes what :func:`normcheck.backends.jax.unbiased` says.
    """
    layer = linen.BatchNorm(
        use_running_average=not training,
        axis=channel_axis,
        momentum=1 - momentum,
        **_options(x, weight, bias, eps, use_fast_variance),
    )
    state = {"mean": wide(running_mean), "var": wide(running_var)}
    variables = {"params": _params(weight, bias), "batch_stats": state}
    y, updated = layer.apply(variables, x, mutable=["batch_stats"])
    mean, var = updated["batch_stats"]["mean"], updated["batch_stats"]["var"]
    if training:
        var = unbiased(var, running_var, momentum, x)
    return y, mean.astype(running_mean.dtype), var.astype(running_var.dtype)


def layer_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    normalized_ndim: int,
    use_fast_variance: bool = True,
) -> Array:
    """``flax.linen.LayerNorm`` over the last axes."""
    axes = tuple(range(-normalized_ndim, 0))
    options = _options(x, weight, bias, eps, use_fast_variance)
    layer = linen.LayerNorm(reduction_axes=axes, feature_axes=axes, **options)
    return layer.apply({"params": _params(weight, bias)}, x)


def instance_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: float,
    channel_axis: int = 1,
    use_fast_variance: bool = True,
) -> Array:
    """``flax.linen.InstanceNorm``, which takes the channels' axis."""
    options = _options(x, weight, bias, eps, use_fast_variance)
    return linen.InstanceNorm(feature_axes=channel_axis, **options).apply(
        {"params": _params(weight, bias)}, x
    )


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
    """``flax.linen.GroupNorm``, whose channels are last."""

    def call(part: Array, w: Optional[Array], b: Optional[Array], number: int) -> Array:
        layer = linen.GroupNorm(
            num_groups=number,
            group_size=None,
            reduction_axes=tuple(range(1, part.ndim)),
            **_options(part, w, b, eps, use_fast_variance),
        )
        return layer.apply({"params": _params(w, b)}, part)

    y = in_groups(call, jnp.moveaxis(x, channel_axis, -1), weight, bias, num_groups, groups, -1)
    return jnp.moveaxis(y, -1, channel_axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class FlaxLinen(Flax):
    """flax.linen's layers."""

    METHODS: Mapping[str, Function] = METHODS


class _Layer:
    """A flax.linen.Module called like a function; its eps, groups and momentum are its own.

    flax has the channels last: batch, instance and group norm get x with its channels moved there, and y is
    moved back. Layer norm, which is over the last axes in PyTorch too, gets x as it is. The fixture's weight
    and bias are loaded into the layer's one parameter called scale (or weight) and bias, running statistics
    into those of its collection batch_stats, of which the variance is biased, as flax.linen.BatchNorm's is.
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
        moved = jnp.moveaxis(x, axis, -1)
        layer, flags = self._switched(training)
        variables = dict(layer.init(jax.random.key(0), jnp.zeros_like(moved), **flags))
        params = load(variables.get("params", {}), ("scale", "weight"), weight, 1.0, x.dtype)
        params = load(params, ("bias",), bias, 0.0, x.dtype)
        state = variables.get("batch_stats")
        if state is None or running_mean is None or running_var is None or momentum is None:
            y = layer.apply({**variables, "params": params}, moved, **flags)
            return jnp.moveaxis(y, -1, axis)
        state = load(state, ("mean",), wide(running_mean), 0.0, x.dtype)
        state = load(state, ("var",), wide(running_var), 1.0, x.dtype)
        variables.update(params=params, batch_stats=state)
        y, updated = layer.apply(variables, moved, mutable=["batch_stats"], **flags)
        mean, var = (leaf(updated["batch_stats"], name) for name in ("mean", "var"))
        if training:
            var = unbiased(var, running_var, momentum, x)
        return jnp.moveaxis(y, -1, axis), mean.astype(running_mean.dtype), var.astype(running_var.dtype)

    def _switched(self, training: bool) -> Tuple[Any, Dict[str, bool]]:
        """The layer in training or not, and what to call it with: whichever of flax's flags it has."""
        if hasattr(self.layer, "use_running_average"):
            return self.layer.clone(use_running_average=not training), {}
        flags = {"use_running_average": not training, "train": training, "training": training}
        taken = inspect.signature(self.layer.__call__).parameters
        return self.layer, {name: value for name, value in flags.items() if name in taken}


def as_function(layer: Any) -> Function:
    """The layer as a function of the parameters that it holds."""
    return _Layer(layer)
