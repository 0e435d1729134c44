"""Cases, answers and reports are plain data and back, and reading believes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normcheck.answer import Answer
from normcheck.case import Case, Layout, Method, Mode, Output
from normcheck.data import from_data, parse, to_data
from normcheck.dtype import DType
from normcheck.parameters import Params
from normcheck.verdict import Verdict

CASE = Case(
    method=Method.GROUP,
    params=Params(groups=((0, 1), (2,)), eps=1e-3),
    fixture="f",
    shape=(2, 3, 4),
    dtype=DType.FLOAT16,
    layout=Layout.STRIDED,
    parameter_dtype=DType.FLOAT32,
    outputs=(Output.Y, Output.GRAD_X),
)
SPELLED = {
    "method": "group",
    "params": {"eps": 1e-3, "channel_axis": 1, "groups": [[0, 1], [2]]},
    "fixture": "f",
    "shape": [2, 3, 4],
    "dtype": "float16",
    "mode": "train",
    "steps": 1,
    "layout": "strided",
    "parameter_dtype": "float32",
    "outputs": ["y", "grad_x"],
}
ANSWER = Answer(
    verdict=Verdict.ERROR,
    reason="no",
    problems={"y": "is a str"},
    absent=frozenset({"grad_x", "grad_bias"}),
    seconds=0.25,
)

cases = st.builds(
    Case,
    method=st.sampled_from(Method),
    params=st.builds(
        Params,
        eps=st.floats(0, 1),
        num_groups=st.none() | st.integers(1, 9),
        groups=st.none() | st.lists(st.lists(st.integers(0, 9)).map(tuple)).map(tuple),
        momentum=st.none() | st.floats(0, 1),
        track_running_stats=st.none() | st.booleans(),
    ),
    fixture=st.text(),
    shape=st.lists(st.integers(0, 99)).map(tuple),
    dtype=st.sampled_from(DType),
    mode=st.sampled_from(Mode),
    steps=st.integers(0, 9),
    layout=st.sampled_from(Layout),
    frozen=st.lists(st.sampled_from(["x", "weight", "bias"])).map(tuple),
    parameter_dtype=st.none() | st.sampled_from(DType),
    outputs=st.lists(st.sampled_from(Output)).map(tuple),
)


def test_a_case_is_an_object_of_its_fields() -> None:
    assert SPELLED == to_data(CASE)


@given(cases)
def test_a_case_comes_back_from_json_as_it_was(case: Case) -> None:
    assert case == from_data(Case, parse(json.dumps(to_data(case), allow_nan=False)))


def test_an_answer_is_data_without_its_arrays() -> None:
    spelled = to_data(replace(ANSWER, outputs={"y": np.zeros(3)}))
    assert "outputs" not in spelled
    assert ["grad_bias", "grad_x"] == spelled["absent"]
    assert ANSWER == from_data(Answer, spelled)


@pytest.mark.parametrize(
    ("value", "spelled"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (0.1, 0.1), (3.0, 3)]
)
def test_a_float_is_a_number_or_a_word(value: float, spelled: Any) -> None:
    assert spelled == to_data(value)
    assert repr(value) == repr(from_data(float, spelled))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, "3"),
        (int, True),
        (int, 3.0),
        (int, None),
        (float, "3"),
        (float, "Infinity"),
        (float, True),
        (float, math.inf),
        (float, 10**400),
        (bool, 1),
        (bool, "true"),
        (str, 3),
        (str, None),
        (Verdict, "PASS"),
        (Verdict, 3),
        (tuple[int, ...], "12"),
        (tuple[int, ...], {"1": 2}),
        (tuple[str, str], ["a"]),
        (tuple[str, str], ["a", "b", "c"]),
        (frozenset[str], "ab"),
        (Mapping[str, str], [["a", "b"]]),
        (Mapping[str, str], {"a": 1}),
        (Params, []),
        (Params, {"eps": 1e-5, "esp": 1e-5}),
        (Case, {}),
    ],
    ids=str,
)
def test_what_is_of_another_type_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        from_data(kind, data)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [2, "3", 4]}, "shape[1]: '3' is not an integer"),
        ({"params": {"eps": "tiny"}}, "params.eps: 'tiny' is not a number"),
        ({"params": {"groups": [[0], 1]}}, "params.groups[1]: 1 is not an array"),
        ({"dtype": "float23"}, "dtype: 'float23' is unknown; valid: float64, float32, float16, bfloat16"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"fixture": ...}, "the key 'fixture' is missing"),
    ],
    ids=str,
)
def test_an_error_says_where_and_what(change: dict[str, Any], message: str) -> None:
    spoiled = {name: value for name, value in {**SPELLED, **change}.items() if value is not ...}
    with pytest.raises(ValueError, match=r".") as caught:
        from_data(Case, spoiled)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("1e999", "beyond the range"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "limit"),
        ("{", "Expecting"),
    ],
    ids=lambda text: text[:20],
)
def test_json_that_is_not_strict_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)
