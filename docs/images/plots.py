"""Draw the two plots of docs/numerics.md from real runs: ``make docs``.

offset.svg has the backward error against the offset of the data, growth.svg that against the length of the sums.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert

import normcheck

HERE = Path(__file__).parent
OFFSETS = [float(f"{digit}e{power}") for power in range(4) for digit in (1, 3)] + [1e4, 3e4]
LENGTHS = [4**power for power in range(3, 11)]
COLOURS = ["#0072b2", "#009e73", "#d55e00", "#cc79a7"]  # told apart by the colour-blind
WORDS = {  # an alias has no spaces
    "two_passes": "NumPy, two passes",
    "torch": "PyTorch",
    "jax": "JAX",
    "one_pass": "one pass, E[x²] − E[x]²",
    "sequential": "one element after the other",
    "in_lanes": "in 8 lanes",
    "pairwise": "pairwise, as NumPy",
}
LOGARITHMIC = {
    "type": "quantitative",
    "scale": {"type": "log", "nice": False},
    "axis": {"values": [10.0**power for power in range(-1, 7)], "labelExpr": "format(datum.value, ',')"},
}
Sum = Callable[[np.ndarray], np.ndarray]
Rows = list[dict[str, Any]]


def pairwise(x: np.ndarray) -> np.ndarray:
    """Sums as NumPy makes them: halves of halves."""
    return x.sum(-1, keepdims=True)


def sequential(x: np.ndarray) -> np.ndarray:
    """One element after the other."""
    return x.cumsum(-1)[..., -1:]


def in_lanes(x: np.ndarray) -> np.ndarray:
    """Eight sums of every eighth element, as a vector unit makes them."""
    return x.reshape(*x.shape[:-1], -1, 8).cumsum(-2)[..., -1, :].sum(-1, keepdims=True)


def two_passes(add: Sum) -> Callable[..., np.ndarray]:
    """Layer norm of the last axis: the mean, then the variance around it."""

    def layer_norm(x: np.ndarray, *, eps: float) -> np.ndarray:
        n = x.dtype.type(x.shape[-1])
        centred = x - add(x) / n
        return centred / np.sqrt(add(centred * centred) / n + x.dtype.type(eps))

    return layer_norm


def one_pass(x: np.ndarray, *, eps: float) -> np.ndarray:
    """Layer norm of the last axis, with the mean of the squares less the square of the mean."""
    mean = x.mean(-1, keepdims=True)
    variance = np.maximum((x * x).mean(-1, keepdims=True) - mean * mean, 0)
    return (x - mean) / np.sqrt(variance + x.dtype.type(eps))


def backward_errors(
    name: str, inputs: Mapping[float, np.ndarray], backends: Mapping[str, Any]
) -> tuple[Rows, Rows]:
    """The measured points of y, and those of the bound, for layer norm of each of the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        files = {f"{i}.npy": Path(folder, f"{i}.npy") for i in range(len(inputs))}
        for file, x in zip(files.values(), inputs.values(), strict=True):
            np.save(file, x.astype(np.float32))
        report = normcheck.compare(
            "layer",
            fixtures=list(files.values()),
            backends=backends,
            gradients=False,
            normalized_ndim=1,
            strict=True,  # a sum that is naive is shown, not asked again
        )
    values = dict(zip(files, inputs, strict=True))
    measured = [
        {name: values[result.case.fixture], "β": result.backward_error, "of": WORDS[result.backend]}
        for result in report.results
    ]
    assert len(measured) == len(inputs) * len(backends)
    assert all(row["β"] is not None for row in measured)
    allowed = {result.case.fixture: result.allowed for result in report.results}
    return measured, [{name: values[fixture], "β": bound} for fixture, bound in allowed.items()]


def chart(name: str, domain: list[float], measured: Rows, bounds: Mapping[str, Rows]) -> dict[str, Any]:
    """The description of a plot in Vega-Lite, logarithmic in both directions."""
    x = {"field": name, **LOGARITHMIC}
    x["scale"] = {**x["scale"], "domain": domain}
    y = {"field": "β", "title": "backward error β of y, in roundoffs", **LOGARITHMIC}
    y["scale"] = {**y["scale"], "domain": [0.1, 1e5]}
    series = list(dict.fromkeys(row["of"] for row in measured))
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": measured},
            "mark": {"type": "line", "point": True, "clip": True},
            "encoding": {
                "color": {
                    "field": "of",
                    "type": "nominal",
                    "scale": {"domain": series, "range": COLOURS[: len(series)]},
                    "legend": {"title": None, "orient": "top", "columns": 2, "labelLimit": 320},
                }
            },
        }
    ]
    for text, points in bounds.items():
        layers += [
            {"data": {"values": points}, "mark": {"type": "line", "strokeDash": [5, 4], "color": "#555"}},
            {
                "data": {"values": [points[len(points) // 2]]},
                "mark": {"type": "text", "text": text, "align": "right", "dy": -8, "fontSize": 12},
            },
        ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 560,
        "height": 320,
        "background": "white",
        "padding": 12,
        "encoding": {"x": x, "y": y},
        "layer": layers,
        "config": {
            "font": "sans-serif",
            "axis": {"labelFontSize": 12, "titleFontSize": 13},
            "legend": {"labelFontSize": 13},
        },
    }


def main() -> None:
    """Run both comparisons and write the plots beside this script."""
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(8, 1024))
    offset = "offset of x, whose standard deviation is 1"
    measured, bound = backward_errors(
        offset,
        {value: noise + value for value in OFFSETS},
        {
            "two_passes": ("numpy", two_passes(pairwise)),
            "torch": "torch",
            "jax": "jax",
            "one_pass": ("numpy", one_pass),
        },
    )
    plots = {"offset": chart(offset, [1, 5e4], measured, {"16 + √n: pass": bound})}
    length = "n, the number of elements that are summed"
    measured, bound = backward_errors(
        length,
        {n: draw.lognormal(size=(2, n)) for n in LENGTHS},
        {
            "sequential": ("numpy", two_passes(sequential)),
            "in_lanes": ("numpy", two_passes(in_lanes)),
            "pairwise": ("numpy", two_passes(pairwise)),
            "torch": "torch",
        },
    )
    naive = [{length: n, "β": 16 + n} for n in LENGTHS if 16 + n < 1e5]
    plots["growth"] = chart(length, [50, 2e6], measured, {"16 + √n: pass": bound, "16 + n: loose": naive})
    for name, plot in plots.items():
        svg = vl_convert.vegalite_to_svg(plot)
        (HERE / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
