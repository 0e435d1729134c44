"""The kinds of statistic sets: one function for each value of the convention ``statistics``. Standard library only."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from normcheck.case import Groups, Params
from normcheck.conventions.catalogue import Statistics
from normcheck.errors import ParameterError
from normcheck.methods.definition import Bucket, Partition, Shape, positive_axis, without


def normalized_axes(shape: Shape, params: Params) -> tuple[int, ...]:
    """The axes over which layer and RMS norm go, in their order: by default all but the first."""
    ndim = len(shape)
    return tuple(range(ndim - (params.normalized_ndim or ndim - 1), ndim))


def valid_axes(shape: Shape, params: Params, where: str) -> None:
    """Raise ParameterError unless x has the axes that are to be normalized."""
    ndim = len(shape)
    if params.normalized_ndim is None or not 1 <= params.normalized_ndim <= ndim:
        raise ParameterError(
            f"{where}: normalized_ndim is {params.normalized_ndim}; valid for {ndim} axes: 1 to {ndim}"
        )


def channel_groups(params: Params, channels: int) -> Groups:
    """The groups of channels of a group norm: the explicit ones, or ``num_groups`` equal contiguous ones."""
    if params.groups is not None:
        return params.groups
    if params.num_groups is None:
        raise ParameterError("group norm needs num_groups or groups")
    size = channels // params.num_groups
    return tuple(tuple(range(start, start + size)) for start in range(0, channels, size))


def interleaved_groups(params: Params, channels: int) -> Groups:
    """``num_groups`` equal groups, channel c in group c mod their number."""
    if params.num_groups is None:
        raise ParameterError("interleaved groups are equal ones: give num_groups")
    return tuple(tuple(range(first, channels, params.num_groups)) for first in range(params.num_groups))


def default_num_groups(channels: int) -> int:
    """The default number of groups: the smallest divisor of ``channels`` above 1."""
    return next((d for d in range(2, channels + 1) if channels % d == 0), 1)


def over(shape: Shape, reduced: Iterable[int], params: Params) -> Partition:
    """The sets of the elements that differ along the axes ``reduced`` alone."""
    reduced = tuple(reduced)
    return Partition(
        shape=shape,
        kept=without(len(shape), *reduced),
        reduced=reduced,
        channel_axis=positive_axis(params.channel_axis, len(shape)),
        buckets=(Bucket(None, math.prod(shape[axis] for axis in reduced)),),
    )


def _batch(shape: Shape, params: Params) -> Partition:
    return over(shape, without(len(shape), positive_axis(params.channel_axis, len(shape))), params)


def _layer(shape: Shape, params: Params) -> Partition:
    return over(shape, normalized_axes(shape, params), params)


def _channels_only(shape: Shape, params: Params) -> Partition:
    return over(shape, (positive_axis(params.channel_axis, len(shape)),), params)


def _instance(shape: Shape, params: Params) -> Partition:
    return over(shape, without(len(shape), 0, positive_axis(params.channel_axis, len(shape))), params)


def _in_groups(groups_of: Callable[[Params, int], Groups]) -> Callable[[Shape, Params], Partition]:
    def partition(shape: Shape, params: Params) -> Partition:
        channel = positive_axis(params.channel_axis, len(shape))
        spatial = without(len(shape), 0, channel)
        by_size: dict[int, list[int]] = defaultdict(list)
        for group in groups_of(params, shape[channel]):
            by_size[len(group)].extend(group)
        positions = math.prod(shape[axis] for axis in spatial)
        return Partition(
            shape=shape,
            kept=(0,),
            reduced=(channel, *spatial),
            channel_axis=channel,
            buckets=tuple(Bucket(tuple(chans), size * positions) for size, chans in by_size.items()),
        )

    return partition


SETS: Mapping[Statistics, Callable[[Shape, Params], Partition]] = {
    Statistics.BATCH: _batch,
    Statistics.LAYER: _layer,
    Statistics.LAYER_CHANNELS_ONLY: _channels_only,
    Statistics.INSTANCE: _instance,
    Statistics.GROUP_CONTIGUOUS: _in_groups(channel_groups),
    Statistics.GROUP_INTERLEAVED: _in_groups(interleaved_groups),
}
