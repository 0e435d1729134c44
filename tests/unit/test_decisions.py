"""What the numbers decide and what they leave open, as the command says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_data_that_float32_cannot_decide_is_inconclusive_never_a_pass(
    invoke: Run, parsed: Any, tmp_path: Path
) -> None:
    (tmp_path / "far.json").write_text(json.dumps({"x": [[1e6, 1e6 + 0.0625], [1e6 + 0.125, 1e6]]}))
    done = invoke(
        "compare",
        "--fixture",
        "far.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    )
    assert (1, ["inconclusive"]) == (
        done.returncode,
        [row["verdict"] for row in parsed(done.stdout)["results"]],
    )


def test_nan_in_the_input_is_nan_in_its_own_sets_and_no_trouble_to_others(
    invoke: Run, parsed: Any, tmp_path: Path
) -> None:
    rows = [[float("nan"), 1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.5], [3.0, 1.0, -2.0, 9.0]]
    (tmp_path / "nan.json").write_text(json.dumps({"x": rows}))
    options = [
        "--fixture",
        "nan.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    ]
    done = invoke("compare", *options)
    (row,) = parsed(done.stdout)["results"]
    assert (0, "pass") == (done.returncode, row["verdict"])


def test_nan_everywhere_is_never_a_pass(invoke: Run, parsed: Any, tmp_path: Path) -> None:
    (tmp_path / "nan.json").write_text(json.dumps({"x": [[float("nan"), 1.0], [float("inf"), 2.0]]}))
    done = invoke(
        "compare",
        "--fixture",
        "nan.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    )
    assert (1, ["inconclusive"]) == (
        done.returncode,
        [row["verdict"] for row in parsed(done.stdout)["results"]],
    )
