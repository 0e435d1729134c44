"""Layer norm: each sample over its last axes."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition
from normcheck.methods.sets import checked_axes, normalized_axes

DEFINITION = Definition(
    statistics=Statistics.LAYER,
    parameters=("normalized_ndim", "normalized_axes"),
    parameter_axes=normalized_axes,
    checked=checked_axes,
    shares="one sample over its last axes",
    used="Transformers and recurrent networks: independent of the batch, the same in training and inference.",
)
