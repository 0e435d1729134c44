"""RMS norm: each sample over its last axes, divided by its root mean square; the mean is not taken away."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition
from normcheck.methods.sets import checked_axes, normalized_axes

DEFINITION = Definition(
    statistics=Statistics.LAYER,
    parameters=("normalized_ndim", "normalized_axes"),
    parameter_axes=normalized_axes,
    checked=checked_axes,
    centered=False,
    affine=("weight",),
    shares="one sample over its last axes",
    used="Large language models: as stable as layer norm in practice, and cheaper.",
)
