"""Condition numbers are right: they bound what moving every input by a roundoff does, and not much more.

Inputs are moved by exact multiples of a float32 roundoff, relatively, and the layer is computed again in
double-double, so that what is seen is the movement and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from layers import Layer, layer

from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell, integers
from normcheck.judge.array import Bound, judge
from normcheck.judge.scale import backward_error
from normcheck.oracle import Truth
from normcheck.verdict import Verdict

Array = np.ndarray
Relative = dict[str, Array]  # by how much each input is moved, in units of itself
Truths = Mapping[Output, Truth]
Sensitivity = tuple[str, tuple[int, ...], Array]  # of an output to one element of one input

U = 2.0**-24
SHAPE = (2, 2, 3)
NOISE = bell(1, 12).reshape(SHAPE)
RAMP = np.arange(12.0).reshape(SHAPE)
DATA: dict[str, tuple[Array, float]] = {  # and eps
    "ordinary": (NOISE, 1e-3),
    "offset 10": (NOISE + 10, 1e-5),
    "offset 1e4": (NOISE + 1e4, 1e-12),
    "offset 1e6": (NOISE + 1e6, 1e-5),
    "constant 0.1": (np.full(SHAPE, 0.1), 1e-3),
    "constant 1e3": (np.full(SHAPE, 1e3), 1e-5),
    "constant 1e3, small eps": (np.full(SHAPE, 1e3), 1e-12),
    "a unit of float32 apart": (1 + RAMP * 2.0**-22, 1e-12),
    "some units of float32 apart": (1 + RAMP * 2.0**-17, 1e-12),
    "outlier": (np.where(RAMP == 4, 1e4, NOISE), 1e-5),
    "tiny": (NOISE * 1e-6, 1e-12),
    "huge": (NOISE * 1e9, 1e-5),
}
LAYERS: dict[str, dict[str, Any]] = {
    "batch": {"method": Method.BATCH},
    "batch eval": {"method": Method.BATCH, "mode": Mode.EVAL},
    "batch after 3 steps": {"method": Method.BATCH, "steps": 3},
    "batch eval after 2 steps": {"method": Method.BATCH, "mode": Mode.EVAL, "steps": 2},
    "batch eval after a step of momentum 1": {
        "method": Method.BATCH,
        "mode": Mode.EVAL,
        "steps": 1,
        "momentum": 1.0,
    },
    "group": {"method": Method.GROUP, "groups": ((1,), (0,))},
    "instance, tracked": {"method": Method.INSTANCE, "track_running_stats": True},
}
FIELDS = ("x", "weight", "bias", "grad_y", "running_mean", "running_var")


def moved(of: Layer, by: Relative) -> Truths:
    """The outputs where each input is moved by so much, relatively."""
    arrays = {name: getattr(of.inputs, name) * (1 + relative) for name, relative in by.items()}
    return replace(of, inputs=replace(of.inputs, **arrays)).oracle()


def difference(a: Truth, b: Truth) -> Array:
    return (a.value - b.value) + (a.tail - b.tail)


def still(of: Layer) -> Relative:
    given = {name: getattr(of.inputs, name) for name in FIELDS}
    return {name: np.zeros(array.shape) for name, array in given.items() if array is not None}


def sensitivities(
    of: Layer, step: float = 2.0**-40
) -> dict[Output, list[tuple[str, tuple[int, ...], Array]]]:
    """How each output moves with each single input, in units of that input: central differences."""
    found: dict[Output, list[tuple[str, tuple[int, ...], Array]]] = {output: [] for output in of.case.outputs}
    for name, array in still(of).items():
        for index in np.ndindex(array.shape):
            by = np.zeros_like(array)
            by[index] = step
            up, down = moved(of, {name: by}), moved(of, {name: -by})
            for output, each in found.items():
                each.append((name, index, difference(up[output], down[output]) / (2 * step)))
    return found


def worst_signs(of: Layer, each: Mapping[Output, list[Sensitivity]]) -> Iterator[Relative]:
    """For one element of each output, the signs that move it most; and some random ones."""
    for sensitivity in each.values():
        signs = still(of)
        for name, index, by in sensitivity:
            signs[name][index] = np.sign(by.flat[-1])
        yield signs
    for seed in range(4):
        yield {name: 2.0 * integers(seed, a.size, 1).reshape(a.shape) - 1 for name, a in still(of).items()}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("kind", LAYERS)
def test_conditions_bound_what_moving_all_inputs_does_and_not_much_more(kind: str, name: str) -> None:
    x, eps = DATA[name]
    of = layer(x, eps=eps, **LAYERS[kind])
    truths, each = of.oracle(), sensitivities(of)
    for output, truth in truths.items():
        exact = sum(np.abs(by) for _, _, by in each[output])  # what a first-order condition number is
        assert (truth.cond >= 0.999 * exact).all(), output
        assert (truth.cond <= 30 * exact).any(), output
    for signs in worst_signs(of, each):
        for u in (U, 30 * U):
            after = moved(of, {name: u * sign for name, sign in signs.items()})
            for output, truth in truths.items():
                bound = u * truth.cond + u**2 * truth.cond2
                assert (np.abs(difference(after[output], truth)) <= 1.001 * bound).all(), output


SECOND = [Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT, Output.RUNNING_VAR]


@pytest.mark.parametrize("output", SECOND)
def test_the_second_order_is_there_for_what_the_first_leaves_open(output: Output) -> None:
    """What is the same for movements there and back is the second order; cond₂ bounds it, within two digits."""
    of = layer(1 + RAMP * 2.0**-9, Method.BATCH, eps=1e-12)
    truth, found = of.oracle()[output], []
    for signs in worst_signs(of, sensitivities(of)):
        there = moved(of, {name: U * each for name, each in signs.items()})[output]
        back = moved(of, {name: -U * each for name, each in signs.items()})[output]
        found.append(np.abs(difference(there, truth) + difference(back, truth)) / 2)
    assert (np.max(found, axis=0) <= U**2 * truth.cond2).all()
    assert (np.max(found, axis=0) >= 0.01 * U**2 * truth.cond2).any()


@pytest.mark.parametrize("output", [Output.GRAD_X, Output.RUNNING_VAR])
def test_the_bound_of_first_order_alone_is_exceeded(output: Output) -> None:
    """Constant input: its noise is squared in the variance, of which the first order knows nothing."""
    of = layer(np.full(SHAPE, 1e3), Method.BATCH, eps=1e-12, momentum=1.0)
    truth = of.oracle()[output]
    largest = max(
        (
            np.abs(difference(moved(of, {n: U * s for n, s in signs.items()})[output], truth))
            / (U * truth.cond)
        ).max()
        for signs in worst_signs(of, sensitivities(of))
    )
    assert largest > 10


def test_sets_whose_variance_roundoffs_may_take_away_have_the_conditions_of_no_variance() -> None:
    """Found in the survey: Welford's variance of [a, a + 1 ulp] is 0, within a roundoff of the truth."""
    x = np.array([[[-906311.5625, -906311.625]]])
    of = layer(x, Method.LAYER, DType.FLOAT32, eps=1e-8, normalized_ndim=1)
    truths, g = of.oracle(), of.inputs.grad_y.astype(np.float64)
    weight = of.inputs.weight.astype(np.float64)
    h = g * weight
    without_variance = 1e4 * (h - h.mean(axis=-1, keepdims=True))
    truth = truths[Output.GRAD_X]
    error = np.abs(without_variance - truth.value)
    assert (error > 50 * np.abs(truth.value)).any()
    assert (backward_error(error, truth.cond, truth.cond2, U) <= 2).all()


