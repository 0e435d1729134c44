"""The normalization methods: statistic sets, shapes of parameters, what is allowed.

A method is a partition of the elements of x: those that share one mean and one variance form a *statistic set*.
Everything else is the same formula for all methods. Each method is one module here, under the name that
:class:`normcheck.case.Method` lists. Standard library only; :mod:`normcheck.methods.partition` applies the
partitions to arrays.
"""

from __future__ import annotations

import functools
import importlib
import math
from dataclasses import replace

from normcheck.case import Method, Mode, Output, Params
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, Statistics
from normcheck.dtype import DType
from normcheck.errors import ParameterError
from normcheck.methods.definition import Bucket, Definition, Partition, Shape, num_channels, positive_axis
from normcheck.methods.sets import SETS

__all__ = [
    "Bucket",
    "Definition",
    "Partition",
    "Shape",
    "definition",
    "num_channels",
    "outputs",
    "parameter_axes",
    "parameter_shape",
    "partition_of",
    "positive_axis",
    "resolved",
    "validate",
]
MIN_RANK, MAX_RANK = 2, 5


@functools.cache
def definition(method: Method) -> Definition:
    """The definition of ``method``, from the module of its name."""
    found: Definition = importlib.import_module(f"normcheck.methods.{method}").DEFINITION
    return found


def resolved(method: Method, dtype: DType, convention: Convention) -> Convention:
    """``convention`` with the method's and the dtype's own values where it states none.

    Those of a method whose sets are beyond the catalogue remain None.
    """
    own = definition(method)
    usual = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
    kind = own.statistics if isinstance(own.statistics, Statistics) else None
    return replace(
        convention,
        statistics=convention.statistics or kind,
        centered=own.centered if convention.centered is None else convention.centered,
        stats_dtype=convention.stats_dtype or usual,
    )


def partition_of(method: Method, shape: Shape, params: Params, convention: Convention = PYTORCH) -> Partition:
    """The statistic sets of ``method`` for an x of ``shape``; ``params`` must have been validated."""
    statistics = convention.statistics or definition(method).statistics
    sets = SETS[statistics] if isinstance(statistics, Statistics) else statistics
    return sets(shape, params)


def parameter_axes(method: Method, shape: Shape, params: Params) -> tuple[int, ...]:
    """The axes of x that weight and bias run along."""
    return definition(method).parameter_axes(shape, params)


def parameter_shape(method: Method, shape: Shape, params: Params) -> Shape:
    """The shape of weight and bias: (C,), or for layer norm the normalized axes."""
    return tuple(shape[axis] for axis in parameter_axes(method, shape, params))


def outputs(mode: Mode, *, tracks: bool, weight: bool, bias: bool, gradients: bool) -> tuple[Output, ...]:
    """What a layer computes: y; in training the running statistics that it ``tracks``; and the gradients."""
    found = [Output.Y]
    if tracks and mode is Mode.TRAIN:
        found += [Output.RUNNING_MEAN, Output.RUNNING_VAR]
    if gradients:
        found += [Output.GRAD_X, *[Output.GRAD_WEIGHT] * weight, *[Output.GRAD_BIAS] * bias]
    return tuple(found)


def validate(method: Method, shape: Shape, params: Params, *, where: str) -> None:
    """Raise ParameterError unless ``params`` are possible for an x of ``shape``; ``where`` names the fixture."""
    ndim = len(shape)
    if not MIN_RANK <= ndim <= MAX_RANK:
        raise ParameterError(
            f"{where}: x has {ndim} axes, shape {shape}; normcheck takes {MIN_RANK} to {MAX_RANK} "
            "(batch, channels, then up to three spatial axes)"
        )
    if params.channel_axis not in (1, -1):
        raise ParameterError(f"{where}: channel_axis is {params.channel_axis}; valid: 1, -1")
    if not (math.isfinite(params.eps) and params.eps >= 0):
        raise ParameterError(f"{where}: eps is {params.eps:g}; it must be finite and not negative")
    if params.momentum is not None and not 0 <= params.momentum <= 1:
        raise ParameterError(f"{where}: momentum is {params.momentum:g}; it must be from 0 to 1")
    definition(method).validate(shape, params, where)
    own = partition_of(method, shape, params)
    if shape[0] == 0 and (0 in own.reduced or params.track_running_stats):
        raise ParameterError(f"{where}: x has shape {shape}: an empty batch has no statistics")
