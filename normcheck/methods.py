"""The one definition of each method: its statistic sets, its parameters' shapes, what is allowed.

A method is a partition of the elements of x: those that share one mean and one variance form a
*statistic set*. Everything else is the same formula for all methods. Axes and channels are those of x as
stored; ``channel_axis`` is 1 or -1. Standard library only; :mod:`normcheck.partition` applies the
partitions to arrays.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from normcheck.errors import ParameterError
from normcheck.model import Groups, Method, Mode, Output, Params, format_groups

Shape = tuple[int, ...]
MIN_RANK, MAX_RANK = 2, 5


@dataclass(frozen=True, slots=True)
class Bucket:
    """Groups of channels of equal size: ``channels`` in order, group after group (None: all, as they are)."""

    channels: tuple[int, ...] | None
    n: int  # elements in each statistic set


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Which elements of an array of ``shape`` share statistics.

    The elements that agree in the ``kept`` axes, and in their group of channels where there are groups,
    form one statistic set. With groups, the channel axis is the first of the ``reduced`` axes.
    """

    shape: Shape
    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    channel_axis: int
    buckets: tuple[Bucket, ...]

    @property
    def max_n(self) -> int:
        """The number of elements in the largest statistic set."""
        return max(bucket.n for bucket in self.buckets)


def positive_axis(axis: int, ndim: int) -> int:
    """The axis counted from the front."""
    return axis % ndim


def num_channels(shape: Shape, params: Params) -> int:
    """The number of channels, C."""
    return shape[params.channel_axis]


def channel_groups(params: Params, channels: int) -> Groups:
    """The groups of channels of a group norm: the explicit ones, or ``num_groups`` equal contiguous ones."""
    if params.groups is not None:
        return params.groups
    if params.num_groups is None:
        raise ParameterError("group norm needs num_groups or groups")
    size = channels // params.num_groups
    return tuple(tuple(range(start, start + size)) for start in range(0, channels, size))


def default_num_groups(channels: int) -> int:
    """The number of groups where nobody says: the smallest divisor of ``channels`` above 1."""
    return next((d for d in range(2, channels + 1) if channels % d == 0), 1)


def _without(ndim: int, *axes: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(ndim) if axis not in axes)


def _whole(shape: Shape, reduced: tuple[int, ...], channel_axis: int) -> Partition:
    n = math.prod(shape[axis] for axis in reduced)
    kept = _without(len(shape), *reduced)
    return Partition(
        shape=shape, kept=kept, reduced=reduced, channel_axis=channel_axis, buckets=(Bucket(None, n),)
    )


def _batch(shape: Shape, params: Params) -> Partition:
    channel = positive_axis(params.channel_axis, len(shape))
    return _whole(shape, _without(len(shape), channel), channel)


def _layer(shape: Shape, params: Params) -> Partition:
    ndim = len(shape)
    first = ndim - (params.normalized_ndim or ndim - 1)
    return _whole(shape, tuple(range(first, ndim)), positive_axis(params.channel_axis, ndim))


def _instance(shape: Shape, params: Params) -> Partition:
    channel = positive_axis(params.channel_axis, len(shape))
    return _whole(shape, _without(len(shape), 0, channel), channel)


