"""What another method would give for the same inputs: its values alone, tile by tile, without conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Method, Output
from normcheck.conventions.catalogue import Statistics
from normcheck.methods import Partition, complete, definition, partition_of
from normcheck.methods.definition import Bucket
from normcheck.methods.tiles import Range, Tile, blocks
from normcheck.oracle import Oracle
from normcheck.oracle.double_double import DoubleDouble
from normcheck.oracle.gradients import h_of
from normcheck.oracle.parameters import reshaped
from normcheck.oracle.parts import Each
from normcheck.oracle.pieces import Pieces, piece_of
from normcheck.oracle.reals import Real, beside, high, ldexp, low, stacked, sum_of, total_as_laid_out
from normcheck.oracle.rule import Rule
from normcheck.oracle.statistics import plain_statistics

MAX_SETS = 2**19  # of another method: its statistics are held, 16 to 72 bytes a set


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Statistic sets, and how their elements become x̂."""

    partition: Partition
    rule: Rule


class Other:
    """Another method on the inputs of an oracle; by the same convention, but for the sets and their centring."""

    def __init__(self, oracle: Oracle, sets: Sets, each: Each) -> None:
        self.oracle, self.inputs, self.partition, self.rule = oracle, oracle.inputs, sets.partition, sets.rule
        self._precise = oracle.precise
        self._gradients = Output.GRAD_X in oracle.outputs
        self._groups = _group_of_channels(self.partition)
        self._statistics: dict[str, Real] = {}
        if self.partition.max_n > 1 or not self.rule.centered:  # centered, the x̂ of a set of one element is 0
            with np.errstate(all="ignore"):
                self._statistics = self._along_x(each)

    def value(self, output: Output, tile: Tile) -> Real:
        """One output at ``tile``, as (sets, elements); for a parameter's gradient what is to be summed for it."""
        x_hat = self._x_hat(tile)
        if output is Output.Y:
            scaled = x_hat * self.oracle.formulas.weight.at(tile).value
            return scaled + self.inputs.cut(self.oracle.formulas.bias, tile)
        if output is Output.GRAD_WEIGHT:
            return x_hat * self.inputs.grad_y_of(tile)
        if not self._statistics:
            return np.zeros(tile.size)
        product, inverse_root = (self._at(name, tile) for name in ("product", "inverse_root"))
        h = self._h(tile)
        projected = h - self._at("h", tile) if self.rule.centered else h
        grad_x = (projected - x_hat * product) * inverse_root
        return ldexp(grad_x, -self._exponent(tile)) if self._precise else grad_x

    def _x_hat(self, tile: Tile) -> Real:
        if not self._statistics:
            return np.zeros(tile.size)
        exponent = self._exponent(tile) if self._precise else None
        real = piece_of(self.inputs, tile, exponent, precise=self._precise).real
        centred = real - self._at("mean", tile) if self.rule.centered else real
        return centred * self._at("inverse_root", tile)

    def _h(self, tile: Tile) -> Real:
        return h_of(self.inputs, self.oracle.formulas.weight, tile, precise=self._precise).value

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
        pieces = Pieces(self.inputs, tiles, sets, self.rule, each, precise=self._precise)
        centre, correction, root, kappa = plain_statistics(
            pieces.over, n, self.rule, exponent=pieces.exponent
        )
        found: dict[str, Real] = {"inverse_root": root}
        if centre is not None and correction is not None:
            found["mean"] = centre + correction
        if self._precise:
            found["exponent"] = pieces.exponent.astype(np.float64)
        if self._gradients:

            def incoming(tile: Tile) -> tuple[Real, Real]:
                h, x_hat = self._h(tile), pieces.at(tile).deviation(centre, correction) * root
                return total_as_laid_out(h), total_as_laid_out(h * x_hat)

            h, product = (part / float(n) for part in map(sum_of, zip(*each(incoming, tiles), strict=True)))
            found |= {"h": h, "product": product if kappa is None else product * kappa}
        return found


def other_sets(case: Case, own: Partition, rule: Rule) -> Iterator[tuple[str, Sets]]:
    """The other methods that there are, with the parameters of ``case``: their sets are others, or their centring.

    An uncentered method over the sets of a centered one is none: it would cost a pass over x, and tell little.
    """
    axis, shape = case.params.channel_axis, own.shape
    seen: list[object] = [_sets(own)]
    for method in Method:
        other = definition(method)
        if not isinstance(other.statistics, Statistics) or not other.centered:
            continue
        params = complete(method, shape, {"eps": case.params.eps}, channel_axis=axis)
        partition = partition_of(method, shape, params)
        if params.num_groups == 1 or not partition.max_n or (same := _sets(partition)) in seen:
            continue
        seen.append(same)
        if partition.max_n == 1 or math.prod(shape) // partition.max_n <= MAX_SETS:
            yield f"{method} norm", Sets(partition=partition, rule=replace(rule, centered=True))
    if not rule.centered:
        yield "its mean taken away", Sets(partition=own, rule=replace(rule, centered=True))


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
