"""What flax.linen and flax.nnx share: an option, and what all their layers take."""

from __future__ import annotations

from typing import Any, Dict, Mapping

import flax

from normcheck.backends._jax_tools import JaxLibrary
from normcheck.backends.jax import Array, Parameter


class Flax(JaxLibrary):
    """Layers that compute the variance as E[x²]-E[x]² unless ``[use_fast_variance=False]``, as flax has it.

    Their statistics are float32 or better whatever x is, so running statistics of half precision go in as
    float32, and are rounded when they come out. They take the channels' axis, except group norm, whose
    channels are last.
    """

    LIBRARY = flax
    CHANNELS: Mapping[str, int] = {"group": -1}
    NO_BIAS = ("rms",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Every method gets the option."""
        super().__init__(options, device)
        self.fast = self.options.get("use_fast_variance", "True") == "True"

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {**super().environment(), "use_fast_variance": self.fast}

    def settings(self, x: Array, weight: Parameter, bias: Parameter, eps: float) -> Dict[str, Any]:
        """What all the layers take."""
        given = [parameter for parameter in (weight, bias) if parameter is not None]
        return {
            "epsilon": eps,
            "dtype": x.dtype,
            "param_dtype": given[0].dtype if given else x.dtype,
            "use_scale": weight is not None,
            "use_bias": bias is not None,
            "use_fast_variance": self.fast,
        }

    def without_bias(self, x: Array, weight: Parameter, eps: float) -> Dict[str, Any]:
        """What a layer takes that has none."""
        options = self.settings(x, weight, None, eps)
        del options["use_bias"]
        return options


def over_last(normalized_ndim: int) -> Dict[str, Any]:
    """What a layer norm over the last axes takes."""
    axes = tuple(range(-normalized_ndim, 0))
    return {"reduction_axes": axes, "feature_axes": axes}


def grouped(number: int, ndim: int) -> Dict[str, Any]:
    """What a group norm takes."""
    return {"num_groups": number, "group_size": None, "reduction_axes": tuple(range(1, ndim))}


def averaged(params: Any) -> Dict[str, Any]:
    """What a batch norm takes; its momentum weighs the old value."""
    return {
        "use_running_average": not params.training,
        "axis": params.channel_axis,
        "momentum": 1 - params.momentum,
    }