def _group(shape: Shape, params: Params) -> Partition:
    channel = positive_axis(params.channel_axis, len(shape))
    spatial = _without(len(shape), 0, channel)
    by_size: dict[int, list[int]] = defaultdict(list)
    for group in channel_groups(params, shape[channel]):
        by_size[len(group)].extend(group)
    positions = math.prod(shape[axis] for axis in spatial)
    return Partition(
        shape=shape,
        kept=(0,),
        reduced=(channel, *spatial),
        channel_axis=channel,
        buckets=tuple(Bucket(tuple(chans), size * positions) for size, chans in by_size.items()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What there is to know of a method, for the engine and for ``normcheck explain``."""

    partition: Callable[[Shape, Params], Partition]
    shares: str  # what a statistic set is, in words
    used: str  # when it is used, in one sentence


DEFINITIONS: dict[Method, Definition] = {
    Method.BATCH: Definition(
        partition=_batch,
        shares="one channel over the whole batch",
        used=(
            "Convolutional networks trained with large batches; at inference the running statistics "
            "take the place of the batch's."
        ),
    ),
    Method.LAYER: Definition(
        partition=_layer,
        shares="one sample over its last axes",
        used="Transformers and recurrent networks: independent of the batch, the same in training and inference.",
    ),
    Method.INSTANCE: Definition(
        partition=_instance,
        shares="one channel of one sample",
        used="Style transfer and image generation, where the contrast of each single image should not matter.",
    ),
    Method.GROUP: Definition(
        partition=_group,
        shares="one group of channels of one sample",
        used="Detection, segmentation and diffusion models, whose batches are too small for batch norm.",
    ),
}


def partition(method: Method, shape: Shape, params: Params) -> Partition:
    """The statistic sets of ``method`` for an x of ``shape``; ``params`` must have been validated."""
    return DEFINITIONS[method].partition(shape, params)


def parameter_shape(method: Method, shape: Shape, params: Params) -> Shape:
    """The shape of weight and bias: (C,), or for layer norm the normalized axes."""
    if method is Method.LAYER:
        return shape[len(shape) - (params.normalized_ndim or len(shape) - 1) :]
    return (num_channels(shape, params),)


def parameter_axes(method: Method, shape: Shape, params: Params) -> tuple[int, ...]:
    """The axes of x that weight and bias run along."""
    if method is Method.LAYER:
        ndim = len(shape)
        return tuple(range(ndim - (params.normalized_ndim or ndim - 1), ndim))
    return (positive_axis(params.channel_axis, len(shape)),)


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
    if shape[0] == 0 and (method is Method.BATCH or params.normalized_ndim == ndim):
        raise ParameterError(f"{where}: x has shape {shape}: an empty batch has no statistics of its own")
    if method is Method.LAYER:
        _validate_normalized_ndim(ndim, params, where=where)
    if method is Method.GROUP:
        _validate_groups(num_channels(shape, params), params, where=where)


def _validate_normalized_ndim(ndim: int, params: Params, *, where: str) -> None:
    if params.normalized_ndim is None or not 1 <= params.normalized_ndim <= ndim:
        raise ParameterError(
            f"{where}: normalized_ndim is {params.normalized_ndim}; valid for {ndim} axes: 1 to {ndim}"
        )


def _validate_groups(channels: int, params: Params, *, where: str) -> None:
    if (params.groups is None) == (params.num_groups is None):
        raise ParameterError(f"{where}: group norm needs either num_groups or groups")
    if params.num_groups is not None:
        if params.num_groups < 1 or channels % params.num_groups:
            divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
            raise ParameterError(
                f"{where}: {channels} channels cannot be split into {params.num_groups} equal groups; "
                f"valid num_groups: {divisors}; or give the groups one by one: --groups '0,1|2'"
            )
        return
    groups = params.groups or ()
    given = [channel for group in groups for channel in group]
    problems = []
    if any(not group for group in groups):
        problems.append("has an empty group")
    if repeated := sorted({channel for channel in given if given.count(channel) > 1}):
        problems.append(f"repeats channel {', '.join(map(str, repeated))}")
    if unknown := sorted(set(given) - set(range(channels))):
        problems.append(f"names channel {', '.join(map(str, unknown))}, which x does not have")
    if missing := sorted(set(range(channels)) - set(given)):
        problems.append(f"omits channel {', '.join(map(str, missing))}")
    if problems:
        raise ParameterError(
            f"{where}: the partition {format_groups(groups)!r} {' and '.join(problems)}; "
            f"each of the {channels} channels 0 to {channels - 1} must be in exactly one group"
        )
