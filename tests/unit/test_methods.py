"""What shares statistics, parameter shapes and what is refused, against a second, naive definition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_helpers import shaped_params

from normcheck.case import Method
from normcheck.errors import ExitCode, ParameterError
from normcheck.methods import (
    checked,
    definition,
    parameter_axes,
    parameter_shape,
    partition_of,
)
from normcheck.methods.partition import labels
from normcheck.parameters import Params, default_num_groups

Sets = frozenset[frozenset[tuple[int, ...]]]
IMAGE = (2, 3, 2, 2)  # the documents' shape


def sets(method: Method, shape: tuple[int, ...], **params: Any) -> Sets:
    """The statistic sets of a method, each the indices of its elements."""
    numbers = labels(partition_of(method, shape, shaped_params(method, len(shape), **params)))
    by_number: dict[int, set[tuple[int, ...]]] = {}
    for index in itertools.product(*map(range, shape)):
        by_number.setdefault(int(numbers[index]), set()).add(index)
    return frozenset(map(frozenset, by_number.values()))


def sets_by(shape: tuple[int, ...], key: Any) -> Sets:
    """The elements whose index has the same key form a set: the naive definition."""
    by_key: dict[Any, set[tuple[int, ...]]] = {}
    for index in itertools.product(*map(range, shape)):
        by_key.setdefault(key(index), set()).add(index)
    return frozenset(map(frozenset, by_key.values()))


shapes = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple)
channel_axes = st.sampled_from([1, -1])


@given(shapes, channel_axes)
def test_batch_norm_shares_one_channel_over_the_whole_batch(shape: tuple[int, ...], axis: int) -> None:
    assert sets_by(shape, lambda i: i[axis]) == sets(Method.BATCH, shape, channel_axis=axis)


@given(shapes, channel_axes)
def test_instance_norm_shares_one_channel_of_one_sample(shape: tuple[int, ...], axis: int) -> None:
    assert sets_by(shape, lambda i: (i[0], i[axis])) == sets(Method.INSTANCE, shape, channel_axis=axis)


@given(shapes, st.data())
def test_layer_norm_shares_the_last_axes_of_one_sample(shape: tuple[int, ...], data: st.DataObject) -> None:
    covered = data.draw(st.integers(1, len(shape)))
    expected = sets_by(shape, lambda i: i[: len(shape) - covered])
    assert expected == sets(Method.LAYER, shape, normalized_ndim=covered)


@given(shapes, channel_axes, st.data())
def test_group_norm_shares_one_group_of_channels_of_one_sample(
    shape: tuple[int, ...], axis: int, data: st.DataObject
) -> None:
    assignment = data.draw(st.lists(st.integers(0, 2), min_size=shape[axis], max_size=shape[axis]))
    channels = data.draw(st.permutations(range(shape[axis])))
    groups = tuple(
        group
        for g in range(3)
        if (group := tuple(channel for channel in channels if assignment[channel] == g))
    )
    expected = sets_by(shape, lambda i: (i[0], assignment[i[axis]]))
    assert expected == sets(Method.GROUP, shape, groups=groups, channel_axis=axis)


def test_equal_groups_are_contiguous() -> None:
    expected = sets_by((2, 6, 2), lambda i: (i[0], i[1] // 2))
    assert expected == sets(Method.GROUP, (2, 6, 2), num_groups=3)


@given(shapes, channel_axes)
def test_one_group_is_layer_norm_over_everything(shape: tuple[int, ...], axis: int) -> None:
    assert sets(Method.LAYER, shape) == sets(Method.GROUP, shape, num_groups=1, channel_axis=axis)


@given(shapes, channel_axes)
def test_as_many_groups_as_channels_are_instance_norm(shape: tuple[int, ...], axis: int) -> None:
    instance = sets(Method.INSTANCE, shape, channel_axis=axis)
    assert instance == sets(Method.GROUP, shape, num_groups=shape[axis], channel_axis=axis)


@pytest.mark.parametrize(
    ("method", "params", "count", "n"),
    [
        pytest.param(Method.BATCH, {}, 3, 8, id="batch: R, G and B over both samples"),
        pytest.param(Method.LAYER, {}, 2, 12, id="layer: two images"),
        pytest.param(Method.LAYER, {"normalized_ndim": 1}, 12, 2, id="layer: rows"),
        pytest.param(Method.INSTANCE, {}, 6, 4, id="instance: each channel of each image"),
        pytest.param(Method.GROUP, {"groups": ((0, 1), (2,))}, 4, 8, id="group: R and G, B alone"),
        pytest.param(Method.GROUP, {"num_groups": 3}, 6, 4, id="group: three"),
    ],
)
def test_number_and_size_of_the_sets_in_the_documents_images(
    method: Method, params: dict[str, Any], count: int, n: int
) -> None:
    found = sets(method, IMAGE, **params)
    assert count == len(found)
    assert n == max(map(len, found))
    assert n == partition_of(method, IMAGE, shaped_params(method, 4, **params)).max_n


def test_the_documents_grouping_puts_red_and_green_together_and_blue_apart() -> None:
    found = sets(Method.GROUP, (1, 3, 1, 1), groups=((0, 1), (2,)))
    assert frozenset({frozenset({(0, 0, 0, 0), (0, 1, 0, 0)}), frozenset({(0, 2, 0, 0)})}) == found


@pytest.mark.parametrize(
    ("method", "shape", "params", "expected_shape", "expected_axes"),
    [
        (Method.BATCH, (2, 3, 4, 5), {}, (3,), (1,)),
        (Method.BATCH, (2, 3, 4, 5), {"channel_axis": -1}, (5,), (3,)),
        (Method.INSTANCE, (2, 3, 4), {}, (3,), (1,)),
        (Method.GROUP, (2, 6, 4), {"num_groups": 2}, (6,), (1,)),
        (Method.GROUP, (2, 4, 6), {"num_groups": 2, "channel_axis": -1}, (6,), (2,)),
        (Method.LAYER, (2, 3, 4, 5), {}, (3, 4, 5), (1, 2, 3)),
        (Method.LAYER, (2, 3, 4, 5), {"normalized_ndim": 1}, (5,), (3,)),
        (Method.LAYER, (2, 3), {"normalized_ndim": 2}, (2, 3), (0, 1)),
    ],
)
def test_weight_and_bias_are_per_channel_or_of_the_normalized_axes(
    method: Method, shape: tuple[int, ...], params: Any, expected_shape: Any, expected_axes: Any
) -> None:
    chosen = shaped_params(method, len(shape), **params)
    assert expected_shape == parameter_shape(method, shape, chosen)
    assert expected_axes == parameter_axes(method, shape, chosen)


REFUSED = [
    pytest.param(Method.BATCH, (3,), {}, "1 axes", id="rank 1"),
    pytest.param(Method.BATCH, (1, 1, 1, 1, 1, 1), {}, "6 axes", id="rank 6"),
    pytest.param(
        Method.BATCH, IMAGE, {"channel_axis": 2}, "channel_axis is 2; valid: 1, -1", id="channel axis 2"
    ),
    pytest.param(Method.BATCH, IMAGE, {"channel_axis": 0}, "channel_axis is 0", id="channel axis 0"),
    pytest.param(Method.LAYER, IMAGE, {"eps": -1e-5}, "eps is -1e-05", id="negative eps"),
    pytest.param(Method.LAYER, IMAGE, {"eps": math.nan}, "eps is nan", id="eps nan"),
    pytest.param(Method.LAYER, IMAGE, {"eps": math.inf}, "eps is inf", id="eps inf"),
    pytest.param(Method.BATCH, IMAGE, {"momentum": 1.5}, "momentum is 1.5", id="momentum above 1"),
    pytest.param(Method.BATCH, IMAGE, {"momentum": math.nan}, "momentum is nan", id="momentum nan"),
    pytest.param(Method.LAYER, IMAGE, {"normalized_ndim": 0}, "normalized_ndim is 0", id="no axis"),
    pytest.param(Method.LAYER, IMAGE, {"normalized_ndim": 5}, "1 to 4", id="more axes than there are"),
    pytest.param(
        Method.GROUP, IMAGE, {"num_groups": 2}, "valid num_groups: 1, 3", id="3 channels in 2 groups"
    ),
    pytest.param(Method.GROUP, IMAGE, {"num_groups": 0}, "0 equal groups", id="0 groups"),
    pytest.param(Method.GROUP, IMAGE, {"num_groups": -1}, "-1 equal groups", id="-1 groups"),
    pytest.param(
        Method.GROUP, IMAGE, {"groups": ((0, 1), (1, 2))}, "repeats channel 1", id="channel repeated"
    ),
    pytest.param(Method.GROUP, IMAGE, {"groups": ((0,), (2,))}, "omits channel 1", id="channel omitted"),
    pytest.param(Method.GROUP, IMAGE, {"groups": ((0, 1, 2), ())}, "an empty group", id="empty group"),
    pytest.param(Method.GROUP, IMAGE, {"groups": ()}, "omits channel 0, 1, 2", id="no group"),
    pytest.param(Method.GROUP, IMAGE, {"groups": ((0, 1), (2, 3))}, "names channel 3", id="channel 3 of 3"),
    pytest.param(Method.GROUP, IMAGE, {"groups": ((0, 1), (-1,))}, "names channel -1", id="negative channel"),
    pytest.param(
        Method.GROUP,
        IMAGE,
        {"groups": ((0, 1, 2),), "num_groups": 1},
        "either num_groups or groups",
        id="both",
    ),
]


@pytest.mark.parametrize(("method", "shape", "params", "message"), REFUSED)
def test_impossible_parameters_are_refused_by_name(
    method: Method, shape: Any, params: Any, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        checked(method, shape, shaped_params(method, len(shape), **params), where="fixture f")
    assert "fixture f: " in str(caught.value)
    assert message in str(caught.value)
    assert ExitCode.BAD_INPUT == caught.value.exit_code


@pytest.mark.parametrize(
    ("method", "message"),
    [(Method.LAYER, "normalized_ndim"), (Method.GROUP, "add --num-groups with one of 1, 3; or")],
)
def test_parameters_that_a_method_needs_are_never_assumed(method: Method, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        checked(method, IMAGE, Params(), where="fixture f")


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), IMAGE, (1, 1, 1, 1, 1)])
def test_possible_parameters_are_accepted(method: Method, shape: tuple[int, ...]) -> None:
    checked(method, shape, shaped_params(method, len(shape), eps=0.0, momentum=1.0), where="fixture f")


def test_every_method_is_defined() -> None:
    assert all(definition(method).shares for method in Method)


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (2, 2), (3, 3), (4, 2), (9, 3), (32, 2), (35, 5)])
def test_default_number_of_groups_is_the_smallest_divisor_above_one(channels: int, groups: int) -> None:
    assert groups == default_num_groups(channels)
