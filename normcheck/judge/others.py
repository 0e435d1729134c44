"""What another method would give for the same inputs: its values alone, tile by tile, without conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Method, Output
from normcheck.conventions import Convention
from normcheck.dtype import DType
from normcheck.methods import Partition, Shape, complete, definition, partition_of
from normcheck.methods.definition import Bucket
from normcheck.methods.tiles import Range, Tile, blocks
from normcheck.oracle import Inputs
from normcheck.oracle.affine import Affine, times
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.parts import Each
from normcheck.oracle.pieces import Pieces, piece_of
from normcheck.oracle.reals import Real, beside, high, ldexp, low, reshaped, stacked, sum_of, total
from normcheck.oracle.rule import Rule
from normcheck.oracle.statistics import plain_statistics

MAX_SETS = 2**19  # of another method: its statistics are held, 16 to 72 bytes a set


class Other:
    """One method on the inputs of a case that is of another; ``convention`` is resolved."""

    def __init__(
        self, case: Case, inputs: Inputs, partition: Partition, convention: Convention, each: Each
    ) -> None:
        self.inputs, self.partition = inputs, partition
        self._precise = convention.stats_dtype is DType.FLOAT64
        self._rule = Rule.of(case.params.eps, convention)
        self._affine = Affine.of(inputs, convention, precise=self._precise)
        self._gradients = not {Output.GRAD_X, Output.GRAD_RESIDUAL}.isdisjoint(case.outputs)
        self._groups = _group_of_channels(partition)
        self._statistics: dict[str, Real] = {}
        if (
            partition.max_n > 1 or not self._rule.centered
        ):  # a centered set of one element is 0 whatever it is
            with np.errstate(all="ignore"):
                self._statistics = self._along_x(each)

    def value(self, output: Output, tile: Tile) -> Real:
        """One output at ``tile``, as (sets, elements); for a parameter's gradient what is to be summed for it."""
        x_hat = self._x_hat(tile)
        if output is Output.Y:
            return self._affine.y_of(tile, x_hat)
        if output is Output.GRAD_WEIGHT:
            return times(x_hat, self.inputs.grad_y_of(tile))
        if not self._statistics:
            return np.zeros(tile.size)
        projected = self._h(tile)
        if self._rule.centered:
            projected = projected - self._at("h", tile)
        grad_x = (projected - x_hat * self._at("product", tile)) * self._at("inverse_root", tile)
        return ldexp(grad_x, -self._exponent(tile)) if self._precise else grad_x

    def _x_hat(self, tile: Tile) -> Real:
        if not self._statistics:
            return np.zeros(tile.size)
        exponent = self._exponent(tile) if self._precise else None
        x = piece_of(self.inputs, tile, exponent, precise=self._precise, keep=False).real
        if self._rule.centered:
            x = x - self._at("mean", tile)
        return x * self._at("inverse_root", tile)

    def _h(self, tile: Tile) -> Real:
        return self._affine.h_of(tile, precise=self._precise)

    def _exponent(self, tile: Tile) -> NDArray[np.int_]:
        return high(self._at("exponent", tile)).astype(np.int_)

    def _at(self, name: str, tile: Tile) -> Real:
        """The statistics of the sets that the elements of a tile are in, for each of them."""
        kept, channel = self.partition.kept, self.partition.channel_axis
        index: list[Range] = [part if axis in kept else slice(0, 1) for axis, part in enumerate(tile.ranges)]
        if self._groups is not None:
            index[channel] = self._groups[tile.ranges[channel]]
        value = self._statistics[name]
        tail = low(value)
        leading = tile.spread(high(value)[tuple(index)])
        return leading if tail is None else DoubleDouble(leading, tile.spread(tail[tuple(index)]))

    def _along_x(self, each: Each) -> dict[str, Real]:
        """The statistics of each set, along the axes of x that tell the sets apart."""
        found: dict[str, list[Real]] = {}
        for block in blocks(self.partition):
            columns = self._of_sets(block.tiles, block.stop - block.start, block.n, each)
            for name, column in columns.items():
                found.setdefault(name, []).append(column)
        shape, kept = self.partition.shape, self.partition.kept
        lengths = [length if axis in kept else 1 for axis, length in enumerate(shape)]
        if self._groups is None:
            return {name: reshaped(stacked(parts), lengths) for name, parts in found.items()}
        # bucket after bucket, each sample after sample: the groups go to the axis of the channels
        lengths[self.partition.channel_axis] = int(self._groups.max()) + 1
        counts = [
            len(b.channels or ()) // _channels_of_group(self.partition, b) for b in self.partition.buckets
        ]
        ends = np.cumsum([0, *(shape[0] * count for count in counts)])
        spread = {}
        for name, parts in found.items():
            rows = stacked(parts)
            by_bucket = [
                reshaped(rows[start:stop], (shape[0], -1)) for start, stop in itertools.pairwise(ends)
            ]
            spread[name] = reshaped(beside(by_bucket), lengths)
        return spread

    def _of_sets(self, tiles: Sequence[Tile], sets: int, n: int, each: Each) -> dict[str, Real]:
        pieces = Pieces(self.inputs, tiles, sets, self._rule, each, precise=self._precise)
        mean, root, kappa = plain_statistics(pieces.over, n, self._rule, exponent=pieces.exponent)
        found: dict[str, Real] = {"inverse_root": root}
        if mean is not None:
            found["mean"] = mean.value
        if self._precise:
            found["exponent"] = pieces.exponent.astype(np.float64)
        if self._gradients:

            def incoming(tile: Tile) -> tuple[Real, Real]:
                h, x_hat = self._h(tile), pieces.at(tile).deviation(mean) * root
                return total(h), total(h * x_hat)

            h, product = map(sum_of, zip(*each(incoming, tiles), strict=True))
            product = product / float(n)
            found |= {"h": h / float(n), "product": product if kappa is None else product * kappa}
        return found


