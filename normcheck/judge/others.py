"""What another method would give for the same inputs: its values alone, tile by tile, without conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from normcheck.case import Case, Method, Output, Params
from normcheck.dtype import DType
from normcheck.methods import Partition, Shape, partition_of
from normcheck.methods.group import default_num_groups
from normcheck.methods.tiles import Tile, blocks
from normcheck.oracle import Inputs
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.evaluate import Each
from normcheck.oracle.gradients import times
from normcheck.oracle.statistics import (
    Array,
    Piece,
    Real,
    exponents,
    high,
    ldexp,
    low,
    mean,
    plain_statistics,
    stacked,
    sum_of,
)

T = TypeVar("T")


class Other:
    """One method on the inputs of a case that is of another."""

    def __init__(self, case: Case, inputs: Inputs, partition: Partition, each: Each) -> None:
        self.inputs, self.partition = inputs, partition
        self._precise = case.dtype is DType.FLOAT64
        self._eps = case.params.eps
        self._weight = inputs.broadcast(inputs.weight, 1.0)
        self._bias = inputs.broadcast(inputs.bias, 0.0)
        self._gradients = Output.GRAD_X in case.outputs
        with np.errstate(all="ignore"):
            self._statistics = self._along_x(each)

    def value(self, output: Output, tile: Tile) -> Real:
        """One output at ``tile``, as (sets, elements); for a parameter's gradient what is to be summed for it."""
        x_hat = self._x_hat(tile)
        if output is Output.Y:
            return times(x_hat, self._cut(self._weight, tile)) + self._cut(self._bias, tile)
        if output is Output.GRAD_WEIGHT:
            return times(x_hat, self.inputs.grad_y_of(tile))
        h_mean, product, inverse_root = (self._at(name, tile) for name in ("h", "product", "inverse_root"))
        grad_x = (self._h(tile) - h_mean - x_hat * product) * inverse_root
        return ldexp(grad_x, -self._exponent(tile))

    def _x_hat(self, tile: Tile) -> Real:
        x = self.inputs.x_of(tile)
        if self._precise:
            x = np.ldexp(x, -self._exponent(tile))
        real: Real = DoubleDouble(x) if self._precise else x
        centre, correction, root = (self._at(n, tile) for n in ("centre", "correction", "inverse_root"))
        return ((real - centre) - correction) * root

    def _h(self, tile: Tile) -> Real:
        g, weight = self.inputs.grad_y_of(tile), self._cut(self._weight, tile)
        return times(DoubleDouble(g), weight) if self._precise else g * weight

    def _exponent(self, tile: Tile) -> np.ndarray[tuple[int, ...], np.dtype[np.int_]]:
        return self._cut(high(self._statistics["exponent"]), tile).astype(np.int_)

    def _at(self, name: str, tile: Tile) -> Real:
        value = self._statistics[name]
        tail = low(value)
        leading = self._cut(high(value), tile)
        return leading if tail is None else DoubleDouble(leading, self._cut(tail, tile))

    @staticmethod
    def _cut(array: Array, tile: Tile) -> Array:
        found: Array = tile.cut(np.broadcast_to(array, tile.shape))
        return found

    def _along_x(self, each: Each) -> dict[str, Real]:
        """The statistics of each set, in a shape that broadcasts against x."""
        found: dict[str, list[list[Real]]] = {}
        for block in blocks(self.partition):
            columns = self._of_sets(block.tiles, block.stop - block.start, block.n, each)
            for name, column in columns.items():
                found.setdefault(name, [[] for _ in self.partition.buckets])[block.bucket].append(column)
        return {name: self._spread([stacked(parts) for parts in rows]) for name, rows in found.items()}

    def _of_sets(self, tiles: Sequence[Tile], sets: int, n: int, each: Each) -> dict[str, Real]:
        exponent = np.zeros((sets, 1), dtype=np.int_)
        if self._precise:
            exponent = exponents(each(self.inputs.x_of, tiles), self._eps)

        def piece(tile: Tile) -> Piece:
            x = self.inputs.x_of(tile)
            return Piece(np.ldexp(x, -exponent) if self._precise else x, precise=self._precise, keep=False)

        def over(function: Callable[[Piece], T]) -> Iterable[T]:
            return each(lambda tile: function(piece(tile)), tiles)

        centre, correction, root = plain_statistics(over, n, self._eps, exponent=exponent)
        found: dict[str, Real] = {
            "exponent": exponent.astype(np.float64),
            "centre": centre,
            "correction": correction,
            "inverse_root": root,
        }
        if self._gradients:

            def incoming(tile: Tile) -> tuple[Real, Real]:
                h, x_hat = self._h(tile), piece(tile).deviation(centre, correction) * root
                share = tile.size[1] / n
                return mean(h) * share, mean(h * x_hat) * share

            columns = list(zip(*each(incoming, tiles), strict=True))
            found["h"], found["product"] = map(sum_of, columns)
        return found

    def _spread(self, rows: Sequence[Real]) -> Real:
        """A column (sets, 1) of each bucket as an array that broadcasts against x."""
        tails = [low(each) for each in rows]
        leading = self._spread_array([high(each) for each in rows])
        if tails[0] is None:
            return leading
        return DoubleDouble(leading, self._spread_array([tail for tail in tails if tail is not None]))

    def _spread_array(self, rows: Sequence[Array]) -> Array:
        shape, kept = self.partition.shape, self.partition.kept
        lengths = [length if axis in kept else 1 for axis, length in enumerate(shape)]
        if self.partition.buckets[0].channels is None:
            return rows[0].reshape(lengths)
        channel = self.partition.channel_axis
        lengths[channel] = shape[channel]
        found = np.empty(lengths)
        by_channel = np.moveaxis(found, channel, -1).reshape(shape[0], shape[channel])  # shares its memory
        for bucket, column in zip(self.partition.buckets, rows, strict=True):
            assert bucket.channels is not None  # noqa: S101 (all buckets have channels where one has)
            sets = column.reshape(shape[0], -1)
            size = len(bucket.channels) // sets.shape[1]
            by_channel[:, list(bucket.channels)] = np.repeat(sets, size, axis=1)
        return found


