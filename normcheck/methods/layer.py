"""Layer norm: each sample over its last axes."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, TorchCall
from normcheck.methods.sets import checked_axes, normalized_axes
from normcheck.parameters import Params, Shape


def _torch(shape: Shape, params: Params) -> TorchCall | None:
    if params.normalized_axes is not None:
        return None  # its axes are the last
    sizes = tuple(shape[axis] for axis in normalized_axes(shape, params))
    return TorchCall(function="layer_norm", arguments=(str(sizes),))


DEFINITION = Definition(
    statistics=Statistics.LAYER,
    parameters=("normalized_ndim", "normalized_axes"),
    parameter_axes=normalized_axes,
    checked=checked_axes,
    torch=_torch,
    shares="one sample over its last axes",
    used="Transformers and recurrent networks: independent of the batch, the same in training and inference.",
)
