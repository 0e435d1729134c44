"""What is not needed is not imported: help comes without NumPy, and no framework ever enters the parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = {"numpy", "rich", "torch", "jax", "ml_dtypes", "safetensors", "cattrs"}


def imported(*arguments: str, cwd: Path) -> set[str]:
    """The top-level packages that a Python process imports, by its own account."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=cwd, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_importing_normcheck_costs_next_to_nothing(tmp_path: Path) -> None:
    found = imported("-c", "import normcheck; normcheck.__version__; dir(normcheck)", cwd=tmp_path)
    assert "normcheck" in found
    assert set() == found & (HEAVY | {"click"})


def test_the_model_comes_without_numpy(tmp_path: Path) -> None:
    assert set() == imported("-c", "import normcheck; normcheck.Verdict.PASS", cwd=tmp_path) & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([command, "--help"] for command in ("compare", "tolerance", "explain", "backends", "fixtures")),
    ],
    ids=" ".join,
)
def test_help_comes_without_numpy_and_rich(arguments: list[str], tmp_path: Path) -> None:
    found = imported("-m", "normcheck", *arguments, cwd=tmp_path)
    assert "click" in found
    assert set() == found & HEAVY


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_no_framework_enters_the_parent(
    backend: str, requires: Callable[[str], None], tmp_path: Path
) -> None:
    requires(backend)
    arguments = ["--backend", backend, "--fixture", "documents", "--method", "layer", "--no-gradients"]
    found = imported("-m", "normcheck", "compare", *arguments, cwd=tmp_path)
    assert "numpy" in found
    assert set() == found & {"torch", "jax", "jaxlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["fixtures"],
        ["compare", "--backend", "numpy", "--fixture", "nc", "--method", "layer", "--format", "json"],
    ],
    ids=" ".join,
)
def test_what_reads_no_data_comes_without_cattrs(arguments: list[str], tmp_path: Path) -> None:
    assert "cattrs" not in imported("-m", "normcheck", *arguments, cwd=tmp_path)


def test_the_check_itself_can_fail(tmp_path: Path) -> None:
    assert "numpy" in imported("-c", "import numpy.linalg", cwd=tmp_path)
    reading = "from normcheck.data import from_data; from_data(int, 3)"
    assert "cattrs" in imported("-c", reading, cwd=tmp_path)
