"""RMS norm: each sample over its last axes, divided by its root mean square; the mean is not taken away."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, TorchCall
from normcheck.methods.sets import checked_axes, normalized_axes
from normcheck.parameters import Params, Shape


def _torch(shape: Shape, params: Params) -> TorchCall | None:
    if params.normalized_axes is not None:
        return None  # its axes are the last
    sizes = tuple(shape[axis] for axis in normalized_axes(shape, params))
    return TorchCall(function="rms_norm", arguments=(str(sizes),), bias=False)


DEFINITION = Definition(
    statistics=Statistics.LAYER,
    parameters=("normalized_ndim", "normalized_axes"),
    parameter_axes=normalized_axes,
    checked=checked_axes,
    centered=False,
    affine=("weight",),
    torch=_torch,
    shares="one sample over its last axes",
    used="Large language models: as stable as layer norm in practice, and cheaper.",
)
