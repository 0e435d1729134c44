"""LOOSE is decided by what the same code answers for sums of other lengths, and says what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit_helpers import shaped_params

import normcheck
from normcheck import Comparison, Verdict
from normcheck.case import Case, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell
from normcheck.judge.growth import Asked, Variation, decided, variations, varied
from normcheck.methods import parameter_shape
from normcheck.oracle import truths_of
from normcheck.parameters import Params
from normcheck.report import Judgement
from normcheck.verdict import Excuse

F = np.float32


def case_of(method: Method, shape: tuple[int, ...], mode: Mode = Mode.TRAIN, **params: Any) -> Case:
    if method is Method.BATCH:
        params.setdefault("momentum", 0.1)
    own = shaped_params(method, len(shape), **params)
    outputs = (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS)
    return Case(
        method=method, params=own, fixture="f", shape=shape, dtype=DType.FLOAT32, mode=mode, outputs=outputs
    )


def arrays_of(case: Case) -> dict[str, np.ndarray]:
    shape = parameter_shape(case.method, case.shape, case.params)
    size, own = int(np.prod(case.shape)), int(np.prod(shape))
    found = {"x": bell(1, size) + 3, "grad_y": bell(2, size)}
    found = {name: array.reshape(case.shape) for name, array in found.items()}
    found |= {"weight": (bell(3, own) + 2).reshape(shape), "bias": bell(4, own).reshape(shape)}
    if case.tracks:
        found |= {"running_mean": np.zeros(shape), "running_var": np.ones(shape)}
    return {name: array.astype(F) for name, array in found.items()}


@pytest.mark.parametrize(
    ("method", "shape", "axis", "params"),
    [
        (Method.BATCH, (12, 3, 5), 0, {}),
        (Method.BATCH, (12, 3, 5), 2, {}),
        (Method.LAYER, (4, 6, 10), 1, {}),
        (Method.LAYER, (4, 6, 10), 2, {"normalized_ndim": 1}),
        (Method.INSTANCE, (2, 3, 9, 4), 2, {}),
        (Method.GROUP, (2, 12), 1, {"num_groups": 3}),
        (Method.GROUP, (2, 5, 4), 1, {"groups": ((0, 4), (2, 1, 3))}),
        (Method.RMS, (3, 8), 1, {}),
    ],
)
def test_longer_sums_have_the_same_mean_and_variance(
    method: Method, shape: tuple[int, ...], axis: int, params: dict[str, Any]
) -> None:
    """Each element and its copies have the same y and the same gradient, but for the length of the sums."""
    case = case_of(method, shape, **params)
    arrays = arrays_of(case)
    longer, inputs = varied(case, arrays, Variation(axis=axis, length=3 * shape[axis]))
    before, after = truths_of(case, arrays), truths_of(longer, inputs)
    for output in (Output.Y, Output.GRAD_X):
        expected = np.repeat(before[output].value, 3, axis=axis)
        np.testing.assert_allclose(after[output].value, expected, rtol=0, atol=1e-12)
    assert longer.shape == inputs["x"].shape


@pytest.mark.parametrize(
    ("method", "shape", "output", "axes", "params"),
    [
        (Method.BATCH, (64, 3, 5, 7), Output.Y, {0, 3}, {}),
        (Method.BATCH, (64, 3), Output.GRAD_BIAS, {0}, {}),
        (Method.LAYER, (4, 96), Output.Y, {1}, {}),
        (Method.LAYER, (4, 6, 10), Output.GRAD_X, {1, 2}, {}),
        (Method.LAYER, (40, 96), Output.GRAD_WEIGHT, {0, 1}, {}),
        (Method.INSTANCE, (2, 3, 9, 4), Output.Y, {2, 3}, {}),
        (Method.GROUP, (2, 12, 5), Output.Y, {2}, {"num_groups": 3}),
        (Method.GROUP, (2, 12), Output.Y, {1}, {"num_groups": 3}),
    ],
)
def test_the_axes_are_those_that_sums_go_over(
    method: Method, shape: tuple[int, ...], output: Output, axes: set[int], params: dict[str, Any]
) -> None:
    assert axes == {each.axis for each in variations(case_of(method, shape, **params), output)}


def test_running_statistics_leave_no_sums_in_y() -> None:
    case = replace(case_of(Method.BATCH, (64, 3), Mode.EVAL), steps=0)
    assert [] == list(variations(case, Output.Y))
    assert {0} == {each.axis for each in variations(case, Output.GRAD_WEIGHT)}


@pytest.mark.parametrize("mode", Mode)
def test_training_steps_leave_theirs_of_samples_and_positions(mode: Mode) -> None:
    """Instance norm averages the statistics of a channel's samples, whose sets do not go over the samples."""
    case = case_of(Method.INSTANCE, (64, 3, 9), mode, momentum=0.1, track_running_stats=True)
    output = Output.RUNNING_MEAN if mode is Mode.TRAIN else Output.Y
    assert {0, 2} == {each.axis for each in variations(case, output)}