def others_of(
    case: Case, shape: Shape, own: Partition, convention: Convention
) -> Iterator[tuple[str, Partition, Convention]]:
    """The statistic sets of every method that differ from ``own``, once each, by the ``convention`` of the case.

    A case whose mean is not taken away must not pass for one whose mean is, either.
    """
    seen = [_sets(own)]
    suffix = "" if convention.centered else ", not centered"
    twin = "a centered"
    for method in Method:
        params = complete(method, shape, {"eps": case.params.eps}, channel_axis=case.params.channel_axis)
        other = partition_of(method, shape, params)
        if not other.max_n:
            continue
        if _sets(other) == seen[0] and definition(method).centered:
            twin = method.value
        if _sets(other) not in seen and _few(other):
            seen.append(_sets(other))
            yield f"{method} norm{suffix}", other, convention
    if not convention.centered and own.max_n and _few(own):
        yield f"{twin} norm", own, replace(convention, centered=True)


def _few(partition: Partition) -> bool:
    """True if the statistics of the sets can be held, or all are the same."""
    return partition.max_n == 1 or math.prod(partition.shape) // partition.max_n <= MAX_SETS


def _sets(partition: Partition) -> object:
    """What tells partitions of one shape apart; those that this cannot tell show in equal values."""
    shape, channel = partition.shape, partition.channel_axis
    reduced = {axis for axis in partition.reduced if shape[axis] > 1}
    groups: object = None
    if partition.buckets[0].channels is not None:
        sizes = {_channels_of_group(partition, bucket) for bucket in partition.buckets}
        if sizes == {1}:
            reduced.discard(channel)
        elif sizes != {shape[channel]}:
            groups = partition.buckets
    return reduced, groups


def _channels_of_group(partition: Partition, bucket: Bucket) -> int:
    spatial = math.prod(partition.shape[axis] for axis in partition.reduced if axis != partition.channel_axis)
    return bucket.n // spatial


def _group_of_channels(partition: Partition) -> NDArray[np.intp] | None:
    """The number of each channel's group, groups being numbered bucket after bucket; None without groups."""
    if partition.buckets[0].channels is None:
        return None
    found = np.zeros(partition.shape[partition.channel_axis], np.intp)
    start = 0
    for bucket in partition.buckets:
        channels = list(bucket.channels or ())
        size = _channels_of_group(partition, bucket)
        found[channels] = start + np.arange(len(channels)) // size
        start += len(channels) // size
    return found
