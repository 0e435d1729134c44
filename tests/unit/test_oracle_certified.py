"""The oracle against ball arithmetic that differentiates the definition of y itself.

Nothing here is shared with the oracle but the inputs: y is written from its definition, element by element, as
a function of numbers that may be power series. A gradient is the coefficient of t in L(x + t·eⱼ), L = Σ g·y:
no formula of a backward pass is involved. The closed formulas of :mod:`certified` are the second statement,
and the two must agree.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import certified
import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import OFFSET, Layer, adversarial, layer

from normcheck.case import Method, Mode, Output
from normcheck.conventions.catalogue import (
    Bias,
    EpsPlacement,
    Momentum,
    ResidualSum,
    RunningVar,
    Variance,
    Weight,
    parse,
)
from normcheck.dtype import DType
from normcheck.methods import definition, resolved
from normcheck.oracle import Truth
from normcheck.oracle.reals import total

Index = tuple[int, ...]
Balls = dict[Index, Any]  # arb; arb_series while differentiating
SHAPE = (2, 3, 4)
BITS = (300, 1200, 5000)  # tried in turn: 1e300 beside 1e-300 takes the last


class Definition:
    """A layer's outputs in balls, from the definition of y alone."""

    def __init__(self, of: Layer) -> None:
        given, case = of.inputs, of.case
        self.case, self.given = case, given
        self.convention = resolved(case.method, case.dtype, case.convention)
        self.x, self.weight, self.bias, self.g = map(
            _balls, (given.x, given.weight, given.bias, given.grad_y)
        )
        if given.residual is not None:
            exact = {i: b + self.x[i] for i, b in _balls(given.residual).items()}
            self.sum, rounded = exact, _balls(given.x + given.residual)
            self.x = exact if self.convention.residual_sum is ResidualSum.EXACT else rounded
        self.sets = certified.sets(given.x.shape, case.method, case.params, case.convention)
        self.old = _balls(given.running_mean), _balls(given.running_var)
        self.trained = self._trained()

    def outputs(self) -> dict[Output, Balls]:
        found: dict[Output, Balls] = {output: {} for output in self.case.outputs}
        for members in self.sets:
            found[Output.Y] |= self._y(members)
            found[Output.GRAD_X] |= {j: self._derivative(members, x=_plus_t(self.x, j)) for j in members}
        for k in self.weight if Output.GRAD_WEIGHT in found else ():
            parts = [self._derivative(s, weight=_plus_t(self.weight, k)) for s in self._reached("weight", k)]
            found[Output.GRAD_WEIGHT][k] = sum(parts, arb(0))
        for k in self.bias if Output.GRAD_BIAS in found else ():
            parts = [self._derivative(s, bias=_plus_t(self.bias, k)) for s in self._reached("bias", k)]
            found[Output.GRAD_BIAS][k] = sum(parts, arb(0))
        if Output.SUM in found:
            found |= {Output.SUM: self.sum, Output.GRAD_RESIDUAL: found[Output.GRAD_X]}
        found |= {o: b for o, b in zip(STATE, self.trained, strict=True) if o in found}
        return found

    def _reached(self, name: str, at: Index) -> list[list[Index]]:
        """The sets that an element of a parameter has to do with, to keep the sums short."""
        return [s for s in self.sets if any(self._parameter(name, i) == at for i in s)]

    def _parameter(self, name: str, index: Index) -> Index:
        return tuple(index[axis] for axis in self.given.axes_of(getattr(self.given, name)))

    def _channel(self, members: Sequence[Index]) -> Index:
        return (members[0][self.case.params.channel_axis],)

    def _y(self, members: Sequence[Index], **changed: Balls) -> Balls:
        """y of one statistic set, of the layer's own x, weight and bias or of changed ones."""
        x, weight, bias = (changed.get(name, getattr(self, name)) for name in ("x", "weight", "bias"))
        if self.case.uses_running:
            mean, var = (state[self._channel(members)] for state in self.trained)
        else:
            mean, var = _mean_and_var([x[i] for i in members], centered=bool(self.convention.centered))
            n = len(members)
            var = var * n / (n - 1) if self.convention.variance is Variance.UNBIASED else var
        root = self._root(var)
        y = {i: (x[i] - mean) / root for i in members}
        if weight and self.convention.weight is not Weight.IGNORED:
            offset = arb(1 if self.convention.weight is Weight.ONE_PLUS else 0)
            y = {i: y[i] * (weight[self._parameter("weight", i)] + offset) for i in y}
        if bias and self.convention.bias is not Bias.IGNORED:
            y = {i: y[i] + bias[self._parameter("bias", i)] for i in y}
        return y

    def _root(self, var: Any) -> Any:
        eps = arb(self.case.params.eps)
        match self.convention.eps_placement:
            case EpsPlacement.INSIDE_SQRT:
                return (var + eps).sqrt()
            case EpsPlacement.OUTSIDE_SQRT:
                return _root_of(var) + eps
            case EpsPlacement.MAX:
                constant = var[0] if isinstance(var, arb_series) else var
                return var.sqrt() if constant > eps else eps.sqrt()
        return var.sqrt()

    def _derivative(self, members: Sequence[Index], **changed: Balls) -> arb:
        """dL/dt where one of the numbers has t added."""
        try:
            y = self._y(members, **changed)
        except ValueError:  # the root of a variance of 0 has no derivative
            return arb("nan")
        return sum((y[i] * self.g[i] for i in members), arb_series([0], prec=2))[1]

    def _trained(self) -> tuple[Balls, Balls]:
        """The running statistics after the training steps; those of a channel's sets are averaged."""
        if self.case.params.momentum is None:
            return {}, {}
        m, found = arb(self.case.params.momentum), (dict(self.old[0]), dict(self.old[1]))
        m = 1 - m if self.convention.momentum is Momentum.OLD else m
        biased = self.convention.running_var is RunningVar.BIASED
        by_channel = defaultdict(list)
        for members in self.sets:
            mean, var = _mean_and_var([self.x[i] for i in members])
            n = len(members)
            by_channel[self._channel(members)].append(
                (mean, var * n / (n - 1) if n > 1 and not biased else var)
            )
        for channel, statistics in by_channel.items():
            for state, each in zip(found, zip(*statistics, strict=True), strict=True):
                for _ in range(self.case.steps):
                    state[channel] = (1 - m) * state[channel] + m * sum(each, arb(0)) / len(each)
        return found


