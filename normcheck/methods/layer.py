"""Layer norm: each sample over its last axes."""

from __future__ import annotations

from normcheck.case import Params
from normcheck.errors import ParameterError
from normcheck.methods.definition import (
    Definition,
    Partition,
    Shape,
    one_bucket,
    positive_axis,
)


def _layer(shape: Shape, params: Params) -> Partition:
    ndim = len(shape)
    first = ndim - (params.normalized_ndim or ndim - 1)
    return one_bucket(shape, tuple(range(first, ndim)), positive_axis(params.channel_axis, ndim))


def _axes(shape: Shape, params: Params) -> tuple[int, ...]:
    ndim = len(shape)
    return tuple(range(ndim - (params.normalized_ndim or ndim - 1), ndim))


def _validate(shape: Shape, params: Params, where: str) -> None:
    ndim = len(shape)
    if params.normalized_ndim is None or not 1 <= params.normalized_ndim <= ndim:
        raise ParameterError(
            f"{where}: normalized_ndim is {params.normalized_ndim}; valid for {ndim} axes: 1 to {ndim}"
        )


DEFINITION = Definition(
    partition=_layer,
    parameter_axes=_axes,
    validate=_validate,
    shares="one sample over its last axes",
    used="Transformers and recurrent networks: independent of the batch, the same in training and inference.",
)
