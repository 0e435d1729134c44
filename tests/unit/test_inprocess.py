"""Functions and layers of the caller are backends as they are; the caller's settings stay as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import normcheck
from normcheck import Verdict
from normcheck.errors import UsageError
from normcheck.report import EXPECTED
from normcheck.reports import render
from normcheck.run.inprocess import host_of, spec_of


def layer_norm(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    deviation = x - x.mean(axis=axes, keepdims=True)
    y = deviation / np.sqrt(np.square(deviation).mean(axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def with_twice_the_eps(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return layer_norm(x, weight, bias, eps=2 * eps, normalized_ndim=normalized_ndim)


def raises(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    raise SystemExit(3)


def compared(**backends: Any) -> normcheck.Report:
    return normcheck.compare("layer", backends=backends, fixtures=["nchw", "documents"], gradients=False)


def test_a_function_is_judged_beside_a_built_in_backend() -> None:
    report = compared(mine=layer_norm, numpy="numpy")
    assert Verdict.PASS is report.verdict
    assert {"mine", "numpy", EXPECTED} == {result.backend for result in report.results}
    assert ("mine", "numpy") in {pair.backends for pair in report.pairs}
    assert np.__version__ == report.environment.backends["mine"]["version"]


def test_a_wrong_function_fails_and_says_how_to_see_it_again() -> None:
    report = compared(mine=with_twice_the_eps)
    assert Verdict.FAIL is report.verdict
    assert "# in Python, with backends={'mine': …}" in render(report, "table")


def test_a_function_that_raises_costs_its_cases_only() -> None:
    report = compared(mine=raises, numpy="numpy")
    verdicts = {r.backend: r.verdict for r in report.results if r.backend != EXPECTED}
    assert {"mine": Verdict.ERROR, "numpy": Verdict.PASS} == verdicts
    assert normcheck.ExitCode.BACKEND is report.exit_code


def test_a_torch_layer_and_function_pass_and_the_settings_stay(requires: Callable[[str], None]) -> None:
    requires("torch")
    import torch

    def group_norm(x: Any, weight: Any, bias: Any, *, eps: float, num_groups: int) -> Any:
        return torch.nn.functional.group_norm(x, num_groups, weight, bias, eps)

    torch.set_num_threads(2)
    torch.set_deterministic_debug_mode(0)  # whatever ran before in this process
    layer = torch.nn.GroupNorm(num_groups=4, num_channels=8)
    report = normcheck.compare("group", backends={"mine": group_norm, "layer": layer}, fixtures=["nchw"])
    assert {Verdict.PASS} == {result.verdict for result in report.results}
    assert {"y", "grad_x", "grad_weight", "grad_bias"} == {result.output for result in report.results}
    assert (2, 0) == (torch.get_num_threads(), torch.get_deterministic_debug_mode())


def test_jax_computes_float64_and_is_set_back(requires: Callable[[str], None]) -> None:
    requires("jax")
    import jax
    import jax.numpy as jnp

    def norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        deviation = x - x.mean(-1, keepdims=True)
        y = deviation / jnp.sqrt(jnp.square(deviation).mean(-1, keepdims=True) + eps)
        return y * (1 if weight is None else weight) + (0 if bias is None else bias)

    jax.config.update("jax_enable_x64", False)  # whatever ran before in this process
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    report = normcheck.compare(
        "layer", backends={"mine": norm}, fixtures=["nchw"], normalized_ndim=1, dtype="float64"
    )
    assert {Verdict.PASS} == {result.verdict for result in report.results}
    assert not jax.config.jax_enable_x64  # type: ignore[attr-defined]
    assert before == jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]


def test_the_host_is_told_from_the_code(requires: Callable[[str], None]) -> None:
    requires("torch")
    import torch

    def wrapped(x: Any) -> Any:
        return torch.relu(x)

    @functools.wraps(wrapped)
    def outer(*arrays: Any) -> Any:
        return wrapped(*arrays)

    assert "numpy" == host_of("f", layer_norm)
    assert "numpy" == host_of("f", lambda x, weight, bias, *, eps: x)
    assert "torch" == host_of("f", outer)
    assert "torch" == host_of("f", functools.partial(torch.nn.functional.group_norm, num_groups=2))
    assert "torch" == host_of("f", torch.nn.LayerNorm(4))
    assert "torch" == spec_of("f", ("torch", layer_norm)).host


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "is a int, not a function or a layer"),
        (dict, "is the class dict, not an object to call: make an instance of it"),
        (("tensor", layer_norm), "the host 'tensor' is unknown; valid: "),
    ],
)
def test_what_cannot_be_called_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_of("mine", value)


def test_a_function_of_two_frameworks_has_to_name_its_host(requires: Callable[[str], None]) -> None:
    requires("torch")
    requires("jax")
    import jax
    import torch

    def both(x: Any) -> Any:
        return torch.relu(jax.nn.relu(x))

    with pytest.raises(UsageError, match=r"uses jax and torch; name its host"):
        host_of("mine", both)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(UsageError, match="expected"):
        compared(expected=layer_norm)
    with pytest.raises(UsageError, match="torch"):
        compared(torch=layer_norm)


def test_a_host_that_cannot_be_imported_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(spec: Any) -> Any:
        raise ModuleNotFoundError("No module named 'jax'")

    monkeypatch.setattr("normcheck.run.inprocess.adapter_of", gone)
    report = compared(mine=("numpy", layer_norm))
    assert {Verdict.UNAVAILABLE} == {r.verdict for r in report.results if r.backend == "mine"}
    assert "numpy cannot be imported" in str(report.results[-1].reason)


def test_two_functions_do_not_set_each_others_settings_back(requires: Callable[[str], None]) -> None:
    requires("torch")
    import time

    import torch

    def quick(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
        return torch.nn.functional.layer_norm(x, x.shape[x.ndim - normalized_ndim :], weight, bias, eps)

    def slow(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
        time.sleep(0.1)
        return quick(x, weight, bias, eps=eps, normalized_ndim=normalized_ndim)

    torch.set_num_threads(2)
    torch.set_deterministic_debug_mode(0)  # whatever ran before in this process
    report = normcheck.compare("layer", backends={"slow": slow, "quick": quick}, fixtures=["nchw"])
    assert {Verdict.PASS} == {result.verdict for result in report.results}
    assert (2, 0) == (torch.get_num_threads(), torch.get_deterministic_debug_mode())
