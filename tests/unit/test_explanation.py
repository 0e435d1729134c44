"""The parts of ``normcheck explain``: sets, letters, words, colours, numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normcheck.case import Method, Output
from normcheck.dtype import DType
from normcheck.explain.grid import colours, corner
from normcheck.explain.sets import LETTERS, explain, letters
from normcheck.explain.torch_code import torch_code
from normcheck.methods import definition, parameter_axes, partition_of
from normcheck.methods.partition import labels
from normcheck.oracle import Inputs, evaluate
from normcheck.oracle.rule import Rule
from normcheck.plan import Selection, plan


def explained(method, fixture="documents", **options):
    selection = Selection(
        methods=[Method(method)], fixtures=[fixture], dtypes=[DType.FLOAT64], params=options
    )
    return explain(plan(selection).cases[0])


CASES = [
    ("batch", "nhwc", {}),
    ("layer", "nchw", {"normalized_ndim": 1}),
    ("instance", "ncl", {}),
    ("instance", "nc", {}),
    ("group", "odd", {}),
    ("group", "nhwc", {"groups": ((0, 5), (1, 2, 3), (4,))}),
    ("group", "ncdhw", {}),
]


@pytest.mark.parametrize(("method", "fixture", "options"), CASES)
def test_sets_are_the_partition_in_reading_order(method, fixture, options):
    found = explained(method, fixture, **options)
    case = found.case
    stored = labels(partition_of(case.method, found.fixture.shape, case.params))
    pairs = set(
        zip(found.sets.ravel(), np.moveaxis(stored, case.params.channel_axis, 1).ravel(), strict=True)
    )
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == stored.max() + 1
    _, first = np.unique(found.sets, return_index=True)
    assert list(first) == sorted(first)


@pytest.mark.parametrize(("method", "fixture", "options"), CASES)
def test_statistics_are_those_of_the_elements_that_carry_the_letter(method, fixture, options):
    """math.fsum is exact up to its last rounding, and knows nothing of views and axes."""
    found = explained(method, fixture, **options)
    for number in range(len(found.n)):
        members = found.x[found.sets == number].tolist()
        mean = math.fsum(members) / len(members)
        var = math.fsum((value - mean) ** 2 for value in members) / len(members)
        assert found.n[number] == len(members)
        assert found.statistics["mean"][number] == pytest.approx(mean, rel=1e-13, abs=1e-16)
        assert found.statistics["variance"][number] == pytest.approx(var, rel=1e-13, abs=1e-30)


@pytest.mark.parametrize(
    ("method", "fixture", "options", "words"),
    [
        ("batch", "documents", {}, "all samples, channel 0 (R)"),
        ("layer", "documents", {}, "sample 0, all channels"),
        ("layer", "documents", {"normalized_ndim": 4}, "all samples, all channels"),
        ("layer", "documents", {"normalized_ndim": 2}, "sample 0, channel 0 (R)"),
        ("layer", "documents", {"normalized_ndim": 1}, "sample 0, channel 0 (R), row 0"),
        ("layer", "nhwc", {}, "sample 0, all channels, row 0, column 0"),
        ("layer", "ncl", {"normalized_ndim": 1}, "sample 0, channel 0"),
        ("group", "documents", {}, "sample 0, channels 0,1 (R,G)"),
        ("group", "documents", {"groups": ((2, 0), (1,))}, "sample 0, channels 0,2 (R,B)"),
        ("group", "documents", {"num_groups": 1}, "sample 0, all channels"),
        ("group", "nchw", {"groups": ((0, 1, 2, 3, 6), (4, 5, 7))}, "sample 0, channels 0-3,6"),
    ],
)
def test_the_first_set_in_words(method, fixture, options, words):
    assert explained(method, fixture, **options).members(0) == words


def test_letters_never_repeat_and_never_read_as_digits():
    names = [letters(number) for number in range(2000)]
    assert names[0] == "a"
    assert names[len(LETTERS) - 1 : len(LETTERS) + 2] == ["z", "aa", "ab"]
    assert len(set(names)) == len(names)
    assert not set("lo") & set("".join(names))


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(("method", "fixture", "options"), CASES)
def test_sets_that_touch_differ_in_colour(method, fixture, options, width):
    seen = corner(explained(method, fixture, **options), width)
    samples, rows, channels, columns = seen.sets.shape
    styles = colours(seen)
    page = seen.sets.reshape(samples * rows, channels * columns)
    assert set(styles) == set(page.ravel().tolist())
    for one, other in ((page[:, 1:], page[:, :-1]), (page[1:], page[:-1])):
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            assert (styles[a] == styles[b]) == (a == b)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([1.0, 24.0], ["1a", "24a"]),
        ([0.5, -1.0], ["0.50a", "-1.00a"]),
        ([10000.25, 10001.5], ["10000.25a", "10001.50a"]),
        ([1e-9, 3e-9], ["1.00e-09a", "3.00e-09a"]),
        ([1e30, -2e30], ["1.00e+30a", "-2.00e+30a"]),
        ([math.nan, math.inf], ["nana", "infa"]),
        ([0.25, 0.25], ["0.250a", "0.250a"]),
        ([0.0, 0.0], ["0a", "0a"]),
    ],
)
def test_numbers_in_cells_are_short_and_tell_elements_apart(values, cells, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([values]))
    found = explained("layer", str(path))
    assert list(corner(found, 80).cells.values()) == cells


def test_infinite_and_missing_values_are_explained_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "x.npy"
    np.save(path, np.array([[math.nan, 1.0], [math.inf, 1.0], [2.0, 4.0]]))
    found = explained("layer", str(path))
    assert np.isnan(found.statistics["mean"][:2]).all()
    assert found.statistics["mean"][2] == 3
    assert not recwarn.list


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("batch", {}),
        ("instance", {}),
        ("group", {"num_groups": 3}),
        ("group", {"groups": ((0, 2), (1,))}),
        ("group", {"groups": ((0, 1), (2,)), "channel_axis": -1}),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)], ids=str)
def test_sets_of_one_element_that_pytorch_refuses_get_code_that_runs(
    method, options, shape, tmp_path, requires
):
    requires("torch")
    import torch

    axis = options.get("channel_axis", 1)
    x, bias = np.moveaxis(np.array([1.0, 5.0, 2.0]).reshape(shape), 1, axis), np.array([0.5, -2.5, 3.0])
    path = tmp_path / "x.npz"
    np.savez(path, x=x, bias=bias)
    found = explained(method, str(path), **options)
    code = torch_code(found.case, found.fixture.shape, found.parameters)
    assert ("refuses" in code) is ("groups" not in options)  # one group at a time needs no function
    names = {"x": torch.from_numpy(x), "bias": torch.from_numpy(bias)}
    exec(code, names)  # noqa: S102 (that it runs is what is tested)
    own = partition_of(found.case.method, x.shape, found.case.params)
    axes = parameter_axes(found.case.method, x.shape, found.case.params)
    given = Inputs(x=x, bias=bias, parameter_axes=axes)
    truth = evaluate(
        given,
        [Output.Y],
        rule=Rule(eps=found.case.params.eps, centered=definition(found.case.method).centered),
        partition=own,
        stats=DType.FLOAT64,
    )[Output.Y]
    np.testing.assert_allclose(names["y"].numpy(), truth.value, rtol=1e-12)
