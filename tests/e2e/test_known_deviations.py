"""The ledger with the real command: a project's pyproject.toml decides the exit code of a run below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import Completed

KNOWN = """
[[tool.normcheck.known]]
case = "layer/nc/*"
backend = "mine"
verdict = "fail"
reason = "it returns x"
"""


def test_a_known_failure_does_not_fail_the_run(run: Callable[..., Completed], tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text("def norm(x, weight, bias, *, eps): return x\n")
    (tmp_path / "pyproject.toml").write_text(KNOWN)
    (tmp_path / "below").mkdir()
    options = ["--method", "layer", "--fixture", "nc", "--no-gradients"]
    backend = ["--backend", "mine=numpy:../norm.py:norm"]
    done = run("compare", *backend, *options, cwd=tmp_path / "below")
    assert (0, "") == (done.returncode, done.stderr)
    assert "† known  mine: it returns x: fail in 1 comparison" in done.stdout
    assert 1 == run("compare", *backend, *options, "--no-config", cwd=tmp_path / "below").returncode
