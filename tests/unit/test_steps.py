"""Eval mode after training steps: running statistics have sums of n numbers in them, and so has what they normalize."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layers import Layer, layer

import normcheck
from normcheck import Comparison, Verdict
from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell, sparse
from normcheck.judge.array import Bound
from normcheck.judge.scale import Scale

F = np.float32
UNIT = DType.FLOAT32.unit_roundoff
ROWS = 3000


def trained(x: Any, mode: Mode, steps: int) -> Layer:
    return layer(x, Method.BATCH, DType.FLOAT32, mode=mode, steps=steps, momentum=0.5)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    "x", [bell(1, 1200) + 3, sparse(2, 1200) * 1e3, np.full(1200, 0.1)], ids=["usual", "sparse", "constant"]
)
def test_statistics_within_their_bound_leave_what_they_normalize_within_its(x: Any, steps: int) -> None:
    """The same inputs explain both: whatever state is accepted in training, it makes no y or grad_x that fails."""
    x = x.reshape(400, 3)
    state = trained(x, Mode.TRAIN, steps).oracle()
    inference = trained(x, Mode.EVAL, steps)
    truths = inference.oracle()
    bound = Bound.for_sums_of(truths[Output.Y].n)
    for roundoffs in (bound.allowed, bound.loose):
        for sign in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]):
            mean, var = (
                truth.value + s * (roundoffs * UNIT * truth.cond + (roundoffs * UNIT) ** 2 * truth.cond2)
                for truth, s in zip(
                    (state[Output.RUNNING_MEAN], state[Output.RUNNING_VAR]), sign, strict=True
                )
            )
            for output, actual in moved(inference, mean, var).items():
                truth = truths[output]
                beta = Scale(dtype=DType.FLOAT64, unit=UNIT).beta(
                    np.abs(actual - truth.value), truth.value, truth.cond, truth.cond2
                )
                assert beta.max() <= roundoffs


def moved(inference: Layer, mean: Any, var: Any) -> dict[Output, Any]:
    """Y and grad_x, in float64, by statistics that are given."""
    inputs = inference.inputs
    assert inputs.weight is not None
    assert inputs.bias is not None
    assert inputs.grad_y is not None
    r = 1 / np.sqrt(var + inference.case.params.eps)
    y = (inputs.x.astype(np.float64) - mean) * r * inputs.weight + inputs.bias
    return {Output.Y: y, Output.GRAD_X: inputs.grad_y.astype(np.float64) * inputs.weight * r}


def test_statistics_that_are_given_have_summed_nothing() -> None:
    case = trained(bell(1, 60).reshape(20, 3), Mode.EVAL, 0)
    found = case.oracle()
    assert (1, 1, 20) == tuple(found[o].n for o in (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT))
    after = replace(case, case=replace(case.case, steps=1)).oracle()
    assert {20} == {after[o].n for o in (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT)}


def instance_norm(
    x: Any,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    training: bool,
    wrong: float = 0.0,
) -> Any:
    """The average over the samples adds one after the other."""
    keep = F(1 - momentum)
    mean, var = x.mean(2), x.var(2, ddof=1)
    state = tuple(
        keep * old + F(momentum) * (np.cumsum(new, axis=0, dtype=F)[-1] / F(len(x)))
        for old, new in ((running_mean, mean), (running_var, var))
    )
    if training:
        mean, var = mean[..., None], x.var(2)[..., None]
    else:
        mean, var = running_mean[:, None] * F(1 + wrong), running_var[:, None]
        state = (running_mean, running_var)
    y = (x - mean) / np.sqrt(var + F(eps)) * weight[:, None] + bias[:, None]
    return (y, *state)


def in_inference(folder: Path, function: Any, rows: int) -> dict[tuple[Mode, Output], Comparison]:
    """Of a constant, 0.1, which a naive sum gets more wrong with each number."""
    path = folder / "steps.json"
    description = {
        "description": "0.1",
        "shape": [rows, 2, 2],
        "channel_axis": 1,
        "methods": {"instance": [{"track_running_stats": True, "momentum": 1.0}]},
        "x": {"recipe": "constant", "numerator": 1677722},
        "steps": 2,
        "weight": {"recipe": "uniform", "seed": 1, "low": 1, "high": 2},
        "bias": {"recipe": "uniform", "seed": 2, "low": 0, "high": 1},
        "running_mean": {"recipe": "uniform", "seed": 3, "low": -1, "high": 1},
        "running_var": {"recipe": "uniform", "seed": 4, "low": 1, "high": 3},
    }
    path.write_text(json.dumps(description), encoding="utf-8")
    report = normcheck.compare("instance", backends={"mine": function}, fixtures=[path], gradients=False)
    return {(result.case.mode, result.output): result for result in report.results}


def test_a_naive_average_over_samples_is_loose_in_training_and_after_it(tmp_path: Path) -> None:
    found = in_inference(tmp_path, instance_norm, ROWS)
    for result in (found[Mode.TRAIN, Output.RUNNING_MEAN], found[Mode.EVAL, Output.Y]):
        assert Verdict.LOOSE is result.verdict
        assert "it grows with n" in (result.reason or "")
        assert 0 in {growth.axis for growth in result.judgement.growth}


def test_another_formula_in_inference_fails_where_it_was_loose(tmp_path: Path) -> None:
    result = in_inference(tmp_path, partial(instance_norm, wrong=2.0**-10), ROWS)[Mode.EVAL, Output.Y]
    assert result.backward_error is not None
    assert result.backward_error < 16 + 2 * ROWS
    assert Verdict.FAIL is result.verdict
    assert "along axis 0 it fails" in (result.reason or "")


@pytest.mark.parametrize("precise", [False, True])
def test_a_variance_that_half_precision_holds_as_infinity_leaves_the_bias(precise: bool) -> None:
    """x̂ is 0 then, in double-double too, whose transformations make infinity NaN."""
    x = np.array([[3e4, 1.0], [-3e4, 2.0], [1.0, 3.0]], np.float16)
    inference = layer(x, Method.BATCH, DType.FLOAT16, mode=Mode.EVAL, steps=1, momentum=0.5)
    half = {name: np.ones(2, np.float16) for name in ("running_mean", "running_var")}
    inference = replace(inference, inputs=replace(inference.inputs, **half))
    found = inference.oracle(precise=precise)
    bias = inference.inputs.bias
    assert bias is not None
    assert np.isfinite(found[Output.Y].value).all()
    assert np.isfinite(found[Output.Y].cond).all()
    assert [bias.ravel()[0]] * 3 == found[Output.Y].value[:, 0].tolist()
    assert 0 == np.abs(found[Output.GRAD_X].value[:, 0]).max()
