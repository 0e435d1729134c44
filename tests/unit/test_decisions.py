"""What the numbers decide and what they leave open, as the command says it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

Run = Callable[..., Completed]

QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--backend", "numpy", "--no-gradients"]


def test_the_users_own_bound_is_used_and_said(invoke: Run, parsed: Any) -> None:
    done = invoke(*QUICK, "--max-backward-error", "0.001", "--format", "json")
    (row,) = parsed(done.stdout)["results"]
    assert 0.001 == row["allowed"]
    assert row["verdict"] in {"loose", "fail"}
    assert "--max-backward-error 0.001" in row["reason"]


def test_strict_turns_loose_into_fail(invoke: Run, parsed: Any) -> None:
    options = [*QUICK, "--max-backward-error", "0.001", "--format", "json"]
    loose, strict = invoke(*options), invoke(*options, "--strict")
    assert [(0, "loose"), (1, "fail")] == [
        (done.returncode, parsed(done.stdout)["summary"]["verdict"]) for done in (loose, strict)
    ]


def test_a_bound_that_allows_everything_decides_nothing(invoke: Run, parsed: Any) -> None:
    done = invoke(*QUICK, "--max-backward-error", "1e12", "--format", "json")
    (row,) = parsed(done.stdout)["results"]
    assert (1, "inconclusive") == (done.returncode, row["verdict"])
    assert "all-zero output" in row["reason"]


def verdict_on(invoke: Run, parsed: Any, folder: Path, x: list[list[float]]) -> tuple[int, str]:
    """The exit code of layer norm of ``x`` in NumPy, and the verdict on y."""
    (folder / "x.json").write_text(
        json.dumps({"x": [[v if math.isfinite(v) else str(v) for v in row] for row in x]})
    )
    options = ["--method", "layer", "--backend", "numpy", "--no-gradients", "--format", "json"]
    done = invoke("compare", "--fixture", "x.json", *options)
    (row,) = parsed(done.stdout)["results"]
    return done.returncode, row["verdict"]


def test_data_that_float32_cannot_decide_is_inconclusive_never_a_pass(
    invoke: Run, parsed: Any, tmp_path: Path
) -> None:
    far = [[1e6, 1e6 + 0.0625], [1e6 + 0.125, 1e6]]
    assert (1, "inconclusive") == verdict_on(invoke, parsed, tmp_path, far)


def test_nan_in_the_input_is_nan_in_its_own_sets_alone(invoke: Run, parsed: Any, tmp_path: Path) -> None:
    rows = [[math.nan, 1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.5], [3.0, 1.0, -2.0, 9.0]]
    assert (0, "pass") == verdict_on(invoke, parsed, tmp_path, rows)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy says what it thinks of infinity
def test_nan_everywhere_is_never_a_pass(invoke: Run, parsed: Any, tmp_path: Path) -> None:
    assert (1, "inconclusive") == verdict_on(invoke, parsed, tmp_path, [[math.nan, 1.0], [math.inf, 2.0]])
