"""Tiles cover an array exactly once, hold whole statistic sets in the order of split(), and know where they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_partition import partitions

from normcheck.case import Method
from normcheck.methods import Partition, partition_of
from normcheck.methods.partition import split
from normcheck.methods.tiles import TILE, Tile, blocks
from normcheck.parameters import Params

SIZES = st.sampled_from([1, 2, 5, 16, 40, 10_000])


def numbered(partition: Partition) -> np.ndarray[tuple[int, ...], np.dtype[np.int_]]:
    return np.arange(math.prod(partition.shape)).reshape(partition.shape)


@given(partitions(), SIZES)
def test_blocks_hold_the_rows_of_split_in_their_order(partition: Partition, size: int) -> None:
    x, found = numbered(partition), blocks(partition, size)
    for number, rows in enumerate(split(x, partition)):
        own = [block for block in found if block.bucket == number]
        assert [0, *(block.stop for block in own)] == [*(block.start for block in own), len(rows)]
        for block in own:
            cut = np.concatenate([tile.cut(x) for tile in block.tiles], axis=1)
            expected = rows[block.start : block.stop]
            # pieces may come in another order than the elements of a whole set
            assert np.sort(expected, axis=1).tolist() == np.sort(cut, axis=1).tolist()
            if len(block.tiles) == 1:
                assert expected.tolist() == cut.tolist()


@given(partitions(), SIZES)
def test_a_tile_knows_where_its_elements_are(partition: Partition, size: int) -> None:
    x = numbered(partition)
    for block in blocks(partition, size):
        for tile in block.tiles:
            rows = tile.cut(x)
            assert rows.shape == tile.size
            assert rows.reshape(-1).tolist() == tile.locate(np.arange(rows.size)).tolist()


@given(partitions(), SIZES)
def test_pasting_every_tile_gives_the_array_back(partition: Partition, size: int) -> None:
    x = numbered(partition)
    copy = np.full_like(x, -1)
    for block in blocks(partition, size):
        for tile in block.tiles:
            tile.paste(tile.cut(x), copy)
    assert x.tolist() == copy.tolist()


@given(partitions(), SIZES, st.integers(1, 40))
def test_a_thinned_tile_has_the_columns_that_it_names(partition: Partition, size: int, count: int) -> None:
    x = numbered(partition)
    for block in blocks(partition, size):
        for tile in block.tiles:
            thin, columns = tile.thinned(count)
            assert tile.cut(x)[:, columns].tolist() == thin.cut(x).tolist()
            assert len(columns) >= 1


@given(partitions(), SIZES)
def test_what_broadcasts_against_a_tile_is_spread_over_it(partition: Partition, size: int) -> None:
    x = numbered(partition)
    per_sample = np.arange(partition.shape[0]).reshape(-1, *(1,) * (x.ndim - 1))
    for block in blocks(partition, size):
        for tile in block.tiles:
            part = per_sample[tile.ranges[0]]
            assert tile.cut(np.broadcast_to(per_sample, x.shape)).tolist() == tile.spread(part).tolist()


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        (Method.LAYER, (8, 1000, 500)),
        (Method.BATCH, (400_000, 4)),
        (Method.BATCH, (32, 64, 40, 40)),
        (Method.BATCH, (4096, 512)),
        (Method.INSTANCE, (4, 3, 500, 500)),
        (Method.GROUP, (2, 8, 300, 300)),
    ],
)
@pytest.mark.parametrize("axis", [1, -1])
def test_no_tile_of_a_large_array_is_larger_than_it_may_be(
    method: Method, shape: tuple[int, ...], axis: int
) -> None:
    params = Params(
        channel_axis=axis,
        normalized_ndim=len(shape) - 1 if method is Method.LAYER else None,
        num_groups=(2 if axis == 1 else 4) if method is Method.GROUP else None,
    )
    tiles = [tile for block in blocks(partition_of(method, shape, params)) for tile in block.tiles]
    assert sum(math.prod(tile.size) for tile in tiles) == math.prod(shape)
    assert max(math.prod(tile.size) for tile in tiles) <= TILE
    assert len(tiles) <= 8 * math.prod(shape) / TILE + 1


def test_an_array_that_fits_is_one_tile() -> None:
    (block,) = blocks(partition_of(Method.BATCH, (5, 6, 7), Params()))
    (tile,) = block.tiles
    assert isinstance(tile, Tile)
    assert (6, 35) == tile.size
