"""A third party's backend, installed from examples/plugin as its users would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import CHECKOUT, Completed, run_normcheck

pytestmark = pytest.mark.xdist_group("plugin")  # a run is shared

Run = Callable[..., Completed]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(folder), str(CHECKOUT / "examples" / "plugin")],
        check=True,
    )
    return folder


@pytest.fixture
def plugged(site: Path, tmp_path: Path) -> Run:
    """The command where the example is installed."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return lambda *arguments: run_normcheck(*arguments, cwd=tmp_path, PYTHONPATH=path)


def test_it_is_among_the_backends(plugged: Run, run: Run) -> None:
    lines = [
        line.split() for line in plugged("backends", "fsum").stdout.splitlines() if line.startswith("fsum  ")
    ]
    assert ["fsum", "–", "✓", "–", "✓", "–", "f32", "–"] == lines[0]
    assert ["fsum", "has", "no", "batch", "norm;"] == lines[1][:5]
    assert ["fsum", sys.version.split()[0]] == lines[2][:2]
    for arguments in (["compare", "--backend", "fsum"], ["backends", "fsum"]):
        done = run(*arguments)
        assert 2 == done.returncode
        assert "unknown backend 'fsum'" in done.stderr


def test_it_is_judged_like_any_other(plugged: Run, parsed: Any) -> None:
    options = ["--method", "layer", "--method", "group", "--format", "json"]
    done = plugged("compare", "--backend", "numpy", "--backend", "fsum", *options)
    report = parsed(done.stdout)
    own = [r for r in report["results"] if r["backend"] == "fsum"]
    assert (0, {"pass"}, {"y"}) == (done.returncode, {r["verdict"] for r in own}, {r["output"] for r in own})
    assert max(r["backward_error"] for r in own) < 1.1  # its sums are exact


def test_what_it_does_not_have_is_said_and_no_pass(plugged: Run, parsed: Any) -> None:
    done = plugged("compare", "--backend", "fsum", "--method", "batch", "--format", "json")
    assert 5 == done.returncode
    reasons = {(r["verdict"], r["reason"]) for r in parsed(done.stdout)["results"] if r["backend"] == "fsum"}
    assert {("unsupported", "has no batch norm")} == reasons


def test_it_hosts_ones_own(plugged: Run, parsed: Any, tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text(
        "from normcheck_fsum import layer_norm\n"
        "def no_bias(x, weight, bias, **keywords): return layer_norm(x, weight, None, **keywords)\n"
    )
    options = ["--method", "layer", "--fixture", "nchw", "--format", "json"]
    for target, verdict in (("layer_norm", "pass"), ("no_bias", "fail")):
        report = parsed(plugged("compare", "--backend", f"mine=fsum:norm.py:{target}", *options).stdout)
        assert {verdict} == {r["verdict"] for r in report["results"]}


@pytest.mark.parametrize(
    ("backend", "code", "message"),
    [
        ("fsum[kahan=True]", 0, ""),  # its options are its own to read
        ("numpy[kahan=True]", 2, "valid: none"),
    ],
)
def test_options_are_read_by_whom_they_are_for(plugged: Run, backend: str, code: int, message: str) -> None:
    done = plugged("compare", "--backend", backend, "--method", "group", "--fixture", "nchw")
    assert code == done.returncode
    assert message in done.stderr
