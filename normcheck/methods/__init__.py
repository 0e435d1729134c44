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
from collections.abc import Container, Mapping
from typing import Any

from normcheck.case import Case, Method, Mode, Output
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, Statistics
from normcheck.data import to_data
from normcheck.dtype import DType
from normcheck.errors import ParameterError
from normcheck.methods import conventions
from normcheck.methods.definition import (
    Bucket,
    Definition,
    Partition,
    TorchCall,
    num_channels,
    positive_axis,
)
from normcheck.methods.sets import SETS
from normcheck.parameters import TABLE, Params, Shape

__all__ = [
    "Bucket",
    "Definition",
    "Partition",
    "Shape",
    "TorchCall",
    "checked",
    "checked_convention",
    "complete",
    "definition",
    "keywords",
    "num_channels",
    "outputs",
    "parameter_axes",
    "parameter_shape",
    "partition_of",
    "positive_axis",
    "resolved",
    "sums_dtype",
    "usual_keywords",
]
MIN_RANK, MAX_RANK = 2, 5


@functools.cache
def definition(method: Method) -> Definition:
    """The definition of ``method``, from the module of its name."""
    found: Definition = importlib.import_module(f"normcheck.methods.{method}").DEFINITION
    return found


def resolved(method: Method, dtype: DType, convention: Convention) -> Convention:
    """``convention`` with the method's and the dtype's own values where it states none."""
    return conventions.resolved(definition(method), dtype, convention)


def sums_dtype(case: Case) -> DType:
    """The dtype in which a case's statistics and intermediate results are held."""
    found = resolved(case.method, case.dtype, case.convention).stats_dtype
    assert found is not None  # noqa: S101 (it has been filled in)
    return found


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


def outputs(
    mode: Mode,
    *,
    tracks: bool,
    weight: bool,
    bias: bool,
    gradients: bool,
    residual: bool = False,
    frozen: Container[str] = (),
) -> tuple[Output, ...]:
    """What a layer computes: y; with a residual the sum; in training running statistics; and the gradients."""
    found = [Output.Y, *[Output.SUM] * residual]
    if tracks and mode is Mode.TRAIN:
        found += [Output.RUNNING_MEAN, Output.RUNNING_VAR]
    if gradients:
        asked = {"x": True, "weight": weight, "bias": bias, "residual": residual}
        found += [Output(f"grad_{name}") for name, given in asked.items() if given and name not in frozen]
    return tuple(found)


def complete(
    method: Method, shape: Shape, given: Mapping[str, Any], *, channel_axis: int, guess: bool = True
) -> Params:
    """The parameters of ``method`` with those that are ``given``, and the usual ones where none is.

    What the method does not have is left out. ``channel_axis`` is that of the fixture. Without ``guess`` nothing is
    guessed: what has no value for certain is None.
    """
    own = definition(method)
    axis = given.get("channel_axis", channel_axis)
    known = {name: given[name] for name in ("eps", *own.parameters) if name in given}
    replaced = {TABLE[name].excludes for name in known}
    for name in own.parameters:
        if name not in known and name not in replaced and (guess or not TABLE[name].guessed):
            known[name] = TABLE[name].usual(shape, axis)
    if "track_running_stats" in own.parameters and not known["track_running_stats"]:
        known |= {"track_running_stats": None, "momentum": None}
    return Params(**{**known, "channel_axis": axis})


def keywords(method: Method, params: Params) -> dict[str, Any]:
    """The parameters that a function of ``method`` is called with, ready for JSON."""
    own = ("eps", *definition(method).parameters)
    return {name: value for name, value in to_data(params).items() if name in own}


def usual_keywords(method: Method) -> dict[str, Any]:
    """The keywords of a case of ``method`` that states none."""
    return keywords(method, complete(method, (2, 4), {}, channel_axis=1))


def checked(method: Method, shape: Shape, params: Params, *, where: str) -> Params:
    """``params`` as an id spells them; ParameterError unless they are possible for an x of ``shape``.

    ``where`` names the fixture.
    """
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
    params = definition(method).checked(shape, params, where)
    own = partition_of(method, shape, params)
    if shape[0] == 0 and (0 in own.reduced or params.momentum is not None):
        raise ParameterError(f"{where}: x has shape {shape}: an empty batch has no statistics")
    return params


def checked_convention(
    method: Method, dtype: DType, params: Params, convention: Convention, *, residual: bool
) -> Convention:
    """``convention`` as an id shows it; UsageError for what the method does not have."""
    own = definition(method)
    conventions.check(method, own, params, convention, residual=residual)
    return conventions.relative(own, dtype, convention)
