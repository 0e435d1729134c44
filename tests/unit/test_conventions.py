"""Every convention: read, refused, and judged in both directions; conditions are never below the exact ones."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import CHECKOUT

import normcheck
from normcheck.case import Method, Output
from normcheck.conventions.catalogue import (
    PYTORCH,
    Convention,
    EpsPlacement,
    Variance,
    Weight,
    listed,
    parse,
    spelled,
)
from normcheck.dtype import DType
from normcheck.errors import ExitCode, NormcheckError, UsageError
from normcheck.methods import partition_of
from normcheck.oracle import Inputs, evaluate
from normcheck.oracle.rule import Rule
from normcheck.parameters import Params
from normcheck.verdict import Verdict

Array = np.ndarray

# --- the catalogue -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [f"{key}={value}" for key, _, value, _ in listed()])
def test_every_value_is_read_and_spelled_the_same(text: str) -> None:
    key, _, value = text.partition("=")
    found = parse([text])
    assert value == spelled(getattr(found, key))
    assert found.options == ((text,) if found != PYTORCH else ())


def test_every_value_of_an_enumeration_is_described() -> None:
    assert [] == [(k, v) for k, _, v, words in listed() if not words and k not in ("centered", "stats_dtype")]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["weigth=w"], "Did you mean 'weight'"),
        (["weight=2"], "Valid: w, 1+w, ignored"),
        (["weight"], "write KEY=VALUE"),
        (["variance=biased", "variance=unbiased"], "two values, biased and unbiased"),
    ],
)
def test_what_is_no_convention_is_refused_with_the_valid_ones(texts: list[str], words: str) -> None:
    with pytest.raises(NormcheckError) as caught:
        parse(texts)
    assert words in str(caught.value)
    assert ExitCode.USAGE == caught.value.exit_code


REFUSED = [
    ("layer", {}, "momentum=old", "keeps no running statistics"),
    ("rms", {}, "running_var=biased", "keeps no running statistics"),
    ("batch", {}, "centered=false", "keeps a running mean"),
    ("batch", {}, "statistics=layer", "valid: batch, instance"),
    ("layer", {}, "statistics=group_contiguous", "has no groups"),
    ("group", {"groups": "0,1|2"}, "statistics=group_interleaved", "one by one"),
    ("rms", {}, "residual_sum=exact", "gets no residual"),
    ("layer", {"eps": 1e-3}, "eps_placement=none", "contradict"),
]


@pytest.mark.parametrize(("method", "params", "convention", "words"), REFUSED, ids=str)
def test_a_convention_that_the_method_does_not_have_is_refused(
    method: str, params: dict[str, Any], convention: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        normcheck.compare(method, fixtures=["documents"], backends=["numpy"], convention=convention, **params)


@pytest.mark.parametrize("convention", ["statistics=layer", "centered=false", "stats_dtype=float32"])
def test_what_the_method_has_anyway_does_not_show(convention: str) -> None:
    report = normcheck.compare("rms", fixtures=["nc"], backends=["numpy"], convention=convention)
    assert {"rms/nc/float32"} == {result.case_id for result in report.results}


# --- conditions --------------------------------------------------------------------------------------------


def outputs_of(rule: Rule, offset: float, x: Array, w: Array, b: Array, g: Array) -> tuple[Array, Array]:
    """y and grad_x from their definitions; complex numbers go through."""
    c = rule.correction(x.shape[1])

    def projected(a: Array) -> Array:
        return a - a.mean(axis=1, keepdims=True) if rule.centered else a

    d = projected(x)
    v = c * (d * d).mean(axis=1, keepdims=True)
    match rule.placement:
        case EpsPlacement.OUTSIDE_SQRT:
            r = 1 / (np.sqrt(v) + rule.eps)
            kappa = c / (r * np.sqrt(v))
        case EpsPlacement.MAX:
            r, kappa = (
                1 / np.sqrt(np.where(v.real > rule.eps, v, rule.eps)),
                np.where(v.real > rule.eps, c, 0),
            )
        case EpsPlacement.NONE:
            r, kappa = 1 / np.sqrt(v), c
        case _:
            r, kappa = 1 / np.sqrt(v + rule.eps), c
    x_hat, h = d * r, g * (w + offset)
    grad_x = r * (projected(h) - kappa * x_hat * (h * x_hat).mean(axis=1, keepdims=True))
    return (w + offset) * x_hat + b, grad_x


def moved(rule: Rule, offset: float, *arrays: Array) -> tuple[Array, Array]:
    """By how many roundoffs y and grad_x move if every input moves by one: the sums of all partial derivatives."""
    step, found = 1e-30, (0.0, 0.0)
    for number, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            changed = [each.astype(complex) for each in arrays]
            changed[number][index] += 1j * step * abs(array[index])
            pairs = zip(found, outputs_of(rule, offset, *changed), strict=True)
            found = tuple(total + np.abs(each.imag) / step for total, each in pairs)
    return found


@pytest.mark.parametrize("weight", [Weight.PLAIN, Weight.ONE_PLUS])
@pytest.mark.parametrize("placement", EpsPlacement)
@pytest.mark.parametrize("variance", Variance)
@pytest.mark.parametrize("centered", [True, False])
def test_conditions_are_never_below_the_exact_ones(
    centered: bool, variance: Variance, placement: EpsPlacement, weight: Weight
) -> None:
    convention = Convention(centered=centered, variance=variance, eps_placement=placement, weight=weight)
    random, offset = np.random.default_rng(3), float(weight is Weight.ONE_PLUS)
    for n, mean, eps in itertools.product((2, 3, 8), (0, 10), (1e-5, 1.0)):
        rule = Rule.of(eps, convention)
        x, g = random.standard_normal((2, n)) + mean, random.standard_normal((2, n))
        arrays = [a.astype(np.float32) for a in (x, *random.standard_normal((2, n)), g)]
        given = dict(zip(("x", "weight", "bias", "grad_y"), arrays, strict=True))
        truths = evaluate(
            Inputs(**given, parameter_axes=(1,)),
            [Output.Y, Output.GRAD_X],
            rule=rule,
            partition=partition_of(Method.LAYER, x.shape, Params(normalized_ndim=1)),
            stats=DType.FLOAT32,
            convention=convention,
        )
        wide = [np.array(np.broadcast_to(a, x.shape), np.float64) for a in arrays]
        for truth, exact in zip(truths.values(), moved(rule, offset, *wide), strict=True):
            decided = np.isfinite(truth.cond)
            assert (exact[decided] <= 1.0001 * truth.cond[decided]).all()


# --- both directions ---------------------------------------------------------------------------------------

# A value of each key that a layer norm may have instead of PyTorch's, and combinations.
OTHERS = [
    (),
    ("eps_placement=outside_sqrt",),
    ("eps_placement=max",),
    ("eps_placement=none",),
    ("variance=unbiased",),
    ("weight=1+w",),
    ("weight=ignored",),
    ("bias=ignored",),
    ("centered=false",),
    ("statistics=layer_channels_only",),
    ("statistics=instance",),
    ("variance=unbiased", "eps_placement=outside_sqrt"),
    ("centered=false", "weight=1+w"),
]


def by_convention(convention: Convention) -> Callable[..., Any]:
    """A layer norm of PyTorch tensors over all axes but the first, as one would write it with ``convention``."""
    import torch

    def norm(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
        axes = {
            None: tuple(range(x.ndim - normalized_ndim, x.ndim)),
            "layer_channels_only": (1,),
            "instance": tuple(range(2, x.ndim)),
        }[convention.statistics]
        d = x - x.mean(axes, keepdim=True) if convention.centered is not False else x
        count = float(np.prod([x.shape[axis] for axis in axes]))
        unbiased = convention.variance is Variance.UNBIASED
        var = (d * d).sum(axes, keepdim=True) / (count - 1 if unbiased else count)
        match convention.eps_placement:
            case EpsPlacement.OUTSIDE_SQRT:
                y = d / (var.sqrt() + eps)
            case EpsPlacement.MAX:
                y = d / torch.clamp(var, min=eps).sqrt()
            case EpsPlacement.NONE:
                y = d / var.sqrt()
            case _:
                y = d / (var + eps).sqrt()
        if weight is not None and convention.weight is not Weight.IGNORED:
            y = y * (weight + 1 if convention.weight is Weight.ONE_PLUS else weight)
        ignored = convention.options and "bias=ignored" in convention.options
        return y if bias is None or ignored else y + bias

    return norm


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    pytest.importorskip("torch")
    return {f"c{number}": ("torch", by_convention(parse(each))) for number, each in enumerate(OTHERS)}


@pytest.mark.parametrize("number", range(len(OTHERS)), ids=[" ".join(each) or "PyTorch's" for each in OTHERS])
def test_a_convention_accepts_what_follows_it_and_nothing_else(
    number: int, functions: dict[str, Any], requires: Any
) -> None:
    requires("torch")
    given = {"eps": 1e-4} if "eps_placement=none" not in OTHERS[number] else {}
    report = normcheck.compare(
        "layer",
        fixtures=["ncl", "low-sigma"],
        backends=functions,
        convention=OTHERS[number],
        normalized_ndim=2,
        **given,
    )
    worst = {name: set() for name in functions}
    for result in report.results:
        worst[result.backend].add(result.verdict)
    accepted = {name for name, verdicts in worst.items() if Verdict.FAIL not in verdicts}
    assert {f"c{number}"} == accepted
    assert {Verdict.PASS} == worst[f"c{number}"]


# --- documentation -----------------------------------------------------------------------------------------


def test_the_page_and_the_readme_have_what_the_catalogue_has() -> None:
    docs = CHECKOUT / "docs"
    spec = importlib.util.spec_from_file_location("make_conventions", docs / "make_conventions.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert made.page() == (docs / "conventions.md").read_text(encoding="utf-8")
    assert made.table() in text
    assert made.readme(text) == text
