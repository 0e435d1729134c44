"""A recording with the real command: saved by one process, compared by another one, without the framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support import Completed

GROUP = ["--method", "group", "--fixture", "nchw"]


def test_what_was_recorded_is_compared_without_its_framework(
    run: Callable[..., Completed], parsed: Any, requires: Callable[[str], None]
) -> None:
    requires("torch")
    saved = run("record", "--backend", "torch", "--output", "run.safetensors", *GROUP)
    assert (0, "") == (saved.returncode, saved.stdout), saved.stderr
    done = run("compare", "--backend", "gpu=file:run.safetensors", *GROUP, "--format", "json")
    report = parsed(done.stdout)
    assert (0, {"pass"}) == (done.returncode, {r["verdict"] for r in report["results"]})
    assert "torch" == report["environment"]["backends"]["gpu"]["backend"]
