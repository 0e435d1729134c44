"""A backend under another interpreter, which has its own NumPy and framework, and no normcheck."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

pytestmark = pytest.mark.xdist_group("other python")  # a run is shared

Run = Callable[..., Completed]
OLD_TORCH = os.environ.get("NORMCHECK_OLD_TORCH", "")
OTHER_NUMPY = "1.26.4"
OPTIONS = ["--method", "group", "--method", "batch", "--fixture", "nchw", "--format", "json"]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with another NumPy; PyTorch is found behind it, if it is here."""
    folder = tmp_path_factory.mktemp("other") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--only-binary", ":all:", f"numpy=={OTHER_NUMPY}"], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "behind.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_it_runs_there_and_is_judged_here(run: Run, parsed: Any, other: Path) -> None:
    done = run("compare", "--backend", "numpy", "--backend", f"old=numpy@{other}", *OPTIONS)
    report = parsed(done.stdout)
    assert (0, "pass") == (done.returncode, report["summary"]["verdict"])
    versions = {name: facts["version"] for name, facts in report["environment"]["backends"].items()}
    assert OTHER_NUMPY == versions["old"] != versions["numpy"]
    assert {"numpy", "old"} == {r["backend"] for r in report["results"]}
    assert report["pairs"]


def test_a_framework_is_that_of_the_other_interpreter(
    run: Run, parsed: Any, requires: Callable[[str], None], other: Path
) -> None:
    requires("torch")
    report = parsed(run("compare", "--backend", f"old=torch@{other}", *OPTIONS).stdout)
    assert {"y", "grad_x", "running_mean"} < {r["output"] for r in report["results"]}
    assert {"pass"} == {r["verdict"] for r in report["results"]}


@pytest.mark.skipif(
    not OLD_TORCH, reason="NORMCHECK_OLD_TORCH names no interpreter with another PyTorch and NumPy"
)
def test_another_version_of_pytorch_passes_the_core(run: Run, parsed: Any, tmp_path: Path) -> None:
    """Gigabytes to install, so not for every run: NORMCHECK_OLD_TORCH=path/to/venv/bin/python."""
    backends = ["--backend", "torch", "--backend", f"old=torch@{OLD_TORCH}"]
    for mode in ("train", "eval"):
        report = parsed(run("compare", *backends, "--mode", mode, "--format", "json").stdout)
        assert {"pass"} == {r["verdict"] for r in report["results"]}
        assert {"torch", "old"} <= {r["backend"] for r in report["results"]}
        facts = report["environment"]["backends"]
        assert facts["torch"]["version"] != facts["old"]["version"]


def test_nothing_of_this_environment_gets_there(run: Run, parsed: Any, other: Path, tmp_path: Path) -> None:
    """Neither the current directory nor PYTHONPATH: a numpy.py in either would be what it imports."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    done = run(
        "compare",
        "--backend",
        f"old=numpy@{other}",
        *OPTIONS,
        PYTHONSAFEPATH="1",
        PYTHONPATH=str(other.parent),
    )
    assert 0 == done.returncode, done.stderr
    assert OTHER_NUMPY == parsed(done.stdout)["environment"]["backends"]["old"]["version"]


def test_what_is_not_there_is_unavailable(run: Run, parsed: Any, other: Path) -> None:
    bare = other.parents[2] / "bare"
    venv.create(bare, with_pip=False, symlinks=True)
    done = run("compare", "--backend", f"old=torch@{bare / 'bin' / 'python'}", *OPTIONS)
    assert 4 == done.returncode
    reasons = {(r["verdict"], r["reason"]) for r in parsed(done.stdout)["results"]}
    assert {"unavailable"} == {verdict for verdict, _ in reasons}
    assert "NumPy" in min(reason for _, reason in reasons)
    (site,) = other.parents[1].glob("lib/python*/site-packages")
    (site / "behind.pth").unlink()
    done = run("compare", "--backend", f"old=torch@{other}", *OPTIONS)
    assert 4 == done.returncode
    assert "torch cannot be imported: ModuleNotFoundError" in done.stdout


def test_what_is_no_interpreter_gives_no_answer(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'I am no Python' >&2\nexit 3\n")
    script.chmod(0o755)
    done = run("compare", "--backend", f"old=numpy@{script}", *OPTIONS)
    assert 4 == done.returncode
    assert "I am no Python" in done.stdout
