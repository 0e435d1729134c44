"""--device goes to the adapters; what is not there is unavailable, which is no pass (tests/contract: in any)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("backend", "device"),
    [
        *((backend, "cuda") for backend in ("numpy", "torch", "jax")),
        *((backend, "nonsense") for backend in ("torch", "jax")),
        ("torch", "cuda:7"),
    ],
)
def test_a_device_that_is_not_there_is_unavailable(
    invoke: Any, parsed: Any, requires: Callable[[str], None], backend: str, device: str
) -> None:
    requires(backend)
    options = ["--method", "layer", "--fixture", "nc", "--format", "json", "--device", device]
    done = invoke("compare", "--backend", backend, *options)
    if done.returncode == 0 and device == "cuda":
        pytest.skip(f"{backend} has a CUDA device here")
    assert 4 == done.returncode
    results = parsed(done.stdout)["results"]
    assert {"unavailable"} == {r["verdict"] for r in results}
    assert device in results[0]["reason"]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_cpu_by_its_index_is_the_cpu(
    run: Any, parsed: Any, requires: Callable[[str], None], backend: str
) -> None:
    requires(backend)
    options = ["--method", "layer", "--fixture", "nc", "--format", "json", "--device", "cpu:0"]
    assert 0 == run("compare", "--backend", backend, *options).returncode
