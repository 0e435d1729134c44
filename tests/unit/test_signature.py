"""A user's function is called with what its signature names; what does not fit is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from normcheck.backends._base import Task
from normcheck.worker.signature import SPELLINGS, Bound, UnknownParameterError, fitted

SHAPE = (2, 6, 4)
ARRAYS = ("x", "weight", "bias")


def task(method: str = "layer", arrays: tuple[str, ...] = ARRAYS, **params: Any) -> Task:
    found = {"eps": 1e-5, **params}
    return Task("c", method, "train", "float32", "contiguous", 1, found, ["y"], arrays=arrays)


def called(function: Callable[..., Any], of: Task) -> Any:
    """What ``function`` gets, where it returns its arguments."""
    bound = Bound(function)
    bound.check()
    fits = fitted(bound, of, SHAPE)
    assert fits.reason is None, fits.reason
    arrays = [name if name in of.arrays else None for name in ARRAYS]
    more = ["residual"] if "residual" in of.arrays else []
    return bound(*arrays, *more, **fits.keywords)


def reason(function: Callable[..., Any], of: Task) -> str:
    return fitted(Bound(function), of, SHAPE).reason or ""


GROUP = task("group", num_groups=3, channel_axis=1)
LAYER = task(normalized_ndim=2)


@pytest.mark.parametrize("x", SPELLINGS["x"])
@pytest.mark.parametrize("weight", SPELLINGS["weight"])
@pytest.mark.parametrize("bias", SPELLINGS["bias"])
def test_arrays_are_given_by_name_in_any_spelling_and_order(x: str, weight: str, bias: str) -> None:
    places: dict[str, Any] = {}
    exec(f"def norm({bias}, {x}, {weight}): return {x}, {weight}, {bias}", places)  # noqa: S102
    assert ("x", "weight", "bias") == called(places["norm"], LAYER)


@pytest.mark.parametrize("eps", SPELLINGS["eps"])
def test_eps_is_given_in_any_spelling(eps: str) -> None:
    places: dict[str, Any] = {}
    exec(f"def norm(x, weight, bias, {eps}): return {eps}", places)  # noqa: S102
    assert 1e-5 == called(places["norm"], LAYER)


def test_the_first_parameter_is_x_whatever_it_is_called() -> None:
    assert ("x", "weight", "bias") == called(lambda h, w, b: (h, w, b), LAYER)


def test_parameters_by_place_alone_are_given_in_their_order() -> None:
    def norm(input: Any, weight: Any, bias: Any, /, eps: float) -> Any:
        return input, weight, bias, eps

    assert ("x", "weight", "bias", 1e-5) == called(norm, LAYER)


def test_what_has_a_default_and_is_not_there_keeps_it() -> None:
    assert 1.0 == called(lambda x, scale=1.0: scale, task(arrays=("x",), normalized_ndim=2))


def test_what_has_no_default_and_is_not_there_is_none() -> None:
    assert called(lambda x, weight, bias: (weight, bias), task(arrays=("x",), normalized_ndim=2)) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("normalized_ndim", 2), ("normalized_shape", (6, 4)), ("normalized_axes", (1, 2)), ("axis", (1, 2))],
)
def test_the_normalized_axes_are_given_as_they_are_named(name: str, value: Any) -> None:
    places: dict[str, Any] = {}
    exec(f"def norm(x, weight, bias, {name}): return {name}", places)  # noqa: S102
    assert value == called(places["norm"], LAYER)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda x, weight, bias, num_groups: num_groups, 3),
        (lambda x, weight, bias, G: G, 3),  # noqa: N803
        (lambda x, weight, bias, groups=32: groups, 3),
        (lambda x, weight, bias, groups: groups, [[0, 1], [2, 3], [4, 5]]),
        (lambda x, weight, bias, num_groups, groups=None: (num_groups, groups), (3, None)),
    ],
    ids=["num_groups", "G", "groups, a number", "groups, lists", "both"],
)
def test_groups_are_a_number_or_lists_of_channels(function: Callable[..., Any], value: Any) -> None:
    assert value == called(function, GROUP)


def test_a_function_with_axes_of_its_own_is_called() -> None:
    assert "x" == called(lambda x, weight, bias: x, task(normalized_axes=[1]))


def test_a_residual_is_given_by_name() -> None:
    of = task(arrays=("x", "residual"), normalized_ndim=2)
    assert ("x", "residual") == called(lambda residual, x: (x, residual), of)


def test_a_function_of_any_keywords_gets_all_of_ours() -> None:
    found = called(lambda **named: named, LAYER)
    assert {"x", "weight", "bias", "eps", "normalized_ndim"} == set(found)


REFUSED: list[tuple[Callable[..., Any], Task, str]] = [
    (lambda x: x, LAYER, "takes no weight"),
    (lambda x, weight: x, LAYER, "takes no bias"),
    (lambda x: x, task(arrays=("x", "residual"), normalized_ndim=2), "takes no residual"),
    (
        lambda x, weight, bias: x,
        task(eps=1e-3, normalized_ndim=2),
        "takes no eps, and that of this case is 0.001",
    ),
    (lambda x, weight, bias, num_groups: x, task("group", groups=[[0, 2, 4], [1, 3, 5]]), "num_groups only"),
    (lambda x, weight, bias, normalized_ndim: x, task(normalized_axes=[1]), "does not take normalized_axes"),
    (lambda x, weight, bias: x, task("instance", channel_axis=-1), "does not take channel_axis"),
]


@pytest.mark.parametrize(("function", "of", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_a_function_does_not_take_is_unsupported(
    function: Callable[..., Any], of: Task, words: str
) -> None:
    assert words in reason(function, of)


def test_a_parameter_that_nothing_is_known_of_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownParameterError, match=r"requires block_size.*weight\|gamma\|scale"):
        Bound(lambda x, weight, block_size: x).check()


def test_a_parameter_that_nothing_is_known_of_may_have_a_default() -> None:
    assert 64 == called(lambda x, weight, bias, block_size=64: block_size, LAYER)
