"""Go through an array in tiles that fit the cache: the streaming side of :class:`normcheck.methods.Partition`.

A tile is a product of ranges along the axes of x, so that it can be cut out of an array in memory or in a file,
with its statistic sets in rows. A *block* is a range of statistic sets with the tiles that hold them, one where they
fit into it. An array that fits into one tile is one block for each bucket.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.methods.definition import Bucket, Partition
from normcheck.parameters import Shape

Range = slice | NDArray[np.intp]  # of the positions along one axis
TILE = 65_536  # elements; the float64 temporaries of a tile stay in the cache
RUN = 16  # elements that lie together in memory, from which sets are cut out whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Some elements of some statistic sets of an array of ``shape``: those at ``ranges``, one for each axis.

    ``size`` is the number of statistic sets and of elements of each. With the axes of x in ``order``, one set comes
    after the other; the first ``kept`` of them, and where there are several the ``groups`` of channels on the axis
    that follows, tell the sets apart.
    """

    shape: Shape
    ranges: tuple[Range, ...]
    order: tuple[int, ...]
    size: tuple[int, int]
    kept: int
    groups: int

    @property
    def lengths(self) -> Shape:
        """How many positions the tile has along each axis of x."""
        return tuple(_length(part, size) for part, size in zip(self.ranges, self.shape, strict=True))

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """The tile of ``array``, as (sets, elements); a view where the memory layout allows it."""
        return array[self.ranges].transpose(self.order).reshape(self.size)

    def spread(self, part: NDArray[Any]) -> NDArray[Any]:
        """An array that broadcasts against ``x[ranges]``, as (sets, elements); a view where that is possible."""
        return np.broadcast_to(part, self.lengths).transpose(self.order).reshape(self.size)

    def laid_out(self, rows: NDArray[Any]) -> NDArray[Any]:
        """``rows`` (sets, elements) with the axes of x, as ``array[ranges]`` has them."""
        lengths = self.lengths
        moved = rows.reshape([lengths[axis] for axis in self.order])
        return moved.transpose(np.argsort(self.order))

    def paste(self, rows: NDArray[Any], array: NDArray[Any]) -> None:
        """Write ``rows`` (sets, elements) into ``array``, where :meth:`cut` takes them from."""
        array[self.ranges] = self.laid_out(rows)

    def locate(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where elements of the tile, counted row by row, are in x, counted in C order."""
        lengths = self.lengths
        moved = np.unravel_index(positions, [lengths[axis] for axis in self.order])
        index = dict(zip(self.order, moved, strict=True))
        places = [
            index[axis] * (part.step or 1) + part.start if isinstance(part, slice) else part[index[axis]]
            for axis, part in enumerate(self.ranges)
        ]
        found: NDArray[np.intp] = np.ravel_multi_index(places, self.shape)
        return found

    def thinned(self, count: int) -> tuple[Tile, NDArray[np.intp]]:
        """About ``count`` elements of each set or a few more, spread over the tile, and which columns they are."""
        lengths, axes = self.lengths, self.order[self.kept :]
        thin = axes[1:] if self.groups > 1 else axes  # where groups share an axis it is left as it is
        each = max(1, round(count ** (1 / max(len(thin), 1))))
        steps = {axis: max(1, lengths[axis] // each) for axis in thin}
        ranges = tuple(
            _every(part, size, steps.get(axis, 1))
            for axis, (part, size) in enumerate(zip(self.ranges, self.shape, strict=True))
        )
        inner = [lengths[axis] // (self.groups if place == 0 else 1) for place, axis in enumerate(axes)]
        columns = np.arange(self.size[1]).reshape(inner)[
            tuple(slice(None, None, steps.get(a, 1)) for a in axes)
        ]
        return replace(self, ranges=ranges, size=(self.size[0], columns.size)), columns.reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The statistic sets ``start`` to ``stop`` of the bucket number ``bucket``, of ``n`` elements each."""

    bucket: int
    start: int
    stop: int
    n: int
    tiles: tuple[Tile, ...]


def blocks(partition: Partition, size: int = TILE) -> list[Block]:
    """All statistic sets, in their order, in blocks whose tiles have about ``size`` elements at most."""
    return [
        block
        for number, bucket in enumerate(partition.buckets)
        for block in _blocks(partition, bucket, number, size)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """An axis of x, or the one of the channels as two: groups, and channels in a group."""

    axis: int
    length: int
    kept: bool
    group: int = 1  # channels in a group; only the axis of groups has more than one


def _blocks(partition: Partition, bucket: Bucket, number: int, size: int) -> Iterator[Block]:
    axes = _axes(partition, bucket)
    chunks = _chunks(axes, bucket.n, size)
    cuts = [list(_cuts(axis.length, chunk)) for axis, chunk in zip(axes, chunks, strict=True)]
    kept = [place for place, axis in enumerate(axes) if axis.kept]
    reduced = [place for place, axis in enumerate(axes) if not axis.kept]
    start = 0
    for sets in itertools.product(*(cuts[place] for place in kept)):
        tiles = []
        for elements in itertools.product(*(cuts[place] for place in reduced)):
            ranges = dict(zip((*kept, *reduced), (*sets, *elements), strict=True))
            tiles.append(_tile(partition, bucket, axes, [ranges[place] for place in range(len(axes))]))
        stop = start + tiles[0].size[0] if tiles else start
        yield Block(bucket=number, start=start, stop=stop, n=bucket.n, tiles=tuple(tiles))
        start = stop


def _axes(partition: Partition, bucket: Bucket) -> list[_Axis]:
    found = []
    for axis, length in enumerate(partition.shape):
        if bucket.channels is not None and axis == partition.channel_axis:
            spatial = math.prod(partition.shape[other] for other in partition.reduced if other != axis)
            size = bucket.n // spatial if spatial else 1
            found.append(_Axis(axis=axis, length=len(bucket.channels) // size, kept=True, group=size))
            found.append(_Axis(axis=axis, length=size, kept=False))
        else:
            found.append(_Axis(axis=axis, length=length, kept=axis in partition.kept))
    return found


def _chunks(axes: Sequence[_Axis], n: int, size: int) -> list[int]:
    """How many positions along each axis a tile has."""
    whole = [axis.length if not axis.kept else 1 for axis in axes]
    left = max(1, size // max(n, 1))
    for place in reversed(range(len(axes))):
        if axes[place].kept:
            whole[place] = max(1, min(axes[place].length, left))
            left //= whole[place]
    everything = all(chunk == axis.length for chunk, axis in zip(whole, axes, strict=True))
    if n <= size and (everything or _run(axes, whole) >= RUN):
        return whole
    pieces = [1] * len(axes)  # in the order of memory, whatever the sets are
    left = size
    for place in reversed(range(len(axes))):
        pieces[place] = max(1, min(axes[place].length, left))
        left //= pieces[place]
    return pieces


def _run(axes: Sequence[_Axis], chunks: Sequence[int]) -> int:
    """How many elements of a tile lie together in memory."""
    run = 1
    for axis, chunk in zip(reversed(axes), reversed(chunks), strict=True):
        run *= chunk
        if chunk < axis.length:
            break
    return run


def _cuts(length: int, chunk: int) -> Iterator[slice]:
    for start in range(0, length, chunk):
        yield slice(start, min(start + chunk, length))


def _tile(partition: Partition, bucket: Bucket, axes: Sequence[_Axis], cuts: Sequence[slice]) -> Tile:
    ranges: list[Range] = [slice(0)] * len(partition.shape)
    sets: list[int] = []
    elements: list[int] = []
    plain = [cut for axis, cut in zip(axes, cuts, strict=True) if axis.axis in partition.kept]
    for axis, cut in zip(axes, cuts, strict=True):
        (sets if axis.kept else elements).append(cut.stop - cut.start)
        if bucket.channels is None or axis.axis != partition.channel_axis:
            ranges[axis.axis] = cut
        elif axis.kept:
            groups, size = cut, axis.group
        else:
            ranges[axis.axis] = _channels(bucket.channels, groups, size, cut)
    return Tile(
        shape=partition.shape,
        ranges=tuple(ranges),
        order=partition.kept + partition.reduced,
        size=(math.prod(sets), math.prod(elements)),
        kept=len(partition.kept),
        groups=math.prod(sets) // math.prod(cut.stop - cut.start for cut in plain),
    )


def _channels(channels: Sequence[int], groups: slice, size: int, within: slice) -> Range:
    """The channels at ``within`` of each of ``groups``: a slice where they follow one another.

    There are several groups only where ``within`` is all of each.
    """
    start, stop = groups.start * size + within.start, (groups.stop - 1) * size + within.stop
    if channels[start:stop] == range(channels[start], channels[start] + stop - start):
        return slice(channels[start], channels[start] + stop - start)
    return np.array(channels[start:stop], dtype=np.intp)


def _every(part: Range, size: int, step: int) -> Range:
    if step == 1:
        return part
    return slice(part.start, part.stop, step) if isinstance(part, slice) else part[::step]


def _length(part: Range, size: int) -> int:
    return len(range(size)[part]) if isinstance(part, slice) else len(part)