STATE = (Output.RUNNING_MEAN, Output.RUNNING_VAR)


def _balls(array: np.ndarray | None) -> Balls:
    return {} if array is None else {index: arb(float(array[index])) for index in np.ndindex(array.shape)}


def _root_of(var: Any) -> Any:
    """The root, also of a variance that is 0 as far as balls can tell."""
    if isinstance(var, arb_series) or not var.contains(0):
        return var.sqrt()
    most = var.abs_upper().sqrt()
    return arb(most / 2, most / 2)


def _plus_t(balls: Balls, index: Index) -> Balls:
    return {**balls, index: arb_series([balls[index], 1], prec=2)}


def _mean_and_var(numbers: Sequence[Any], *, centered: bool = True) -> tuple[Any, Any]:
    mean = sum(numbers, arb(0)) / len(numbers) if centered else arb(0)
    return mean, sum(((x - mean) * (x - mean) for x in numbers), arb(0)) / len(numbers)


def certify(of: Layer, truths: Mapping[Output, Truth]) -> dict[Output, float]:
    """The largest error of each output in units of its claim; NaN where even 5000 bits cannot tell."""
    for bits in BITS:
        ctx.prec, ctx.cap = bits, 2
        balls = Definition(of).outputs()
        found = {output: largest(truth, balls[output]) for output, truth in truths.items()}
        if not any(map(math.isnan, found.values())):
            break
    return found


def largest(truth: Truth, balls: Mapping[Index, arb]) -> float:
    """The largest error in units of its claim, from above; NaN where a ball is too wide to tell."""
    claimed = truth.claimed_error()
    found = [0.0]
    for index, ball in balls.items():
        value = arb(float(truth.value[index])) + (0 if truth.tail is None else arb(float(truth.tail[index])))
        if np.isposinf(truth.cond[index]):
            continue  # nothing is claimed
        claim = arb(float(claimed[index]))
        if not 100 * ball.rad() <= claim:
            return math.nan
        found.append(float((abs(value - ball) / claim).upper()))
    return max(found)


def check(*layers: Layer) -> None:
    """Every output is certified to be within its claim; n = 1 has no unbiased variance."""
    found = [(of.case.id, certify(of, expected(of))) for of in layers]
    beyond = {(case, o): ratio for case, ratios in found for o, ratio in ratios.items() if not ratio <= 1}
    assert {} == beyond


