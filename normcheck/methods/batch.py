"""Batch norm: each channel over the whole batch, or with running statistics."""

from __future__ import annotations

from normcheck.case import Params
from normcheck.methods.definition import (
    Definition,
    Partition,
    Shape,
    anything,
    channel_alone,
    one_bucket,
    positive_axis,
    without,
)


def _batch(shape: Shape, params: Params) -> Partition:
    channel = positive_axis(params.channel_axis, len(shape))
    return one_bucket(shape, without(len(shape), channel), channel)


DEFINITION = Definition(
    partition=_batch,
    parameter_axes=channel_alone,
    validate=anything,
    shares="one channel over the whole batch",
    used=(
        "Convolutional networks trained with large batches; at inference the running statistics "
        "take the place of the batch's."
    ),
)
