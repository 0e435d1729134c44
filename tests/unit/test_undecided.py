"""Where nothing can be said nothing is judged, and everywhere else everything is.

Sets that lie beside each other in one block must not touch: one that cannot be decided, one that NaN has poisoned and
an ordinary one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layers import layer

from normcheck.answer import Answer
from normcheck.case import Case, Method, Mode, Output
from normcheck.conventions.catalogue import EpsPlacement, Variance, parse
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.oracle import Truth
from normcheck.parameters import Params
from normcheck.report import Judgement
from normcheck.verdict import Verdict

ORDINARY = bell(1, 8).reshape(2, 4)
DTYPES = (DType.FLOAT32, DType.FLOAT64)


def rows(*data: Any) -> np.ndarray:
    return np.stack([np.asarray(row, np.float64) for row in data])


def with_one(row: np.ndarray, value: float) -> np.ndarray:
    return np.where(np.arange(row.size) == 1, value, row)


CONSTANT, NAN = np.full(4, 0.1), with_one(ORDINARY[1], np.nan)


def truths(x: np.ndarray, placement: EpsPlacement, dtype: DType, **options: Any) -> dict[Output, Truth]:
    conventions = [f"eps_placement={placement}", *options.pop("more", ())]
    of = layer(x, options.pop("method", Method.LAYER), dtype, convention=parse(conventions), **options)
    return dict(of.oracle())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", [Output.Y, Output.GRAD_X])
@pytest.mark.parametrize("variance", Variance)
@pytest.mark.parametrize("placement", EpsPlacement)
@pytest.mark.parametrize("method", [Method.LAYER, Method.RMS])
def test_sets_side_by_side_do_not_touch(
    method: Method, placement: EpsPlacement, variance: Variance, output: Output, dtype: DType
) -> None:
    zero = CONSTANT * (method is Method.LAYER)
    more = (f"variance={variance}",)
    truth = truths(rows(ORDINARY[0], zero, NAN), placement, dtype, method=method, more=more)[output]
    alone = truths(rows(ORDINARY[0]), placement, dtype, method=method, more=more)[output]
    assert alone.value[0].tolist() == truth.value[0].tolist()
    assert [(), ()] == [truth.value[row][truth.undecided[row]].shape[1:] for row in (0, 1)]
    assert np.isnan(truth.value[2]).all()
    assert not truth.undecided[[0, 2]].any()
    unsaid = placement is EpsPlacement.NONE or (
        placement is EpsPlacement.OUTSIDE_SQRT and output is Output.GRAD_X
    )
    assert unsaid == truth.undecided[1].all() == truth.undecided[1].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_deviation_within_reach_of_roundoffs_leaves_nothing_to_say_without_eps(dtype: DType) -> None:
    x = rows(1 + np.arange(4.0) * 2 * dtype.output_roundoff)
    for output in (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT):
        assert truths(x, EpsPlacement.NONE, dtype)[output].undecided.all(), output


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_variance_within_reach_of_eps_leaves_grad_x_open_with_max_and_another_does_not(
    dtype: DType, side: int
) -> None:
    x = rows([1.0, -1.0, 1.0, -1.0])
    near, far = 1 + side * dtype.output_roundoff, 1 + side * 2.0**-10
    assert truths(x, EpsPlacement.MAX, dtype, eps=near)[Output.GRAD_X].undecided.all()
    assert not truths(x, EpsPlacement.MAX, dtype, eps=far)[Output.GRAD_X].undecided.any()
    assert not truths(x, EpsPlacement.MAX, dtype, eps=near)[Output.Y].undecided.any()


@pytest.mark.parametrize("side", [-1, 1])
def test_just_above_and_just_below_eps_are_told_apart_in_float64(side: int) -> None:
    """Above eps grad_x is that without eps, below it that of a constant r."""
    x, eps = rows([1.0, -1.0, 1.0, -1.0]), 1 - side * 2.0**-44
    of = layer(x, Method.LAYER, DType.FLOAT64, eps=eps, weight=None, convention=parse(["eps_placement=max"]))
    g = of.inputs.grad_y[0]
    h = g - g.mean()
    expected = h - (side > 0) * x[0] * (h * x[0]).mean()
    np.testing.assert_allclose(of.oracle()[Output.GRAD_X].value[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("placement", EpsPlacement)
def test_an_infinity_makes_the_rest_of_an_uncentered_set_zero_and_keeps_the_precision(
    placement: EpsPlacement, dtype: DType
) -> None:
    """The gradient of the weight sums over sets: those without an infinity are as precise as ever."""
    x = rows(with_one(ORDINARY[0], np.inf), ORDINARY[1])
    found, clean = (
        truths(data, placement, dtype, method=Method.RMS) for data in (x, rows(0 * x[1], ORDINARY[1]))
    )
    bias = layer(x, Method.RMS, dtype).inputs.bias.astype(np.float64)
    others = [0, 2, 3]
    assert bias[others].tolist() == found[Output.Y].value[0, others].tolist()
    assert np.isnan(found[Output.Y].value[0, 1])
    assert not found[Output.GRAD_X].undecided.any()
    if placement is not EpsPlacement.NONE:  # there a set of zeros cannot be decided
        truth, same = found[Output.GRAD_WEIGHT], clean[Output.GRAD_WEIGHT]
        tails = 0.0 if truth.tail is None else truth.tail - same.tail
        difference = np.abs((truth.value - same.value) + tails)
        assert (difference <= truth.claimed_error())[others].all()


@pytest.mark.parametrize("placement", [EpsPlacement.OUTSIDE_SQRT, EpsPlacement.MAX])
def test_a_running_variance_of_0_that_is_given_can_be_decided(placement: EpsPlacement) -> None:
    x = bell(1, 6).reshape(2, 3)
    of = layer(
        x, Method.BATCH, DType.FLOAT32, mode=Mode.EVAL, convention=parse([f"eps_placement={placement}"])
    )
    of.inputs.running_var[:] = 0
    for output, truth in of.oracle().items():
        assert np.isfinite(truth.cond).all(), output
        assert np.isfinite(truth.cond2).all(), output


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("convention", ["eps_placement=none", "eps_placement=outside_sqrt"])
def test_a_trained_variance_within_reach_of_roundoffs_leaves_nothing_to_say(
    convention: str, dtype: DType
) -> None:
    """Of the first channel alone; implementations have 0 there, or what roundoffs make of it."""
    x = np.stack([np.full(6, 0.1), bell(1, 6)], axis=1)
    of = layer(
        x,
        Method.BATCH,
        dtype,
        mode=Mode.EVAL,
        steps=2,
        momentum=1.0,
        eps=1e-12,
        convention=parse([convention]),
    )
    truth = of.oracle()
    for output in (Output.Y, Output.GRAD_X):
        assert [True, False] == truth[output].undecided.all(axis=0).tolist(), output
        assert not truth[output].undecided[:, 1].any()
    assert [True, False] == truth[Output.GRAD_WEIGHT].undecided.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_running_variance_of_0_that_is_given_leaves_nothing_to_say_without_eps(dtype: DType) -> None:
    of = layer(bell(1, 6).reshape(2, 3), Method.BATCH, dtype, mode=Mode.EVAL, eps=0.0)
    of.inputs.running_var[0] = 0
    for output in (Output.Y, Output.GRAD_X):
        truth = of.oracle()[output]
        assert [[True, False, False]] * 2 == truth.undecided.tolist(), output


def test_a_trained_variance_within_reach_of_eps_may_be_on_its_other_side() -> None:
    """Below eps r does not move, above it does: the condition is that of either."""
    x, eps = rows([1.0, 3.0], [-1.0, -3.0]), 9.0 * (1 + 2.0**-24)
    conds = []
    for near in (eps, 9.0 * 1.1):
        of = layer(
            x,
            Method.BATCH,
            DType.FLOAT32,
            mode=Mode.EVAL,
            steps=1,
            momentum=1.0,
            eps=near,
            convention=parse(["eps_placement=max", "running_var=biased"]),
        )
        conds.append(of.oracle()[Output.GRAD_X].cond[0, 1])
    assert conds[0] > 1.2 * conds[1]


def test_a_gradient_of_0_does_not_settle_what_cannot_be_decided() -> None:
    x = rows(ORDINARY[0], CONSTANT)
    of = layer(x, Method.LAYER, DType.FLOAT32, convention=parse(["eps_placement=none"]))
    of.inputs.grad_y[1, 0] = 0
    assert of.oracle()[Output.GRAD_WEIGHT].undecided.all()


def judged(x: np.ndarray, actual: np.ndarray, **case: Any) -> Judgement:
    """Batch norm in eval mode, or with ``case`` something else, of an x in float32."""
    x = np.float32(x)
    channels = x.shape[1]
    arrays = {"x": x, "running_mean": np.zeros(channels), "running_var": np.ones(channels)}
    if case.get("method", Method.BATCH) is not Method.BATCH:
        arrays = {"x": x}
    of = Case(
        **{
            "method": Method.BATCH,
            "params": Params(momentum=0.1),
            "mode": Mode.EVAL,
            "steps": 0,
            "fixture": "f",
            "shape": x.shape,
            "dtype": DType.FLOAT32,
            **case,
        }
    )
    answer = Answer(verdict=None, outputs={of.outputs[0]: np.float32(actual)})
    cast = {name: array.astype(np.float32) for name, array in arrays.items()}
    return CaseJudge(of, cast, Options()).judge({"a": answer}).results["a"][0].judgement


@pytest.mark.parametrize(("mode", "output"), [(Mode.EVAL, Output.Y), (Mode.TRAIN, Output.RUNNING_MEAN)])
def test_what_is_infinite_must_be_returned_as_infinite(mode: Mode, output: Output) -> None:
    """Its condition is infinite too, and yet nothing else is right."""
    x = rows(with_one(ORDINARY[0], np.inf), ORDINARY[1])
    both = (output, Output.RUNNING_VAR) if output.is_state else (output,)
    of = {"mode": mode, "outputs": both, "steps": int(mode is Mode.TRAIN)}
    right = x / np.sqrt(1 + 1e-5) if output is Output.Y else 0.1 * x.mean(axis=0)
    place = np.unravel_index(int(np.argmax(np.isinf(right))), right.shape)
    wrong = right.copy()
    wrong[place] = 5.0
    assert Verdict.PASS is judged(x, right, **of).verdict
    found = judged(x, wrong, **of)
    assert (Verdict.FAIL, "is 5 where the oracle has inf") == (found.verdict, found.reason)


@pytest.mark.parametrize("returned", [np.nan, 0.0, 7.0])
def test_nothing_is_right_or_wrong_where_nothing_can_be_said(returned: float) -> None:
    """The constant row is left out, whatever is returned there; the other one is judged as ever."""
    x = rows(CONSTANT, ORDINARY[0])
    d = x[1] - x[1].mean()
    right = rows(np.full(4, returned), d / np.sqrt((d * d).mean()))
    case = {
        "method": Method.LAYER,
        "params": Params(normalized_ndim=1),
        "mode": Mode.TRAIN,
        "convention": parse(["eps_placement=none"]),
    }
    assert Verdict.PASS is judged(x, right, **case).verdict
    assert Verdict.FAIL is judged(x, right * [[1.0], [1.01]], **case).verdict
    alone = judged(x[:1], right[:1], **case)
    assert Verdict.INCONCLUSIVE is alone.verdict
    assert "can be decided" in str(alone.reason)


def test_an_empty_batch_has_outputs_without_elements() -> None:
    of = layer(np.empty((0, 4)), Method.LAYER, DType.FLOAT32, weight=None)
    assert [(0, 4), (0, 4)] == [truth.value.shape for truth in of.oracle().values()]