def expected(of: Layer) -> dict[Output, Truth]:
    alone = (
        of.case.method is Method.BATCH and of.inputs.x.size == of.inputs.x.shape[of.case.params.channel_axis]
    )
    return {o: truth for o, truth in of.oracle().items() if not (alone and o is Output.RUNNING_VAR)}


def in_every_dtype(shape: Index, name: str, *methods: Method, **options: Any) -> list[Layer]:
    """A layer of the adversarial data ``name``, by each method."""
    return [
        layer(adversarial(shape, dtype)[name], method, dtype, **options)
        for dtype, method in itertools.product(DType, methods)
    ]


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", adversarial(SHAPE))
def test_adversarial_data_is_within_its_claim(name: str, method: Method) -> None:
    for eps in (1e-3, 1e-12):
        check(*in_every_dtype(SHAPE, name, method, eps=eps))


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", [name for name in adversarial(SHAPE) if "huge" not in name])
def test_running_statistics_are_within_their_claim_and_so_is_what_uses_them(name: str, steps: int) -> None:
    for dtype, method in itertools.product(DType, (Method.BATCH, Method.INSTANCE)):
        x = adversarial(SHAPE, dtype)[name]
        tracks = True if method is Method.INSTANCE else None
        check(
            layer(x, method, dtype, mode=Mode.EVAL, steps=steps, track_running_stats=tracks),
            layer(x, method, dtype, steps=max(steps, 1), momentum=0.25, track_running_stats=tracks),
        )


@pytest.mark.parametrize("name", ["huge", "huge beside tiny"])
def test_eval_mode_with_data_whose_variance_would_leave_the_range(name: str) -> None:
    check(*in_every_dtype(SHAPE, name, Method.BATCH, mode=Mode.EVAL))


@pytest.mark.parametrize("weight", [None, 0.0, 1e-30, 1e30])
@pytest.mark.parametrize("name", ["ordinary", "large offset", "constant 0.1", "tiny", "huge"])
def test_without_parameters_or_with_huge_or_tiny_ones(name: str, weight: float | None) -> None:
    check(*in_every_dtype(SHAPE, name, Method.BATCH, Method.LAYER, weight=weight))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 1), (1, 3), (37, 1), (2, 31)], ids=str)
def test_one_two_three_and_a_prime_number_of_elements(shape: Index) -> None:
    for name in ("ordinary", "large offset", "huge"):
        check(*in_every_dtype(shape, name, Method.BATCH, Method.LAYER))


@pytest.mark.parametrize("name", ["ordinary", "offset 10", "ramp", "tiny", "huge", "outlier"])
def test_no_eps_at_all(name: str) -> None:
    check(*in_every_dtype(SHAPE, name, Method.GROUP, eps=0.0, groups=((2, 0), (1,))))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    dtype, method = draw(st.sampled_from(DType)), draw(st.sampled_from(Method))
    sizes = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple)
    shape = draw(sizes.filter(lambda s: math.prod(s) <= 36))
    numbers = st.floats(-OFFSET[dtype], OFFSET[dtype])
    free = st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape))
    x = draw(st.one_of(st.sampled_from(list(adversarial(shape, dtype).values())), free))
    params: dict[str, Any] = {"eps": draw(st.sampled_from([1e-3, 1e-5, 1e-8, 1e-12]))}
    if "normalized_ndim" in definition(method).parameters:
        params["normalized_ndim"] = draw(st.integers(1, len(shape)))
    else:
        params["channel_axis"] = draw(st.sampled_from([1, -1]))
    if method is Method.GROUP:
        channels = shape[params["channel_axis"]]
        order = draw(st.permutations(range(channels)))
        ends = sorted({channels, *draw(st.lists(st.integers(1, channels)))})
        params["groups"] = tuple(tuple(order[a:b]) for a, b in zip([0, *ends], ends, strict=False))
    given = np.array(x, np.float64).reshape(shape)
    return layer(given, method, dtype, mode=draw(st.sampled_from(Mode)), **params)


CONVENTIONS = {  # by which a layer norm can be judged, and a batch norm
    Method.LAYER: [
        ("centered=false",),
        ("variance=unbiased",),
        ("eps_placement=outside_sqrt",),
        ("eps_placement=max",),
        ("weight=1+w",),
        ("weight=ignored", "bias=ignored"),
        ("statistics=layer_channels_only",),
        ("centered=false", "variance=unbiased", "eps_placement=outside_sqrt", "weight=1+w"),
        ("stats_dtype=float64",),
    ],
    Method.GROUP: [("statistics=group_interleaved", "variance=unbiased")],
    Method.BATCH: [
        ("momentum=old", "running_var=biased"),
        ("eps_placement=outside_sqrt",),
        ("eps_placement=max",),
    ],
}