def test_sums_get_shorter_and_longer_but_never_too_short_to_be_of_a_kind() -> None:
    lengths = [each.length for each in variations(case_of(Method.LAYER, (2, 1000)), Output.Y)]
    assert [13, 38, 112, 334, 3000, 9000] == lengths
    assert [36, 108] == [each.length for each in variations(case_of(Method.LAYER, (2, 12)), Output.Y)]


def test_channels_of_groups_are_only_added() -> None:
    found = variations(case_of(Method.GROUP, (2, 120), num_groups=3), Output.Y)
    assert [360, 1080] == [each.length for each in found]


LOOSE = Judgement(
    verdict=Verdict.LOOSE, reason="much", backward_error=100.0, allowed=48.0, excuse=Excuse.SUMMATION
)
LONG = case_of(Method.LAYER, (2, 1000))


def answers(*betas: float | None, verdict: Verdict = Verdict.PASS) -> list[Asked]:
    return [
        Asked(variation=each, judgement=None, reason="it answers nothing")
        if beta is None
        else Asked(variation=each, judgement=Judgement(verdict=verdict, backward_error=beta))
        for each, beta in zip(variations(LONG, Output.Y), betas, strict=False)
    ]


def test_what_grows_with_n_is_loose() -> None:
    found = decided(LOOSE, LONG, answers(2.0, 5.0, 13.0, 30.0, 300.0, 250.0))
    assert (Verdict.LOOSE, Excuse.SUMMATION) == (found.verdict, found.excuse)
    assert "grows with n" in (found.reason or "")
    (growth,) = found.growth
    assert (13, 38, 112, 334, 1000, 3000, 9000) == growth.lengths
    assert growth.slope == pytest.approx(0.85, abs=0.05)


@pytest.mark.parametrize(
    "betas", [(100, 98, 103, 100, 100, 101), (7.0, 12, 22, 50, 130, 210), (900, 500, 300, 170, 60, 30)]
)
def test_what_does_not_grow_fails(betas: tuple[float, ...]) -> None:
    found = decided(LOOSE, LONG, answers(*betas))
    slope = found.growth[0].slope
    assert (slope > 0.5) == (found.verdict is Verdict.LOOSE)
    if slope <= 0.5:
        assert (Verdict.FAIL, None) == (found.verdict, found.excuse)
        assert "does not grow with n" in (found.reason or "")


def test_what_fails_outright_on_other_sums_fails() -> None:
    failing = [*answers(2.0, 5.0), *answers(1e9, verdict=Verdict.FAIL)[-1:]]
    found = decided(LOOSE, LONG, failing)
    assert Verdict.FAIL is found.verdict
    assert "with 13 elements along axis 1 it fails" in (found.reason or "")


def test_code_that_does_not_answer_stays_loose_in_neutral_words() -> None:
    for asked in (answers(None, None), answers(90.0, 100.0, None)):
        found = decided(LOOSE, LONG, asked)
        assert Verdict.LOOSE is found.verdict
        assert "it answers nothing" in (found.reason or "")
    assert "no code" in (decided(LOOSE, LONG, (), refusal="there is no code to ask").reason or "")


# the whole way, through the public API


def sequential(rows: Any) -> Any:
    return np.cumsum(rows, axis=-1, dtype=rows.dtype)[..., -1:]


