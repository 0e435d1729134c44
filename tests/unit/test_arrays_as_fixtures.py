"""Arrays of the caller are fixtures by the names that the caller gives them, as a file with these arrays would be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import normcheck
from normcheck import NormcheckError, Verdict
from normcheck.report import EXPECTED
from normcheck.reports import json, render

RNG = np.random.default_rng(6)
X = RNG.standard_normal((3, 4, 6)).astype(np.float32)


def standardized(x: Any) -> Any:
    wide = x.astype(np.float64)
    deviation = wide - wide.mean((1, 2), keepdims=True)
    return (deviation / np.sqrt(np.square(deviation).mean((1, 2), keepdims=True) + 1e-5)).astype(x.dtype)


def compared(fixtures: Any, **more: Any) -> normcheck.Report:
    return normcheck.compare(
        "layer", **{"backends": "numpy", "fixtures": fixtures, "gradients": False, **more}
    )


def test_an_array_is_x_and_a_mapping_has_more() -> None:
    weight = RNG.standard_normal((4, 6)).astype(np.float32)
    report = compared(
        {"alone": X, "more": {"x": X, "weight": weight, "bias": None, "expected.y": standardized(X)}}
    )
    assert ["layer/alone/float32", "layer/more/float32"] == [case.id for case in report.cases]
    verdicts = {(r.backend, r.case.fixture): r.verdict for r in report.results}
    assert Verdict.PASS is verdicts["numpy", "alone"]
    assert Verdict.FAIL is verdicts[EXPECTED, "more"], "expected.y has no weight in it"
    assert Verdict.PASS is verdicts["numpy", "more"]


def test_dtypes_are_kept_and_all_are_computed_in_one_that_is_chosen() -> None:
    fixtures = {"half": X.astype(ml_dtypes.bfloat16), "wide": X.astype(np.float64)}
    assert ["bfloat16", "float64"] == [case.dtype.value for case in compared(fixtures).cases]
    chosen = compared({"whole": np.arange(24).reshape(2, 12)}, dtype="float32")
    assert [("float32", Verdict.PASS)] == [(r.case.dtype.value, r.verdict) for r in chosen.results]


def test_tensors_of_frameworks_are_arrays(requires: Callable[[str], None]) -> None:
    requires("torch")
    requires("jax")
    import jax.numpy as jnp
    import torch

    half = torch.tensor(X, requires_grad=True).bfloat16()
    report = compared({"torch's": half, "jax's": {"x": jnp.asarray(X, jnp.bfloat16)}})
    assert {Verdict.PASS} == {result.verdict for result in report.results}
    assert ["bfloat16", "bfloat16"] == [case.dtype.value for case in report.cases]
    assert half.requires_grad


def test_a_function_cannot_write_to_the_callers_arrays() -> None:
    def overwriting(x: Any) -> Any:
        x *= 0
        return x

    before = X.copy()
    report = compared({"mine": X}, backends={"bad": overwriting})
    assert "the call changed its input x" == report.results[0].reason
    assert np.array_equal(before, X)


def test_the_command_that_reproduces_it_says_that_it_is_in_python() -> None:
    report = compared({"mine": X}, backends={"bad": lambda x: x})
    line = "reproduce: normcheck compare --method layer --fixture mine"
    assert line in render(report, "table")
    assert "# in Python, with backends={'bad': …} and fixtures={'mine': …}" in render(report, "table")
    wrong = {"x": X, "expected.y": X}
    assert "# in Python, with fixtures={'mine': …}" in render(compared({"mine": wrong}), "table")


def test_a_report_of_them_is_read_back() -> None:
    report = compared({"mine": X})
    assert report == json.read(json.render(report))


def test_a_name_alone_is_no_list_of_letters() -> None:
    assert ["layer/documents/float32"] == [case.id for case in compared("documents").cases]


@pytest.mark.parametrize(
    ("fixtures", "message"),
    [
        ({"nchw": X}, "'nchw' comes with normcheck; give your arrays another name"),
        ({"core": X}, "'core' comes with normcheck"),
        ({"": X}, "'' is no name"),
        ({3: X}, "3 is no name"),
        ({"mine": "x.npy"}, r"'x.npy' is no array; write fixtures=\['x.npy'\]"),
        ({"mine": {}}, "fixture mine: has no array 'x'; it has: nothing"),
        ({"mine": {"x": None}}, "fixture mine: has no array 'x'"),
        ({"mine": {"x": X, "wieght": X}}, "Did you mean 'weight'"),
        ({"mine": [[1.0, 2.0]]}, "fixture mine: x is a list, not an array"),
        ({"mine": X.astype(int)}, "x holds int64"),
        ({"mine": X.astype(complex)}, "must hold real numbers"),
        ({"mine": np.ma.masked_less(X, 0)}, "is a masked array"),
        ({"mine": X[:, :0]}, "x is empty"),
        ({"mine": {"x": X, "weight": X[0, 0]}}, "it has weight"),
        ({}, "fixtures is an empty mapping"),
    ],
    ids=lambda value: "",
)
def test_what_is_no_fixture_is_refused_in_words(fixtures: Any, message: str) -> None:
    with pytest.raises(NormcheckError, match=message):
        compared(fixtures)


def test_an_empty_mapping_of_backends_is_not_the_default() -> None:
    with pytest.raises(NormcheckError, match="backends is an empty mapping"):
        compared({"mine": X}, backends={})
