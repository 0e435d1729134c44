"""Batch norm: each channel over the whole batch, or with running statistics."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, channel_alone

DEFINITION = Definition(
    statistics=Statistics.BATCH,
    parameters=("channel_axis", "momentum"),
    parameter_axes=channel_alone,
    shares="one channel over the whole batch",
    used=(
        "Convolutional networks trained with large batches; at inference the running statistics "
        "take the place of the batch's."
    ),
)
