"""Formulas in float32, forward and backward, by each convention: what follows it passes, and nothing else does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from normcheck.case import Method, Output
from normcheck.conventions.catalogue import Convention, EpsPlacement, Variance
from normcheck.dtype import DType
from normcheck.fixtures.generate import bell
from normcheck.judge.array import Bound
from normcheck.judge.scale import Scale
from normcheck.methods import partition_of
from normcheck.oracle import Inputs, Truth, evaluate
from normcheck.oracle.rule import Rule
from normcheck.parameters import Params

Array = np.ndarray
F = np.float32
SCALE = Scale(dtype=DType.FLOAT32, unit=DType.FLOAT32.unit_roundoff)
OUTPUTS = (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT)
CONVENTIONS = [
    Convention(centered=centered, variance=variance, eps_placement=placement)
    for centered, variance, placement in itertools.product((True, False), Variance, EpsPlacement)
]


def names(convention: Convention) -> str:
    return " ".join(convention.options)


def rows(n: int, seed: int = 1) -> dict[str, Array]:
    """Two sets of ``n`` elements each, by name."""
    noise = bell(seed, 2 * n).reshape(2, n)
    return {
        "ordinary": noise,
        "offset 10": noise + 10,
        "offset 1e3": noise + 1e3,
        "offset 1e6": noise + 1e6,
        "constant": np.full((2, n), 0.1),
        "outlier": np.where(np.arange(n) == n // 2, 1e4, noise),
        "small": noise * 1e-4,
        "large": noise * 1e7,
        "ramp": np.arange(1.0, 2 * n + 1).reshape(2, n),
    }


def formulas(x: Array, weight: Array, g: Array, eps: float, convention: Convention) -> dict[Output, Array]:
    """A layer as one would write it in two passes, and its gradients as one would derive them."""
    n = x.shape[1]

    def projected(a: Array) -> Array:
        return a - a.mean(axis=1, keepdims=True) if convention.centered else a

    c = F(n / (n - 1)) if convention.variance is Variance.UNBIASED else F(1)
    d = projected(x)
    v = (d * d).mean(axis=1, keepdims=True) * c
    eps = F(eps)
    match convention.eps_placement:
        case EpsPlacement.OUTSIDE_SQRT:
            r = 1 / (np.sqrt(v) + eps)
            kappa = c / (r * np.sqrt(v))
        case EpsPlacement.MAX:
            r, kappa = 1 / np.sqrt(np.maximum(v, eps)), np.where(v > eps, c, F(0))
        case EpsPlacement.NONE:
            r, kappa = 1 / np.sqrt(v), c
        case _:
            r, kappa = 1 / np.sqrt(v + eps), c
    x_hat, h = d * r, g * weight
    grad_x = r * (projected(h) - kappa * x_hat * (h * x_hat).mean(axis=1, keepdims=True))
    return dict(zip(OUTPUTS, (x_hat * weight, grad_x, (g * x_hat).sum(axis=0)), strict=True))


def inputs(data: Array) -> tuple[Array, Array, Array]:
    n = data.shape[1]
    return F(data), F(bell(2, n) + 1), F(bell(3, 2 * n).reshape(2, n))


def truths(x: Array, weight: Array, g: Array, eps: float, convention: Convention) -> dict[Output, Truth]:
    return dict(
        evaluate(
            Inputs(x=x, weight=weight, grad_y=g, parameter_axes=(1,)),
            OUTPUTS,
            rule=Rule.of(eps, convention),
            partition=partition_of(Method.LAYER, x.shape, Params(normalized_ndim=1)),
            stats=DType.FLOAT32,
            convention=convention,
        )
    )


def share(actual: Array, truth: Truth) -> float:
    """The backward error in units of what is allowed, over what can be decided; infinite for NaN."""
    assert actual.dtype == np.float32
    difference = np.abs(actual - truth.value)
    with np.errstate(all="ignore"):
        beta = SCALE.beta(difference, truth.value, truth.cond, truth.cond2)
    return float(beta[~truth.undecided].max(initial=0.0)) / Bound.for_sums_of(truth.n).allowed


def worst(data: Array, eps: float, written: Convention, judged: Convention) -> float:
    given = inputs(data)
    with np.errstate(all="ignore"):
        found = formulas(*given, eps, written)
    return max(share(found[output], truth) for output, truth in truths(*given, eps, judged).items())


@pytest.mark.parametrize("convention", CONVENTIONS, ids=names)
def test_formulas_that_follow_a_convention_pass_on_any_data(convention: Convention) -> None:
    found = {
        (name, n, eps): worst(data, eps, convention, convention)
        for n, eps in itertools.product((2, 3, 16, 257, 4096), (1e-3, 1e-5, 1e-12))
        for name, data in rows(n).items()
    }
    assert {} == {kind: share for kind, share in found.items() if not share <= 1}


@pytest.mark.parametrize("judged", CONVENTIONS, ids=names)
def test_formulas_that_follow_another_convention_fail(judged: Convention) -> None:
    """On data of two sizes, for which eps 0.1 is on either side of the variance."""
    noise = bell(1, 32).reshape(2, 16) + 0.5
    data = noise * [[1.0], [0.1]]
    shares = {names(written): worst(data, 0.1, written, judged) for written in CONVENTIONS}
    assert {names(judged)} == {name for name, share in shares.items() if share <= 1}
    assert min(share for name, share in shares.items() if name != names(judged)) > 100


@pytest.mark.parametrize("convention", [each for each in CONVENTIONS if each.centered], ids=names)
def test_a_mean_and_a_variance_of_one_pass_fail(convention: Convention) -> None:
    """E[x²] - E[x]² loses the variance at an offset of 1e3."""
    x, weight, g = inputs(rows(64)["offset 1e3"])
    mean, square = x.mean(axis=1, keepdims=True), (x * x).mean(axis=1, keepdims=True)
    y = (x - mean) / np.sqrt(np.maximum(square - mean * mean, 0) + F(1e-5)) * weight
    assert share(y, truths(x, weight, g, 1e-5, convention)[Output.Y]) > 1