@pytest.mark.parametrize(
    "name", ["ordinary", "offset 10", "large offset", "outlier", "tiny", "huge", "log-normal"]
)
@pytest.mark.parametrize(
    ("method", "convention"),
    [(method, each) for method, some in CONVENTIONS.items() for each in some],
    ids=str,
)
def test_every_convention_is_within_its_claim(method: Method, convention: tuple[str, ...], name: str) -> None:
    for dtype, mode, eps in itertools.product(DType, Mode, (1e-3, 1e-12)):
        if mode is Mode.TRAIN or method is Method.BATCH:
            options = {"num_groups": 3} if method is Method.GROUP else {}
            check(
                layer(
                    adversarial(SHAPE, dtype)[name],
                    method,
                    dtype,
                    mode=mode,
                    eps=eps,
                    convention=parse(convention),
                    **options,
                )
            )


@pytest.mark.parametrize("method", [Method.LAYER, Method.RMS, Method.GROUP])
@pytest.mark.parametrize("convention", ["residual_sum=rounded", "residual_sum=exact"])
@pytest.mark.parametrize("name", ["ordinary", "large offset", "huge", "outlier"])
def test_the_sum_with_a_residual_is_within_its_claim(name: str, convention: str, method: Method) -> None:
    check(*in_every_dtype(SHAPE, name, method, convention=parse([convention]), residual=True))


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("per_sample", [("weight", "bias"), ("weight",), ("bias",)], ids="-".join)
def test_weight_and_bias_of_each_sample_are_within_their_claim(
    per_sample: tuple[str, ...], method: Method
) -> None:
    check(*in_every_dtype(SHAPE, "offset 10", method, per_sample=per_sample))


@pytest.mark.parametrize("axes", [(1,), (1, 2)], ids=str)
@pytest.mark.parametrize("method", [Method.LAYER, Method.RMS])
def test_axes_that_are_not_the_last_are_within_their_claim(method: Method, axes: tuple[int, ...]) -> None:
    shape = (2, 3, 2, 2)
    check(*in_every_dtype(shape, "offset 10", method, normalized_axes=axes, normalized_ndim=None))


@given(layers())
@settings(max_examples=150)
def test_every_value_of_random_layers_is_within_its_claim(of: Layer) -> None:
    check(of)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", ["ordinary", "large offset", "outlier"])
def test_the_closed_formulas_are_the_derivatives(name: str, method: Method) -> None:
    of = layer(adversarial(SHAPE)[name], method)
    closed = certified.layer(of.inputs, method, of.case.params)
    ctx.cap = 2
    for output, balls in Definition(of).outputs().items():
        assert all(ball.overlaps(closed[output][index]) for index, ball in balls.items()), output


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("times", [0.3, 100])
def test_an_oracle_off_by_more_than_its_claim_is_caught(times: float, dtype: DType) -> None:
    of = layer(adversarial(SHAPE, dtype)["offset 10"], Method.BATCH, dtype)
    for output, truth in expected(of).items():
        off = np.zeros_like(truth.value)
        off.flat[-1] = times * truth.claimed_error().flat[-1]
        moved = (
            replace(truth, value=truth.value + off)
            if truth.tail is None
            else replace(truth, tail=truth.tail + off)
        )
        found = certify(of, {output: moved})[output]
        assert (times > 1) == (found > 1), (output, found)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
def test_the_claim_is_far_below_the_precision_that_is_judged(dtype: DType) -> None:
    for truth in layer(adversarial(SHAPE, dtype)["ordinary"], Method.BATCH, dtype).oracle().values():
        assert (truth.claimed_error() <= 1e-6 * dtype.unit_roundoff * truth.cond).all()


def test_sums_are_pairwise_whatever_the_memory_layout() -> None:
    """Of rows in Fortran's order NumPy adds one after the other: errors that grow with n, beyond the claim."""
    rows = np.full((3, 30_001), 0.1)
    assert total(rows).tolist() == total(np.asfortranarray(rows)).tolist()
    assert total(rows).tolist() != np.asfortranarray(rows).sum(axis=1, keepdims=True).tolist()