def test_ordinary_sets_keep_their_own_conditions() -> None:
    """At an offset of 1e4 the deviation is 1e3 times what roundoffs can take."""
    near, far = (layer(NOISE + at, Method.BATCH, DType.FLOAT32, eps=1e-12) for at in (0.0, 1e4))
    ratio = far.oracle()[Output.GRAD_X].cond.max() / near.oracle()[Output.GRAD_X].cond.max()
    assert 1e3 < ratio < 1e5


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
@pytest.mark.parametrize("mode", Mode)
def test_statistics_held_in_half_precision_are_rounded_at_each_step(dtype: DType, mode: Mode) -> None:
    of = layer(NOISE + 3, Method.BATCH, dtype, mode=mode, steps=5, momentum=0.3)
    case, given = of.case, of.inputs
    kept = [given.running_mean.astype(np.float64), given.running_var.astype(np.float64)]
    rows = np.moveaxis(given.x.astype(np.float64), 1, 0).reshape(given.x.shape[1], -1)
    for _ in range(case.steps):
        kept = [
            (0.7 * old + 0.3 * new).astype(given.running_mean.dtype).astype(np.float64)
            for old, new in zip(kept, (rows.mean(axis=1), rows.var(axis=1, ddof=1)), strict=True)
        ]
    if mode is Mode.TRAIN:
        found = dict(zip((Output.RUNNING_MEAN, Output.RUNNING_VAR), kept, strict=True))
    else:
        shape = (1, -1, *(1,) * (given.x.ndim - 2))
        mean, var, weight, bias = (
            a.astype(np.float64).reshape(shape) for a in (*kept, given.weight, given.bias)
        )
        found = {
            Output.Y: (given.x.astype(np.float64) - mean) / np.sqrt(var + case.params.eps) * weight + bias
        }
    for output, values in found.items():
        truth = of.oracle()[output]
        judgement = judge(
            values.astype(given.x.dtype),
            truth,
            dtype=dtype,
            bound=Bound.for_sums_of(truth.n),
            unit=U,
        )
        assert (Verdict.PASS, True) == (judgement.verdict, judgement.backward_error < 3), output
        wrong = judge(
            (values * 2).astype(given.x.dtype), truth, dtype=dtype, bound=Bound.for_sums_of(truth.n), unit=U
        )
        assert Verdict.FAIL is wrong.verdict, output
