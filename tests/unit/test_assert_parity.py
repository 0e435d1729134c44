"""assert_parity: a right function passes, all else fails with a paragraph or a sentence; nothing passes by accident."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import normcheck
from normcheck import MismatchError, NormcheckError, VerdictError
from normcheck.report import Report
from normcheck.run.process import WorkerProcess
from normcheck.testing import assert_parity, cases
from normcheck.testing.candidate import name_of, place_of
from normcheck.testing.surroundings import Surroundings, within


def layer_norm(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    wide = x.astype(np.float64)
    deviation = wide - wide.mean(axis=axes, keepdims=True)
    y = deviation / np.sqrt(np.square(deviation).mean(axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def with_twice_the_eps(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return layer_norm(x, weight, bias, eps=2 * eps, normalized_ndim=normalized_ndim)


def raises(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    raise ValueError("no such kernel")


def of_rows_alone(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    raise normcheck.Unsupported("rows only")


HERE: dict[str, Any] = {"method": "layer", "fixtures": ["nchw"]}


def test_a_right_function_passes_and_its_report_has_the_figures() -> None:
    report = assert_parity(layer_norm, **HERE, dtypes=["float32", "bfloat16"])
    assert {"float32", "bfloat16"} == {result.case.dtype for result in report.results}
    assert {"layer_norm"} == {result.backend for result in report.results}


def test_what_does_not_fit_the_parameters_is_left_out_of_the_core() -> None:
    def any_groups(x: Any, weight: Any, bias: Any, *, eps: float, num_groups: int) -> Any:
        raise NotImplementedError("this is about the cases")

    with pytest.raises(
        VerdictError, match="left out: fixture documents, group norm: 3 channels cannot be split"
    ):
        assert_parity(any_groups, method="group", num_groups=4)


def test_a_wrong_function_fails_with_its_backward_error_and_what_is_allowed() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_parity(with_twice_the_eps, **HERE, normalized_ndim=1)
    assert isinstance(caught.value, MismatchError)
    lines = str(caught.value).splitlines()
    assert "✗ FAIL  with_twice_the_eps · layer[normalized_ndim=1]/nchw/float32 · y" == lines[0]
    assert lines[1].strip().startswith("y: backward error ")
    assert " exceeds the allowed " in lines[1]
    assert 2 == len(caught.traceback), "a frame of ours that pytest would show"


@pytest.mark.parametrize(
    ("function", "words"),
    [(raises, "ValueError: no such kernel"), (of_rows_alone, "does not support 2 cases: rows only")],
    ids=["it raises", "it supports nothing"],
)
def test_no_result_fails_and_is_no_mismatch(function: Any, words: str) -> None:
    with pytest.raises(VerdictError, match=words) as caught:
        assert_parity(function, **HERE)
    assert not isinstance(caught.value, MismatchError)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": None}, "say the method: method='group'"),
        ({"method": []}, "method is empty: there is nothing to compare"),
        ({"method": "gruop"}, "Did you mean 'group'"),
        ({"fixtures": []}, "fixtures is empty"),
        ({"fixtures": {}}, "fixtures is empty"),
        ({"dtypes": ()}, "dtypes is empty"),
        ({"modes": []}, "modes is empty"),
        ({"fixtures": "no such"}, "unknown fixture 'no such'"),
        ({"dtype": "float32"}, "unknown parameter 'dtype'. Did you mean 'dtypes'"),
        ({"num_groups": 2}, "layer norm has no such parameter"),
        ({"known": {}}, "known is empty"),
        ({"known": ""}, "write why"),
        ({"known": {"layer/nhcw/*": "a"}}, r"known: 'layer/nhcw/\*' is of none of the cases: layer"),
        ({"host": "tensor"}, "the host 'tensor' is unknown"),
        ({"timeout": 0}, "--timeout is 0"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_cannot_be_used_are_refused_in_words(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(NormcheckError, match=message) as caught:
        assert_parity(layer_norm, **{**HERE, **changed})
    assert not isinstance(caught.value, AssertionError)


def test_what_is_known_does_not_fail_until_it_passes() -> None:
    one = {**HERE, "normalized_ndim": 1}
    report = assert_parity(with_twice_the_eps, **one, known="eps is 2·eps")
    assert report.all_known
    assert_parity(with_twice_the_eps, **one, known={"layer*/nchw/*": "eps is 2·eps"})
    with pytest.raises(MismatchError, match=r"known=.'\*': ….: layer_norm no longer gives fail"):
        assert_parity(layer_norm, **one, known="it was wrong once")
    with pytest.raises(VerdictError, match="no such kernel"):
        assert_parity(raises, **one, known="a mismatch, not an error")


def test_arrays_of_the_test_are_fixtures() -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    report = assert_parity(layer_norm, "layer", fixtures={"mine": x})
    assert ["layer/mine/float64"] == [case.id for case in report.cases]


def test_a_torch_layer_is_asked_for_what_fits_it(requires: Callable[[str], None]) -> None:
    requires("torch")
    import torch

    report = assert_parity(torch.nn.GroupNorm(2, 8), method="group", fixtures=["nchw"])
    assert {"y", "grad_x", "grad_weight", "grad_bias"} == {result.output for result in report.results}
    assert {"GroupNorm"} == {result.backend for result in report.results}


def given(mark: Any) -> dict[str, Any]:
    """The cases of a parametrization, by the ids of their tests."""
    return {param.id: param.values[0] for param in mark.args[1]}


def test_a_case_is_a_test_of_its_own() -> None:
    found = given(cases("layer", fixtures=["nchw", "nc"], dtypes=["float32", "float64"], normalized_ndim=1))
    assert [
        "layer[normalized_ndim=1]/nchw/float32",
        "layer[normalized_ndim=1]/nchw/float64",
        "layer/nc/float32",
        "layer/nc/float64",
    ] == list(found)
    for name, case in found.items():
        assert name in repr(case)
        report = case.assert_parity(layer_norm)
        assert [name] == [each.id for each in report.cases]
        assert {"x", "weight", "bias", "grad_y"} == set(case.inputs())
    with pytest.raises(MismatchError, match=r"with_twice_the_eps · layer/nc/float32 · y"):
        found["layer/nc/float32"].assert_parity(with_twice_the_eps)


def test_a_case_of_arrays_and_of_a_mode() -> None:
    (case,) = given(cases("layer", fixtures={"mine": np.ones((2, 3)).cumsum(1)}, gradients=False)).values()
    assert "layer/mine/float64" == case.id
    case.assert_parity(layer_norm)
    found = given(cases("batch", fixtures="nchw"))
    assert ["batch/nchw/float32", "batch[mode=eval]/nchw/float32"] == list(found)
    report = assert_parity("numpy", case=found["batch[mode=eval]/nchw/float32"])
    assert {"eval"} == {result.case.mode for result in report.results}


def test_a_case_says_all_that_says_what_is_computed() -> None:
    (case,) = given(cases("layer", fixtures="nc")).values()
    for more in ({"method": "layer"}, {"dtypes": "float64"}, {"eps": 1e-3}, {"gradients": False}):
        with pytest.raises(NormcheckError, match="give these to cases"):
            case.assert_parity(layer_norm, **more)


def test_no_case_is_an_error_of_the_parametrization() -> None:
    for wrong in ({"fixtures": []}, {"fixtures": "core", "normalized_ndim": 9}, {"dtypes": "half"}):
        with pytest.raises(NormcheckError):
            cases("layer", **wrong)  # type: ignore[arg-type]


def test_a_layer_that_has_another_eps_than_the_case_is_told(requires: Callable[[str], None]) -> None:
    requires("torch")
    import torch

    (case,) = given(cases("group", num_groups=4, fixtures="nchw")).values()
    with pytest.raises(NormcheckError, match=r"no case is group\[num_groups=4\]/nchw/float32; .*eps=0.001"):
        case.assert_parity(torch.nn.GroupNorm(4, 8, eps=1e-3))


# As a worker: where it is found, and what cannot be.

TWICE = functools.partial(layer_norm)
SHORT = lambda x: x  # noqa: E731 (a name for it is what this is about)


class Norm:
    def __call__(self, x: Any) -> Any:
        return x

    def method(self, x: Any) -> Any:
        return x

    @staticmethod
    def static(x: Any) -> Any:
        return x


NORM = Norm()


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (layer_norm, "layer_norm"),
        (TWICE, "TWICE"),
        (SHORT, "SHORT"),
        (NORM, "NORM"),
        (Norm.static, "Norm.static"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_a_name_at_the_top_of_a_module_is_found_there(value: Any, attribute: str) -> None:
    module = importlib.import_module(__name__)
    assert f"{Path(__file__)}:{attribute}" == place_of(value, module)


def test_what_is_in_a_package_is_found_by_its_name() -> None:
    assert "normcheck.testing.candidate:name_of" == place_of(name_of, None)


@pytest.mark.parametrize("value", [lambda x: x, NORM.method, Norm(), functools.partial(layer_norm)])
def test_what_has_no_name_cannot_run_isolated(value: Any) -> None:
    with pytest.raises(NormcheckError, match="cannot run isolated: a worker imports it by its name"):
        assert_parity(value, **HERE, isolated=True)


def test_names_in_reports() -> None:
    assert "layer_norm" == name_of(layer_norm)
    assert "layer_norm" == name_of(TWICE)
    assert "lambda" == name_of(SHORT)
    assert "Norm" == name_of(NORM)

    def numpy(x: Any) -> Any:
        return x

    assert "my_numpy" == name_of(numpy)


def test_the_surroundings_say_what_the_call_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Seen(WorkerProcess):
        def __init__(self, spec: Any) -> None:
            started.append(spec.argument)
            super().__init__(spec)

    monkeypatch.setattr("normcheck.run.session.WorkerProcess", Seen)
    recorded: list[Report] = []
    with within(Surroundings(isolated=True, seed=7, record=recorded.append)):
        report = assert_parity(layer_norm, "layer", fixtures=["nc", "drawn"], gradients=False)
        assert_parity(layer_norm, "layer", fixtures=["nc"], isolated=False)
    assert [f"layer_norm=numpy:{Path(__file__)}:layer_norm"] == started
    assert 7 == report.environment.seed
    assert report is recorded[0]
    assert 2 == len(recorded)
