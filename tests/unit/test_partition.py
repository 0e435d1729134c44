"""split brings every element into its statistic set, join brings it back where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from unit_helpers import shaped_params

from normcheck.case import Method
from normcheck.methods import Partition, definition, partition_of
from normcheck.methods.partition import join, labels, split


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    """Any method over any shape of rank 2 to 5; groups are uneven and out of order."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=2, max_size=5)))
    axis = draw(st.sampled_from([1, -1]))
    method = draw(st.sampled_from(Method))
    params: dict[str, Any] = {"channel_axis": axis}
    if "normalized_ndim" in definition(method).parameters:
        params["normalized_ndim"] = draw(st.integers(1, len(shape)))
    if method is Method.GROUP:
        channels = draw(st.permutations(range(shape[axis])))
        cuts = sorted(draw(st.sets(st.integers(1, len(channels)))) | {len(channels)})
        params["groups"] = tuple(tuple(channels[a:b]) for a, b in zip([0, *cuts], cuts, strict=False))
    return partition_of(method, shape, shaped_params(method, len(shape), **params))


@given(partitions())
def test_join_undoes_split(whole: Partition) -> None:
    x = np.arange(np.prod(whole.shape)).reshape(whole.shape)
    np.testing.assert_array_equal(x, join(split(x, whole), whole))


@given(partitions())
def test_each_row_of_a_block_is_one_whole_statistic_set(whole: Partition) -> None:
    rows = [frozenset(row.tolist()) for block in split(labels(whole), whole) for row in block]
    assert all(len(row) == 1 for row in rows)
    assert len(rows) == len(frozenset.union(*rows))


@given(partitions())
def test_blocks_hold_every_element_once(whole: Partition) -> None:
    x = np.arange(np.prod(whole.shape)).reshape(whole.shape)
    found = np.concatenate([block.reshape(-1) for block in split(x, whole)])
    np.testing.assert_array_equal(np.arange(x.size), np.sort(found))


@given(partitions())
def test_split_does_not_care_for_the_memory_layout(whole: Partition) -> None:
    x = np.arange(np.prod(whole.shape)).reshape(whole.shape)
    for plain, strided in zip(split(x, whole), split(np.asfortranarray(x), whole), strict=True):
        np.testing.assert_array_equal(plain, strided)


def test_groups_out_of_order_return_to_their_own_channels() -> None:
    whole = partition_of(Method.GROUP, (1, 5), shaped_params(Method.GROUP, 2, groups=((4, 0), (1,), (3, 2))))
    x = np.array([[10, 11, 12, 13, 14]])
    blocks = [block.tolist() for block in split(x, whole)]
    assert [[[14, 10], [13, 12]], [[11]]] == blocks
    assert x.tolist() == join(split(x, whole), whole).tolist()
