"""Fixture data is bit-identical everywhere: literal values and fingerprints, never to be updated lightly."""

from __future__ import annotations

import numpy as np
import pytest

from normcheck.errors import FixtureError
from normcheck.fixtures.generate import RECIPES, bell, from_recipe, integers, pixels, sha256, uniform


def splitmix64(seed: int) -> int:
    """The first number of SplitMix64 in plain integers, as in Steele, Lea and Flood's paper."""
    mask = 2**64 - 1
    state = (seed + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_integers_are_splitmix64(seed: int) -> None:
    assert splitmix64(seed) >> 2 == integers(seed, 1, 62)[0]


def test_integers_are_pinned() -> None:
    expected = [4073552104164651883, 1990071630548588925, 121904254867886419, 4477402844195135611]
    assert expected == integers(0, 4, 62).tolist()
    assert [145, 190, 248] == integers(1, 3, 8).tolist()


def test_the_first_numbers_do_not_depend_on_how_many_are_asked_for() -> None:
    assert integers(5, 3, 60).tolist() == integers(5, 300, 60)[:3].tolist()


def test_bell_is_pinned() -> None:
    assert [-0.23668193817138672, 1.4774751663208008, -0.47747373580932617] == bell(12, 3).tolist()
    offset = bell(17, 3, offset=10000, fraction_bits=10)
    assert [9999.46484375, 9999.3154296875, 9998.5126953125] == offset.tolist()


def test_uniform_and_pixels_are_pinned() -> None:
    expected = [-1.7469234466552734, -0.008602142333984375, -1.4256963729858398]
    assert expected == uniform(1012, 3, low=-2, high=2).tolist()
    assert [80 / 255, 67 / 255, 163 / 255] == pixels(11, 3).tolist()


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("bell", {"seed": 12}, "e6abf27c95dd14a1b43361fdde022e3443ed300d30c9e8f1899fd0684795c73b"),
        ("uniform", {"seed": 7, "low": -2, "high": 2},
         "a4bc3157d6f4802d24a90740e3de3d999ee5df28ebf43e2c55836c85c7eeb92b"),
        ("pixels", {"seed": 11}, "e1ab6c9f4ec59969c114f8e37d391e3acc385283f375e613c0a08ac3ef0de259"),
    ],
)  # fmt: skip
def test_a_thousand_numbers_are_pinned(name: str, arguments: dict[str, int], expected: str) -> None:
    assert expected == sha256({"x": from_recipe({"recipe": name, **arguments}, 1000, where="x")})


@pytest.mark.parametrize(
    "numbers",
    [bell(1, 4096), bell(2, 4096, offset=10000, fraction_bits=10), uniform(3, 4096, low=-2, high=2)],
)
def test_float32_holds_the_numbers_exactly(numbers: np.ndarray) -> None:
    np.testing.assert_array_equal(numbers, numbers.astype(np.float32).astype(np.float64))


def test_bell_has_the_shape_that_it_claims() -> None:
    numbers = bell(4, 100_000)
    assert -2 <= numbers.min() < -1.5 < 1.5 < numbers.max() < 2
    assert 0.0 == pytest.approx(numbers.mean(), abs=0.01)
    assert 0.577 == pytest.approx(numbers.std(), abs=0.01)


def test_the_fingerprint_sees_values_shapes_names_and_order() -> None:
    x = np.arange(6.0)
    prints = [
        sha256({"x": x}),
        sha256({"x": x.reshape(2, 3)}),
        sha256({"x": x.reshape(3, 2)}),
        sha256({"y": x}),
        sha256({"x": x, "weight": x}),
        sha256({"x": np.nextafter(x, 9)}),
        sha256({"x": -x}),
    ]
    assert len(prints) == len(set(prints))
    assert sha256({"x": x}) == sha256({"x": x.astype(np.float32), "weight": None})
    assert sha256({"x": x.reshape(2, 3)}) == sha256({"x": np.asfortranarray(x.reshape(2, 3))})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"recipe": "gauss", "seed": 1}, "unknown recipe 'gauss'"),
        ({"seed": 1}, "unknown recipe None"),
        ({"recipe": "bell", "seed": 1.5}, "integers"),
        ({"recipe": "bell", "seed": "1"}, "integers"),
        ({"recipe": "bell", "seed": True}, "integers"),
        ({"recipe": "bell", "seed": 2**40}, "integers"),
        ({"recipe": "bell"}, "seed"),
        ({"recipe": "bell", "seed": 1, "sigma": 2}, "sigma"),
        ({"recipe": "uniform", "seed": 1, "low": 0, "high": 3}, "power of two"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(FixtureError, match=message):
        from_recipe(recipe, 4, where="x")


def test_every_recipe_that_is_pinned_exists() -> None:
    assert {"bell", "uniform", "pixels"} <= set(RECIPES)
