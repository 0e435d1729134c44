"""The kinds of statistic sets: one function for each value of the convention ``statistics``. Standard library only."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from normcheck.conventions.catalogue import Statistics
from normcheck.errors import ParameterError
from normcheck.methods.definition import Bucket, Partition, positive_axis, without
from normcheck.parameters import Groups, Params, Shape


def normalized_axes(shape: Shape, params: Params) -> tuple[int, ...]:
    """The axes over which layer and RMS norm go, in their order: by default all but the first."""
    ndim = len(shape)
    if params.normalized_axes is not None:
        return params.normalized_axes
    return tuple(range(ndim - (params.normalized_ndim or ndim - 1), ndim))


def checked_axes(shape: Shape, params: Params, where: str) -> Params:
    """The parameters with the normalized axes counted from the front, or as ``normalized_ndim`` if they are the last.

    ParameterError where x does not have them, or one is that of the batch.
    """
    ndim = len(shape)
    if params.normalized_axes is None:
        if params.normalized_ndim is None or not 1 <= params.normalized_ndim <= ndim:
            raise ParameterError(
                f"{where}: normalized_ndim is {params.normalized_ndim}; valid for {ndim} axes: 1 to {ndim}"
            )
        return params
    given = params.normalized_axes
    axes = tuple(sorted({positive_axis(axis, ndim) for axis in given if -ndim <= axis < ndim}))
    if len(axes) < len(given) or 0 in axes:
        problem = "holds the batch axis" if 0 in axes else "names an axis twice, or one that x does not have"
        raise ParameterError(
            f"{where}: normalized_axes {','.join(map(str, given))} {problem}; "
            f"valid for {ndim} axes: any of {', '.join(map(str, range(1, ndim)))}, each once"
        )
    if axes == tuple(range(ndim - len(axes), ndim)):
        return replace(params, normalized_axes=None, normalized_ndim=len(axes))
    return replace(params, normalized_axes=axes)


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
