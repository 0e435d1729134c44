"""The plots of docs/numerics.md: what draws them, and that the page says what they show."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import numpy as np
import pytest
import vl_convert
from support import CHECKOUT

IMAGES = CHECKOUT / "docs/images"
POINT = re.compile(r'aria-label="[^":]*: ([^;"]+); [^":]*: ([^;"]+); of: ([^"]+)"')


@pytest.fixture(scope="module")
def plots() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plots", IMAGES / "plots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def points(svg: str) -> dict[str, dict[float, float]]:
    """The backward errors that a plot shows, by implementation and abscissa; screen readers are told them."""
    found: dict[str, dict[float, float]] = {}
    for x, error, of in POINT.findall(svg):
        found.setdefault(of, {})[float(x)] = float(error)
    return found


def test_a_plot_has_every_point_that_was_measured(plots: ModuleType) -> None:
    inputs = {10.0: np.arange(16.0).reshape(2, 8), 100.0: np.arange(32.0).reshape(2, 16)}
    backends = {
        "in_lanes": ("numpy", plots.two_passes(plots.in_lanes)),
        "one_pass": ("numpy", plots.one_pass),
    }
    measured, bound = plots.backward_errors("n", inputs, backends)
    shown = points(vl_convert.vegalite_to_svg(plots.chart("n", [1, 1000], measured, {"bound": bound})))
    assert shown.keys() == {"in 8 lanes", "one pass, E[x²] − E[x]²"}
    for row in measured:
        assert shown[row["of"]][row["n"]] == pytest.approx(row["β"])
    assert [row["β"] for row in bound] == [16 + np.sqrt(8), 16 + np.sqrt(16)]


def test_sums_are_of_all_elements(plots: ModuleType) -> None:
    x = np.arange(48.0).reshape(2, 24)
    for add in (plots.pairwise, plots.sequential, plots.in_lanes):
        assert add(x).tolist() == [[276.0], [852.0]]


def test_the_page_says_what_the_offset_shows() -> None:
    shown = points((IMAGES / "offset.svg").read_text(encoding="utf-8"))
    one_pass = shown.pop("one pass, E[x²] − E[x]²")
    assert set(shown) == {"NumPy, two passes", "PyTorch", "JAX"}
    assert max(error for errors in shown.values() for error in errors.values()) < 2
    assert one_pass[1] < 2
    assert all(one_pass[10 * x] > 4 * one_pass[x] for x in (1.0, 10.0))
    assert one_pass[1e3] > one_pass[1e2]
    assert all(error > 1000 for offset, error in one_pass.items() if offset >= 3000)


def test_the_page_says_what_the_length_shows() -> None:
    shown = points((IMAGES / "growth.svg").read_text(encoding="utf-8"))
    flat = [*shown["pairwise, as NumPy"].values(), *shown["PyTorch"].values()]
    assert max(flat) < 2
    naive, lanes = shown["one element after the other"], shown["in 8 lanes"]
    passes = [error <= 16 + n**0.5 for n, error in sorted(naive.items())]
    assert passes == sorted(passes, reverse=True)
    assert not passes[-1]
    assert all(error <= 16 + n for n, error in naive.items())
    longest = max(naive)
    assert naive[longest] > lanes[longest] > 10 * max(flat)
