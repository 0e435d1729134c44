"""The oracle lies within its claimed error of what ball arithmetic certifies, and the claim is a small one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import certified
import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_helpers import inputs, oracle, shaped_params

from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell, uniform
from normcheck.methods import definition, parameter_shape, partition_of
from normcheck.oracle import Inputs, Truth, evaluate
from normcheck.oracle.rule import Rule
from normcheck.oracle.state import Training
from normcheck.parameters import Params

SHAPE = (2, 3, 4)  # sets of 4, 8 and 12 elements
SIZE = 24
DTYPES = [DType.FLOAT32, DType.FLOAT64]
ALL = tuple(output for output in Output if output not in {Output.SUM, Output.GRAD_RESIDUAL})


def evaluated(
    given: Inputs, method: Method, params: Params, mode: Mode, dtype: DType
) -> Mapping[Output, Truth]:
    given_state = given.running_mean is not None
    outputs = [o for o in ALL if not o.is_state or (given_state and mode is Mode.TRAIN)]
    outputs = [o for o in outputs if not o.is_gradient or given.grad_y is not None]
    return evaluate(
        given,
        outputs,
        rule=Rule(eps=params.eps, centered=definition(method).centered),
        partition=partition_of(method, given.x.shape, params),
        stats=DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32,
        training=Training(momentum=params.momentum, steps=int(mode is Mode.TRAIN)),
        running=method is Method.BATCH and mode is Mode.EVAL,
    )


def beyond_claim(truth: Truth, exact: Mapping[tuple[int, ...], arb]) -> list[str]:
    """The elements of ``truth`` that are further from ``exact`` than claimed, or cannot be certified."""
    claimed = truth.claimed_error()
    found = []
    for index, ball in exact.items():
        value = arb(float(truth.value[index])) + (0 if truth.tail is None else arb(float(truth.tail[index])))
        if not abs(value - ball) <= arb(float(claimed[index])):
            found.append(
                f"{index}: {float(truth.value[index])!r}, exactly {ball.str(25)}, claimed {claimed[index]:.3g}"
            )
    return found


def check(
    x: Any,
    method: Method,
    dtype: DType,
    *,
    mode: Mode = Mode.TRAIN,
    outputs: Sequence[Output] = ALL,
    **params: Any,
) -> None:
    """Every one of ``outputs`` that the layer has is certified to be within its claim."""
    chosen = shaped_params(method, len(SHAPE), momentum=0.1, **params)
    parameters = parameter_shape(method, SHAPE, chosen)
    count = int(np.prod(parameters))
    state = {"running_mean": uniform(5, 3, low=-1, high=1), "running_var": uniform(6, 3, low=1, high=3)}
    given = inputs(
        x,
        method,
        dtype=dtype,
        weight=uniform(2, count, low=-2, high=2).reshape(parameters),
        bias=uniform(3, count, low=-1, high=1).reshape(parameters),
        grad_y=uniform(4, SIZE, low=-1, high=1).reshape(SHAPE),
        **(state if method is Method.BATCH else {}),
    )
    found = evaluated(given, method, chosen, mode, dtype)
    truths = {output: truth for output, truth in found.items() if output in outputs}
    assert truths
    exact = certified.layer(given, method, chosen, mode=mode)
    wrong = {
        output.value: bad for output, truth in truths.items() if (bad := beyond_claim(truth, exact[output]))
    }
    assert {} == wrong


NOISE = bell(1, SIZE).reshape(SHAPE)
OUTLIER = NOISE.copy()
OUTLIER[0, 1, 2] = 1e8
DATA: dict[str, np.ndarray] = {
    "ordinary": NOISE,
    "offset 1": NOISE + 1,
    "offset 1e4": NOISE + 1e4,
    "offset 1e8": NOISE + 1e8,
    "offset -1e8": NOISE - 1e8,
    "constant 0": np.zeros(SHAPE),
    "constant 0.1": np.full(SHAPE, 0.1),
    "constant 1e8": np.full(SHAPE, 1e8),
    "nearly constant": 1e8 + np.arange(SIZE).reshape(SHAPE) * 2.0**-26,
    "ramp": np.arange(1.0, SIZE + 1).reshape(SHAPE),
    "outlier": OUTLIER,
    "alternating huge and tiny": NOISE * np.where(np.arange(SIZE) % 2, 1e8, 1e-8).reshape(SHAPE),
    "small 1e-15": NOISE * 1e-15,
    "large 1e15": NOISE * 1e15,
}
EXTREME: dict[str, np.ndarray] = {
    "tiny 1e-200": NOISE * 1e-200,
    "huge 1e300": NOISE * 1e300,
    "1e300 beside 1e-300": NOISE * np.where(np.arange(SIZE) % 2, 1e300, 1e-300).reshape(SHAPE),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", DATA)
def test_every_value_is_within_its_claim(name: str, method: Method, dtype: DType) -> None:
    check(DATA[name], method, dtype)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", EXTREME)
def test_float64_is_within_its_claim_where_squares_leave_the_range(name: str, method: Method) -> None:
    check(EXTREME[name], method, DType.FLOAT64, outputs=[Output.Y, Output.GRAD_WEIGHT, Output.GRAD_BIAS])


def test_the_claim_covers_the_underflow_of_gradients_near_the_smallest_numbers() -> None:
    check(EXTREME["huge 1e300"], Method.LAYER, DType.FLOAT64, outputs=[Output.GRAD_X])


def test_a_huge_constant_is_the_bias_alone() -> None:
    """eps is all of the variance, however large the mean is."""
    check(np.full(SHAPE, 1e300), Method.LAYER, DType.FLOAT64, outputs=[Output.Y])


def test_a_running_variance_beyond_the_range_is_infinite() -> None:
    params = shaped_params(Method.BATCH, 3, momentum=0.1)
    state = {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    given = inputs(NOISE * 1e300, Method.BATCH, dtype=DType.FLOAT64, **state)
    value = evaluated(given, Method.BATCH, params, Mode.TRAIN, DType.FLOAT64)[Output.RUNNING_VAR].value
    np.testing.assert_array_equal(np.full(3, np.inf), value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [1.0, 1e-12, 1e-30])
@pytest.mark.parametrize("name", ["ordinary", "offset 1e4", "small 1e-15", "nearly constant"])
def test_every_value_is_within_its_claim_whatever_eps_is(name: str, eps: float, dtype: DType) -> None:
    check(DATA[name], Method.GROUP, dtype, groups=((2, 0), (1,)), eps=eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["ordinary", "offset 1e8", "constant 0.1", "large 1e15"])
def test_every_value_of_eval_mode_is_within_its_claim(name: str, dtype: DType) -> None:
    check(DATA[name], Method.BATCH, dtype, mode=Mode.EVAL)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=40)
def test_every_value_of_random_layers_is_within_its_claim(dtype: DType, data: st.DataObject) -> None:
    bits = 32 if dtype is DType.FLOAT32 else 64
    scale = data.draw(st.sampled_from([1.0, 2.0**10, 2.0**27]))
    numbers = st.floats(-scale, scale, width=bits, allow_subnormal=False)
    x = np.array(data.draw(st.lists(numbers, min_size=SIZE, max_size=SIZE))).reshape(SHAPE)
    eps = data.draw(st.sampled_from([1e-3, 1e-5, 1e-12]))
    check(x, data.draw(st.sampled_from(Method)), dtype, eps=eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_check_itself_can_fail(dtype: DType) -> None:
    """The claim is below the working precision, so that the nearest float64 or float32 is not enough."""
    exact = certified.layer(inputs(NOISE, dtype=dtype), Method.LAYER, shaped_params(Method.LAYER, 3))[
        Output.Y
    ]
    truth = oracle(NOISE, dtype=dtype)
    assert [] == beyond_claim(truth, exact)
    rounded = truth.value.astype(dtype.value).astype(np.float64)
    coarse = Truth(value=rounded, tail=None, cond=truth.cond, cond2=truth.cond2, n=truth.n, unit=truth.unit)
    assert beyond_claim(coarse, exact)
    assert (truth.claimed_error() < 1e-4 * dtype.unit_roundoff).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", Method)
def test_nan_and_infinity_poison_their_own_statistic_set_alone(
    method: Method, poison: float, dtype: DType
) -> None:
    x = NOISE.copy()
    x[0, 1, 2] = poison
    if method is Method.RMS and np.isinf(poison):  # the rest of the set is x divided by infinity
        value = oracle(x, method, dtype=dtype).value
        expected = np.isnan(value)
        assert [(0, 1, 2)] == [tuple(index) for index in np.argwhere(expected)]
        assert (value[0][~expected[0]] == 0).all()
        return
    poisoned = {
        Method.BATCH: np.s_[:, 1, :],
        Method.LAYER: np.s_[0],
        Method.RMS: np.s_[0],
        Method.INSTANCE: np.s_[0, 1],
        Method.GROUP: np.s_[0],
    }[method]
    expected = np.zeros(SHAPE, bool)
    expected[poisoned] = True
    np.testing.assert_array_equal(expected, np.isnan(oracle(x, method, dtype=dtype).value))


def test_hand_computed_variance_is_biased() -> None:
    """[1, 0, 0, 0]: mean 1/4, biased variance 3/16, so that x̂ of the 1 is √3; unbiased it would be 1.5."""
    value = oracle([[1.0, 0.0, 0.0, 0.0]], eps=0.0, dtype=DType.FLOAT64).value
    np.testing.assert_allclose([[3**0.5, *[-(3**-0.5)] * 3]], value, rtol=1e-15)


def test_eps_is_added_to_the_variance_inside_the_root() -> None:
    value = oracle([[1.0, -1.0]], eps=3.0, dtype=DType.FLOAT64).value
    np.testing.assert_array_equal([[0.5, -0.5]], value)


def test_weight_and_bias_run_along_the_channels() -> None:
    x = np.array([[[1.0, -1.0], [2.0, -2.0]]])
    value = oracle(x, Method.INSTANCE, weight=[10, 100], bias=[1, 2], eps=0.0, dtype=DType.FLOAT64).value
    np.testing.assert_array_equal([[[11.0, -9.0], [102.0, -98.0]]], value)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_condition_numbers_cover_what_a_roundoff_of_the_input_does(offset: float) -> None:
    """Each input moved by one roundoff, in a random direction, moves no output by more than cond roundoffs."""
    u = 2.0**-24
    x = np.float32(NOISE + offset).astype(np.float64)
    truth = oracle(x, dtype=DType.FLOAT64)
    signs = np.where(uniform(9, SIZE, low=-1, high=1) < 0, -1, 1).reshape(SHAPE)
    moved = oracle(x * (1 + u * signs), dtype=DType.FLOAT64).value - truth.value
    allowed = u * truth.cond + u**2 * truth.cond2
    assert (np.abs(moved) <= 1.01 * allowed).all()
    assert np.abs(moved).max() > 1e-2 * allowed.max()
