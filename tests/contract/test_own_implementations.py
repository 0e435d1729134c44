"""One's own functions and modules, hosted by the default backends, are judged like a framework's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

Run = Callable[..., Completed]

NUMPY = """
import numpy as np

def group(x, weight, bias, *, eps, groups):
    y = np.empty_like(x)
    for g in groups:
        part = x[:, g]
        axes = tuple(range(1, x.ndim))
        d = part - part.mean(axes, keepdims=True)
        y[:, g] = d / np.sqrt((d * d).mean(axes, keepdims=True) + x.dtype.type(eps))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return y * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))

def batch(x, weight, bias, *, eps, momentum, training, running_mean, running_var):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, n = running_mean, running_var, x.size // x.shape[1]
    if training:
        mean = x.mean(axes)
        var = np.square(x - mean.reshape(shape)).mean(axes)
        m = x.dtype.type(momentum)
        running_mean = (1 - m) * running_mean + m * mean
        running_var = (1 - m) * running_var + m * var * x.dtype.type(n / (n - 1))
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + x.dtype.type(eps))
    y = y * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))
    return y.astype(x.dtype), running_mean, running_var
"""

TORCH = """
import torch

def layer(x, weight, bias, *, eps, normalized_ndim):
    return torch.nn.functional.layer_norm(x, x.shape[-normalized_ndim:], weight, bias, eps)

def group(x, weight, bias, *, eps, num_groups):
    return torch.nn.functional.group_norm(x, num_groups, weight, bias, eps)

group_module = torch.nn.GroupNorm(4, 8)
layer_module = torch.nn.LayerNorm([8, 5, 7])
batch_module = torch.nn.BatchNorm2d(8)
instance_module = torch.nn.InstanceNorm2d(8, affine=True)
"""

JAX = """
import jax.numpy as jnp

def layer(x, weight, bias, *, eps):
    rows = x.reshape(len(x), -1)
    d = rows - rows.mean(1, keepdims=True)
    y = (d / jnp.sqrt(jnp.square(d).mean(1, keepdims=True) + eps)).reshape(x.shape)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)
"""


def own_results(
    invoke: Run, parsed: Any, tmp_path: Path, source: str, target: str, *options: str
) -> list[dict[str, Any]]:
    """The results of one's own implementation; the run must be a pass."""
    (tmp_path / "own.py").write_text(source)
    done = invoke("compare", "--backend", f"mine={target}", "--format", "json", *options)
    results = [row for row in parsed(done.stdout)["results"] if row["backend"] == "mine"]
    assert [] == [(row["case"], row["output"], row["reason"]) for row in results if row["verdict"] != "pass"]
    assert 0 == done.returncode
    assert results
    return results


def test_ones_own_numpy_function_passes(invoke: Run, parsed: Any, tmp_path: Path) -> None:
    options = ["--method", "group", "--fixture", "nchw", "--fixture", "odd", "--fixture", "documents"]
    results = own_results(invoke, parsed, tmp_path, NUMPY, "numpy:own.py:group", *options)
    assert {"y"} == {row["output"] for row in results}


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_ones_own_numpy_batch_norm_passes_with_its_running_statistics(
    invoke: Run, parsed: Any, tmp_path: Path, mode: str
) -> None:
    options = [
        "--method",
        "batch",
        "--fixture",
        "nchw",
        "--mode",
        mode,
        "--dtype",
        "float32",
        "--dtype",
        "float64",
    ]
    results = own_results(invoke, parsed, tmp_path, NUMPY, "numpy:own.py:batch", *options)
    expected = {"train": {"y", "running_mean", "running_var"}, "eval": {"y"}}[mode]
    assert expected == {row["output"] for row in results}


@pytest.mark.parametrize(
    ("attribute", "method"),
    [
        *((method, method) for method in ("layer", "group")),
        *((f"{method}_module", method) for method in ("group", "layer", "batch", "instance")),
    ],
)
def test_ones_own_torch_function_or_module_passes_with_its_gradients(
    invoke: Run,
    parsed: Any,
    requires: Callable[[str], None],
    tmp_path: Path,
    attribute: str,
    method: str,
) -> None:
    requires("torch")
    options = [
        "--method",
        method,
        "--fixture",
        "nchw",
        *(["--normalized-ndim", "3"] if method == "layer" else []),
    ]
    results = own_results(invoke, parsed, tmp_path, TORCH, f"torch:own.py:{attribute}", *options)
    assert {"y", "grad_x", "grad_weight", "grad_bias"} <= {row["output"] for row in results}


def test_ones_own_jax_function_passes_with_its_gradients(
    invoke: Run, parsed: Any, requires: Any, tmp_path: Path
) -> None:
    requires("jax")
    results = own_results(
        invoke, parsed, tmp_path, JAX, "jax:own.py:layer", "--method", "layer", "--fixture", "nc"
    )
    assert {"y", "grad_x", "grad_weight", "grad_bias"} == {row["output"] for row in results}


def test_a_torch_module_is_judged_by_its_own_eps(invoke: Run, requires: Any, tmp_path: Path) -> None:
    requires("torch")
    (tmp_path / "own.py").write_text("import torch\nnorm = torch.nn.GroupNorm(4, 8, eps=1e-3)\n")
    chosen = ["--backend", "mine=torch:own.py:norm", "--method", "group", "--fixture", "nchw"]
    done = invoke("compare", *chosen)
    assert (0, True) == (done.returncode, "num_groups=4 eps=0.001" in done.stdout)
    done = invoke("compare", *chosen, "--eps", "1e-5")
    assert 3 == done.returncode
    assert "--eps 1e-05: mine is a layer with a eps of its own, 0.001" in done.stderr
