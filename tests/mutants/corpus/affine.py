"""Weight and bias: ignored, shifted, misplaced; and the precision in which they are applied."""

from __future__ import annotations

import numpy as np
from normalization import affine, honest


def applying(change):
    """A layer that uses other parameters than those given: ``change`` of weight and bias."""
    return honest.but(parameters=lambda weight, bias, call: change(weight, bias))


def only(name, change):
    """A layer in which one parameter, where there is one, is changed."""

    def changed(weight, bias, call):
        given = {"weight": weight, "bias": bias}
        if given[name] is not None:
            given[name] = change(given[name], call)
        return given["weight"], given["bias"]

    return honest.but(parameters=changed)


def in_half(piece):
    """A piece that computes in bfloat16 what it is given in float32."""
    import ml_dtypes

    def computed(*arrays):
        rounded = (None if array is None else array.astype(ml_dtypes.bfloat16) for array in arrays)
        return piece(*rounded).astype(np.float32)

    return computed


def of_the_group(weight, call):
    """The parameter of the first channel of each group for all of the group (ONNX opset 18)."""
    taken = weight.copy()
    for group in call.groups():
        taken[group] = weight[group[0]]
    return taken


def of_the_last_axis(weight, _):
    """The first values, as many as the last axis is long, for all other axes too."""
    first = weight.reshape(-1, weight.shape[-1])[0]
    return np.broadcast_to(first, weight.shape)


weight_plus_one = only("weight", lambda weight, _: 1 + weight)
weight_ignored = only("weight", lambda weight, _: None)
weight_absolute = only("weight", lambda weight, _: np.abs(weight))
weight_squared = only("weight", lambda weight, _: weight**2)
weight_not_negative = only("weight", lambda weight, _: np.maximum(weight, 0))
weight_in_bfloat16 = only("weight", lambda weight, _: in_half(lambda w: w)(weight).astype(weight.dtype))
weight_reversed = only("weight", lambda weight, _: weight[::-1])
weight_of_first_channel = only("weight", lambda weight, _: np.full_like(weight, weight.flat[0]))
weight_by_group = only("weight", of_the_group)
weight_of_last_axis = only("weight", of_the_last_axis)
bias_ignored = only("bias", lambda bias, _: None)
bias_negated = only("bias", lambda bias, _: -bias)
bias_doubled = only("bias", lambda bias, _: 2 * bias)
bias_by_group = only("bias", of_the_group)
weight_and_bias_swapped = applying(lambda weight, bias: (bias, weight))
bias_before_weight = honest.but(
    affine=lambda x_hat, weight, bias: affine(affine(x_hat, None, bias), weight, None)
)
weight_divides = honest.but(
    affine=lambda x_hat, weight, bias: affine(x_hat, None if weight is None else 1 / weight, bias)
)
