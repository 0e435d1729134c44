"""Layer norm: each sample over its last axes."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition
from normcheck.methods.sets import normalized_axes, valid_axes

DEFINITION = Definition(
    statistics=Statistics.LAYER,
    parameter_axes=normalized_axes,
    validate=valid_axes,
    shares="one sample over its last axes",
    used="Transformers and recurrent networks: independent of the batch, the same in training and inference.",
)
