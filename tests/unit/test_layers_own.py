"""What a user's layer brings along decides which cases there are, and which fixtures they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normcheck.case import Method
from normcheck.data import from_data
from normcheck.dtype import DType
from normcheck.errors import FixtureError, NothingComparedError, ParameterError, TargetError
from normcheck.fixtures import select
from normcheck.layer import Layer
from normcheck.plan import Plan, Selection, plan

LAYER = Layer(
    eps=dict.fromkeys(DType, 1e-3),
    momentum=None,
    num_groups=None,
    normalized_axes=None,
    normalized_shape=(16,),
    channels=16,
    ndims=(),
    holds=("weight", "bias"),
    backend="mine",
)
GROUPS = replace(LAYER, normalized_shape=None, channels=8, num_groups=4)


def planned(method: str, *layers: Layer, fixtures: tuple[str, ...] = (), **options: Any) -> Plan:
    return plan(Selection(methods=[Method(method)], fixtures=fixtures, **options), layers)


def ids(found: Plan) -> list[str]:
    return [each.case.id for each in found.cases]


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A file with nothing but x."""
    path = tmp_path / "x.npy"
    np.save(path, np.linspace(-1, 2, 3 * 16, dtype=np.float32).reshape(3, 16))
    return str(path)


def test_its_own_parameters_are_those_of_the_cases() -> None:
    cases = planned("group", GROUPS, fixtures=("nchw",)).cases
    assert [(4, 1e-3)] == [(each.case.params.num_groups, each.case.params.eps) for each in cases]


def test_the_eps_may_be_that_of_the_dtype() -> None:
    """That of torch.nn.RMSNorm is, where it is given none."""
    layer = replace(LAYER, eps={DType.FLOAT32: 1e-7, DType.FLOAT64: 1e-16}, normalized_shape=(12,))
    found = planned("rms", layer, fixtures=("nc",), dtypes=[DType.FLOAT64, DType.FLOAT32])
    assert [1e-16, 1e-7] == [each.case.params.eps for each in found.cases]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_groups": 2}, "--num-groups 2: mine is a layer with a num_groups of its own, 4"),
        ({"eps": 1e-5}, "--eps 1e-05: mine is a layer with a eps of its own, 0.001"),
    ],
)
def test_an_option_that_contradicts_the_layer_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        planned("group", GROUPS, params=options)


def test_an_option_that_says_what_the_layer_is_is_none() -> None:
    assert planned("group", GROUPS, params={"num_groups": 4, "eps": 1e-3}).cases


def test_of_a_tag_the_fixtures_that_fit_are_taken() -> None:
    cases = planned("group", GROUPS).cases
    assert {8} == {each.case.shape[each.case.params.channel_axis] for each in cases}
    assert not any("[" in each.case.fixture for each in cases)


def test_where_none_fits_the_tag_s_are_made_in_its_shape() -> None:
    cases = planned("layer", replace(LAYER, normalized_shape=(768,))).cases
    assert {"nc[16,768]", "nchw[3,8,5,768]"} <= {each.fixture.name for each in cases}
    assert {768} == {each.case.shape[-1] for each in cases}
    assert (16, 768) == select(["nc[16,768]"])[
        0
    ].arrays().x.shape  # named again, as in a line to reproduce it


def test_only_x_of_as_many_axes_as_it_takes_are_made() -> None:
    cases = planned("batch", replace(GROUPS, channels=99, ndims=(4,))).cases
    assert {4} == {len(each.case.shape) for each in cases}


def test_where_none_can_be_made_nothing_is_compared() -> None:
    with pytest.raises(NothingComparedError, match="no fixture of the selection fits mine, a layer of shape"):
        planned("layer", replace(LAYER, normalized_shape=(2,) * 9))


def test_a_fixture_that_is_named_must_fit() -> None:
    with pytest.raises(
        ParameterError, match=r"mine is a layer of shape \(16,\); this one of x \(16, 12\) is"
    ):
        planned("layer", LAYER, fixtures=("nc",))


@pytest.mark.parametrize("name", ["nchw[3,64]", "one-nan[2,3]", "documents[2,3,2,2]", "nchw[0,8,5,7,9]"])
def test_a_fixture_that_is_not_made_in_a_shape_says_so(name: str) -> None:
    with pytest.raises(FixtureError, match=r"made in the shape|write as many sizes"):
        select([name])


def test_a_layer_without_weight_and_bias_is_given_none() -> None:
    (found,) = planned("group", replace(GROUPS, holds=()), fixtures=("nchw",)).cases
    assert {"weight", "bias"} == set(found.case.without)
    assert "grad_weight" not in found.case.outputs


def test_its_arrays_are_those_of_a_file_that_has_none(bare: str) -> None:
    weight = np.linspace(0.5, 2, 16, dtype=np.float32)
    layer = replace(LAYER, arrays={"weight": weight, "bias": weight - 1})
    (found,) = planned("layer", layer, fixtures=(bare,)).cases
    inputs = found.fixture.arrays().inputs(found.case)
    assert np.array_equal(weight, inputs["weight"])
    assert {"grad_weight", "grad_bias"} <= set(found.case.outputs)


def test_those_of_a_fixture_that_has_its_own_stay() -> None:
    layer = replace(LAYER, normalized_shape=(12,), arrays={"weight": np.full(12, 7, np.float32)})
    (found,) = planned("layer", layer, fixtures=("nc",)).cases
    assert 7 not in found.fixture.arrays().inputs(found.case)["weight"]


def test_two_layers_with_different_arrays_are_told_apart(bare: str) -> None:
    """Whose are meant is not known."""
    one = replace(LAYER, arrays={"weight": np.ones(16, np.float32)})
    two = replace(one, backend="other", arrays={"weight": np.full(16, 2, np.float32)})
    with pytest.raises(TargetError, match="mine and other have different values in their weight"):
        planned("layer", one, two, fixtures=(bare,))
    assert planned("layer", one, replace(one, backend="other"), fixtures=(bare,)).cases


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"eps": {"float32": "small"}},
        {"ndims": [2.5]},
        {"more": 1},
    ],
)
def test_what_a_worker_says_of_a_layer_is_believed_only_in_part(said: dict[str, Any]) -> None:
    right = {
        "eps": {"float32": 1e-5},
        "momentum": None,
        "num_groups": 4,
        "normalized_axes": None,
        "normalized_shape": [3],
        "channels": 3,
        "ndims": [2],
        "holds": ["weight"],
    }
    assert from_data(Layer, right).normalized_shape == (3,)
    with pytest.raises(ValueError, match=r"\w"):
        from_data(Layer, {**right, **said} if said else {})
