"""The table of parameters: what is read is spelled the same, what is not is refused, and nothing given is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from normcheck.case import Method
from normcheck.errors import NormcheckError, UsageError
from normcheck.fixtures import select
from normcheck.methods import checked, complete, definition
from normcheck.parameters import OPTIONS, TABLE, Params, row_of
from normcheck.plan import Selection, plan

IMAGE = (2, 6, 4, 5)
SPELLED: list[tuple[str, str, Any]] = [
    ("eps", "1e-05", 1e-5),
    ("channel_axis", "-1", -1),
    ("num_groups", "3", 3),
    ("groups", "0,1|2", ((0, 1), (2,))),
    ("normalized_ndim", "2", 2),
    ("normalized_axes", "1,2", (1, 2)),
    ("momentum", "0.25", 0.25),
    ("track_running_stats", "true", True),
]


@pytest.mark.parametrize(("name", "text", "value"), SPELLED)
def test_what_is_read_is_spelled_the_same(name: str, text: str, value: Any) -> None:
    row = TABLE[name]
    assert value == row.value(text)
    assert value == row.value(value)
    assert text == row.kind.spell(value)


def test_the_table_has_every_field() -> None:
    assert [name for name, _, _ in SPELLED] == list(TABLE)
    assert {"track_running_stats"} == set(TABLE) - {row.name for row in OPTIONS}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("eps", "much", "--eps is 'much'; write a number"),
        ("num_groups", "2.5", "--num-groups is '2.5'; write an integer"),
        ("num_groups", True, "--num-groups is True; write an integer"),
        ("groups", "0,a|1", "write the channels of each group, like '0,1|2'"),
        ("groups", [[0, 1.5]], "write the channels of each group"),
        ("normalized_axes", "", "write axes like 1,2"),
        ("normalized_axes", [], "write axes like 1,2"),
        ("eps", 10**400, "within the range of float64"),
    ],
)
def test_what_is_not_read_is_told_what_to_write(name: str, given: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        TABLE[name].value(given)
    assert words in str(caught.value)


def test_an_unknown_parameter_is_told_the_nearest() -> None:
    with pytest.raises(NormcheckError, match="Did you mean 'num_groups'"):
        row_of("num_group")


@pytest.mark.parametrize("method", Method)
def test_a_method_has_its_own_parameters_and_no_other(method: Method) -> None:
    params = complete(method, IMAGE, {}, channel_axis=1).to_dict()
    own = {"eps", "channel_axis", *definition(method).parameters}
    assert set(params) <= own
    assert {"eps", "channel_axis"} <= set(params)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"normalized_axes": (1,)}, {"normalized_axes": (1,)}),
        ({"normalized_axes": (-3,)}, {"normalized_axes": (1,)}),
        ({"normalized_axes": (2, 1)}, {"normalized_axes": (1, 2)}),
        ({"normalized_axes": (3,)}, {"normalized_ndim": 1}),
        ({"normalized_axes": (-1, -2)}, {"normalized_ndim": 2}),
        ({}, {"normalized_ndim": 3}),
    ],
)
@pytest.mark.parametrize("method", [Method.LAYER, Method.RMS])
def test_axes_have_one_spelling(method: Method, given: dict[str, Any], expected: dict[str, Any]) -> None:
    params = checked(method, IMAGE, complete(method, IMAGE, given, channel_axis=1), where="f")
    assert Params(**expected) == params


@pytest.mark.parametrize("axes", [(0,), (4,), (1, 1), (1, -3), (-4,)], ids=str)
def test_axes_that_are_not_there_or_hold_the_batch_are_refused_with_the_valid_ones(axes: Any) -> None:
    with pytest.raises(NormcheckError, match="valid for 4 axes: any of 1, 2, 3, each once"):
        checked(
            Method.LAYER,
            IMAGE,
            complete(Method.LAYER, IMAGE, {"normalized_axes": axes}, channel_axis=1),
            where="f",
        )


@pytest.mark.parametrize(
    ("methods", "params", "words"),
    [
        ([Method.LAYER], {"num_groups": 2}, "layer norm has no such parameter; valid: --eps"),
        ([Method.GROUP], {"normalized_ndim": 1}, "group norm has no such parameter"),
        ([Method.GROUP], {"num_groups": 2, "groups": "0|1"}, "exclude each other"),
        ([Method.RMS], {"normalized_ndim": 1, "normalized_axes": "1"}, "exclude each other"),
    ],
)
def test_what_no_chosen_method_has_is_refused(
    methods: list[Method], params: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        plan(Selection(methods=methods, fixtures=["documents"], params=params))


def test_what_one_of_several_methods_has_is_for_that_one() -> None:
    both = [Method.LAYER, Method.GROUP]
    planned = plan(Selection(methods=both, fixtures=["documents"], params={"num_groups": 1})).cases
    assert {"layer/documents/float32", "group[num_groups=1]/documents/float32"} == {
        p.case.id for p in planned
    }


def test_a_method_without_an_entry_has_the_parameters_of_one_with_its_sets() -> None:
    (fixture,) = select(["nchw"])
    assert Method.RMS not in fixture.own
    ids = {each.case.id for each in plan(Selection(methods=[Method.RMS], fixtures=["nchw"])).cases}
    assert {"rms/nchw/float32", "rms[normalized_ndim=1]/nchw/float32"} == ids


def test_rms_norm_has_a_bias_in_one_core_case() -> None:
    cases = [each.case for each in plan(Selection(methods=[Method.RMS])).cases]
    assert ["offset-1"] == [case.fixture for case in cases if "grad_bias" in case.outputs]
    usual = {case.without for case in cases if "weight" not in case.without and case.fixture != "documents"}
    assert {("bias",), ()} == usual