def naive_sums(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    n = x.dtype.type(x.shape[-1])
    deviation = x - sequential(x) / n
    return deviation / np.sqrt(sequential(deviation * deviation) / n + x.dtype.type(eps)) * weight + bias


def of_one_length(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    if x.shape[-1] != 2000:
        raise ValueError("made for 2000 values")
    return naive_sums(x, weight, bias, eps=eps)


def off_by_a_little(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    deviation = x.astype(np.float64) - x.mean(axis=-1, keepdims=True, dtype=np.float64)
    y = deviation / np.sqrt(np.square(deviation).mean(axis=-1, keepdims=True) + eps)
    return (y * (1 + 2.0**-16) * weight + bias).astype(x.dtype)


def eps_in_running_var(
    x: Any,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
) -> Any:
    wide = x.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    n = x.size // x.shape[1]
    var = (wide.var(axis=axes) + eps) * n / (n - 1)
    state = (
        (1 - momentum) * old + momentum * new
        for old, new in ((running_mean, wide.mean(axis=axes)), (running_var, var))
    )
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = (wide - wide.mean(axis=axes).reshape(shape)) / np.sqrt(wide.var(axis=axes).reshape(shape) + eps)
    y = y * weight.reshape(shape) + bias.reshape(shape)
    return (y.astype(x.dtype), *(each.astype(x.dtype) for each in state))


def results(folder: Path, function: Any, x: Any) -> tuple[Comparison, ...]:
    n = x.shape[1]
    path = folder / "rows.npz"
    np.savez(path, x=x, weight=np.linspace(0.5, 2, n, dtype=F), bias=np.linspace(1, 2, n, dtype=F))
    return normcheck.compare(
        "layer", backends={"mine": function}, fixtures=[path], gradients=False, normalized_ndim=1
    ).results


@pytest.mark.parametrize(
    ("function", "verdict", "words"),
    [
        (naive_sums, Verdict.LOOSE, "grows with n"),
        (of_one_length, Verdict.LOOSE, "made for 2000 values"),
    ],
)
def test_naive_sums_are_loose(function: Any, verdict: Verdict, words: str, tmp_path: Path) -> None:
    (result,) = results(tmp_path, function, np.full((2, 2000), 0.1, F))
    assert verdict is result.verdict
    assert words in (result.reason or "")


def test_a_formula_that_is_off_by_a_little_fails_where_it_was_loose(tmp_path: Path) -> None:
    (result,) = results(tmp_path, off_by_a_little, bell(5, 4000).reshape(2, 2000).astype(F))
    assert result.backward_error is not None
    assert result.backward_error < 2000
    assert Verdict.FAIL is result.verdict
    assert "with 9 elements along axis 1 it fails" in (result.reason or "")


def test_eps_that_is_kept_in_the_running_variance_fails() -> None:
    report = normcheck.compare(
        "batch", backends={"mine": eps_in_running_var}, fixtures=["steps"], gradients=False, mode="train"
    )
    (failed,) = [result for result in report.results if result.verdict is Verdict.FAIL]
    assert Output.RUNNING_VAR is failed.output
    assert "does not grow with n" in (failed.reason or "")


def test_a_strict_run_asks_no_more(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 2000), 0.1, F) + np.arange(2, dtype=F)[:, None])
    calls = []

    def counted(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        calls.append(x.shape)
        return naive_sums(x, 1, 0, eps=eps)

    normcheck.compare(
        "layer", backends={"mine": counted}, fixtures=[tmp_path / "x.npy"], gradients=False, strict=True
    )
    assert {(2, 2000)} == set(calls)


def test_params_of_every_variation_are_possible() -> None:
    """Groups given as lists get their channels' copies."""
    case = case_of(Method.GROUP, (2, 5), groups=((0, 4), (2, 1, 3)))
    for variation in variations(case, Output.Y):
        longer, _ = varied(case, arrays_of(case), variation)
        assert isinstance(longer.params, Params)
        assert longer.params.groups is not None
        assert sorted(c for group in longer.params.groups for c in group) == list(range(longer.shape[1]))
