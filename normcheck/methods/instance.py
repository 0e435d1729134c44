"""Instance norm: each channel of each sample."""

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


def _instance(shape: Shape, params: Params) -> Partition:
    channel = positive_axis(params.channel_axis, len(shape))
    return one_bucket(shape, without(len(shape), 0, channel), channel)


DEFINITION = Definition(
    partition=_instance,
    parameter_axes=channel_alone,
    validate=anything,
    shares="one channel of one sample",
    used="Style transfer and image generation, where the contrast of each single image should not matter.",
)
