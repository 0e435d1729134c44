"""Published Triton kernels, in Triton's interpreter: as one's own code, on a machine without a GPU.

Triton is a gigabyte, so not for every run: NORMCHECK_TRITON=FOLDER, with what examples/triton/liger.py says in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

FOLDER = os.environ.get("NORMCHECK_TRITON", "")
LIGER = Path(__file__).parents[2] / "examples" / "triton" / "liger.py"
FIXTURES = ("documents", "low-sigma", "nc", "ncl", "offset-1e2")

pytestmark = pytest.mark.skipif(not FOLDER, reason="NORMCHECK_TRITON names no folder with Triton in it")


def verdicts(
    run: Callable[..., Completed], parsed: Callable[..., Any], target: str, *options: str
) -> dict[str, set[str]]:
    fixtures = [word for name in FIXTURES for word in ("--fixture", name)]
    done = run(
        "compare",
        *("--backend", f"triton=torch:{LIGER}:{target}", "--normalized-ndim", "1", "--format", "json"),
        *fixtures,
        *options,
        PYTHONPATH=os.pathsep.join([FOLDER, os.environ.get("PYTHONPATH", "")]),
    )
    found: dict[str, set[str]] = {}
    for result in parsed(done.stdout)["results"]:
        found.setdefault(result["output"], set()).add(result["verdict"])
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("llama_rms_norm", ("--method", "rms")),
        (
            "llama_rms_norm",
            ("--method", "rms", "--dtype", "float16", "--convention", "cast_order=cast_then_affine"),
        ),
        ("gemma_rms_norm", ("--method", "rms", "--convention", "weight=1+w")),
        ("layer_norm", ("--method", "layer")),
    ],
)
def test_a_published_kernel_passes_by_its_convention(
    run: Callable[..., Completed], parsed: Callable[..., Any], target: str, options: tuple[str, ...]
) -> None:
    found = verdicts(run, parsed, target, *options)
    assert {"y", "grad_x", "grad_weight"} <= set(found)
    assert set().union(*found.values()) - {"unsupported", "inconclusive"} == {"pass"}


@pytest.mark.timeout(300)
def test_and_fails_by_another(run: Callable[..., Completed], parsed: Callable[..., Any]) -> None:
    found = verdicts(run, parsed, "gemma_rms_norm", "--method", "rms")
    assert "fail" in found["y"] & found["grad_x"]
