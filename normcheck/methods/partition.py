"""Bring an array into its statistic sets and back: the array side of :class:`normcheck.methods.Partition`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.methods import Bucket, Partition

Scalar = TypeVar("Scalar", bound=np.generic)


def split(array: NDArray[Scalar], partition: Partition) -> list[NDArray[Scalar]]:
    """Bring ``array``, of the partition's shape, into blocks of shape (sets, n), one for each bucket.

    Each row is one statistic set. A block is a view where the memory layout allows it.
    """
    order = partition.kept + partition.reduced
    blocks = []
    for bucket in partition.buckets:
        part = array
        if bucket.channels is not None and bucket.channels != tuple(
            range(array.shape[partition.channel_axis])
        ):
            part = array.take(bucket.channels, axis=partition.channel_axis)
        blocks.append(part.transpose(order).reshape(-1, bucket.n))
    return blocks


def join(blocks: Sequence[NDArray[Scalar]], partition: Partition) -> NDArray[Scalar]:
    """Undo :func:`split`: one array of the partition's shape from blocks of shape (sets, n)."""
    order = partition.kept + partition.reduced
    result: NDArray[Scalar] = np.empty(partition.shape, dtype=blocks[0].dtype)
    by_order = result.transpose(order)
    channel = order.index(partition.channel_axis)
    for block, bucket in zip(blocks, partition.buckets, strict=True):
        by_order[_selection(bucket, channel)] = block.reshape(_bucket_shape(by_order.shape, bucket, channel))
    return result


def labels(partition: Partition) -> NDArray[np.int64]:
    """The number of each element's statistic set, counted from 0; shape: the partition's."""
    blocks: list[NDArray[np.int64]] = []
    start = 0
    for bucket in partition.buckets:
        channels = (
            partition.shape[partition.channel_axis] if bucket.channels is None else len(bucket.channels)
        )
        elements = math.prod(partition.shape) // partition.shape[partition.channel_axis] * channels
        sets = elements // bucket.n
        block = np.broadcast_to(np.arange(start, start + sets)[:, None], (sets, bucket.n))
        blocks.append(block)
        start += sets
    return join(blocks, partition)


def _selection(bucket: Bucket, axis: int) -> tuple[Any, ...]:
    if bucket.channels is None:
        return (...,)
    return (*(slice(None),) * axis, list(bucket.channels))


def _bucket_shape(shape: tuple[int, ...], bucket: Bucket, axis: int) -> tuple[int, ...]:
    if bucket.channels is None:
        return shape
    return (*shape[:axis], len(bucket.channels), *shape[axis + 1 :])