def other_partitions(case: Case, shape: Shape, own: Partition) -> Iterator[tuple[str, Partition]]:
    """The other methods with the parameters of ``case``, where their statistic sets are others than its ``own``."""
    common = Params(
        eps=case.params.eps, channel_axis=case.params.channel_axis, normalized_ndim=len(shape) - 1
    )
    for method in (Method.BATCH, Method.LAYER, Method.INSTANCE):
        yield from _if_other(method, shape, common, own)
    if (groups := default_num_groups(shape[case.params.channel_axis])) > 1:
        grouped = Params(eps=common.eps, channel_axis=common.channel_axis, num_groups=groups)
        yield from _if_other(Method.GROUP, shape, grouped, own)


def _if_other(
    method: Method, shape: Shape, params: Params, own: Partition
) -> Iterator[tuple[str, Partition]]:
    other = partition_of(method, shape, params)
    if other.max_n and _sets(other) != _sets(own):
        yield f"{method} norm", other


def _sets(partition: Partition) -> object:
    """What tells partitions of one shape apart; those that this cannot tell show in equal values."""
    shape, channel = partition.shape, partition.channel_axis
    reduced = {axis for axis in partition.reduced if shape[axis] > 1}
    groups: object = None
    if partition.buckets[0].channels is not None:
        spatial = math.prod(shape[axis] for axis in partition.reduced if axis != channel)
        sizes = {bucket.n // spatial for bucket in partition.buckets}
        if sizes == {1}:
            reduced.discard(channel)
        elif sizes != {shape[channel]}:
            groups = partition.buckets
    return reduced, groups
