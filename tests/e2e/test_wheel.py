"""The wheel is all there is to it: installed away from the checkout, with NumPy alone, it does its job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import CHECKOUT, Completed

pytestmark = pytest.mark.xdist_group("wheel")  # a run is shared


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and what it requires, and no framework."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("normcheck-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    constraints = str(CHECKOUT / "constraints.txt")
    wanted = f"{wheel}[pytest]"
    install = [*pip, "--python", str(python), "install", "--prefer-binary", "-c", constraints, wanted]
    subprocess.run(install, check=True, cwd=folder)
    return python


def run_installed(python: Path, *arguments: str, cwd: Path, command: str = "normcheck") -> Completed:
    """Run a command of the fresh environment, which knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(python.parent / command), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    program = "import normcheck, sys; print(normcheck.__file__, 'torch' in sys.modules)"
    done = run_installed(installed, "-P", "-c", program, cwd=tmp_path, command="python")
    assert str(installed.parents[1]) in done.stdout
    assert str(CHECKOUT) not in done.stdout


def test_with_numpy_alone_everything_passes_and_the_others_are_named(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, "compare", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert "torch was left out: torch is not installed: pip install 'normcheck[torch]'" in done.stdout
    assert "jax was left out: jax is not installed: pip install 'normcheck[jax]'" in done.stdout
    assert "documents" in done.stdout
    assert "✓ pass" in done.stdout


def test_a_framework_that_is_asked_for_and_missing_is_unavailable(installed: Path, tmp_path: Path) -> None:
    options = ["--method", "layer", "--fixture", "nc", "--no-gradients", "--format", "json"]
    done = run_installed(
        installed, "compare", "--backend", "torch", "--backend", "numpy", *options, cwd=tmp_path
    )
    assert 4 == done.returncode
    rows: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    assert [("torch", "unavailable"), ("numpy", "pass")] == [(row["backend"], row["verdict"]) for row in rows]
    assert "pip install 'normcheck[torch]'" in rows[0]["reason"]


def test_ones_own_code_for_a_missing_framework_is_unavailable(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def norm(x, weight, bias, *, eps):\n    return x\n")
    options = ["--method", "layer", "--fixture", "nc", "--no-gradients"]
    done = run_installed(installed, "compare", "--backend", "mine=torch:f.py:norm", *options, cwd=tmp_path)
    assert 4 == done.returncode
    assert "UNAVAILABLE" in done.stdout


def test_the_schema_is_in_the_wheel_and_fits_its_reports(installed: Path, tmp_path: Path) -> None:
    program = (
        "import importlib.resources as r; print((r.files('normcheck.reports') / 'schema.json').read_text())"
    )
    shown = run_installed(installed, "-c", program, cwd=tmp_path, command="python")
    done = run_installed(installed, "compare", "--method", "layer", "--format", "json", cwd=tmp_path)
    jsonschema.Draft202012Validator(json.loads(shown.stdout)).validate(json.loads(done.stdout))


@pytest.mark.parametrize("arguments", [["compare", "--format", "html"], ["explain", "--html"]], ids=" ".join)
def test_pages_need_the_extra_and_say_so_before_anything_is_computed(
    installed: Path, tmp_path: Path, arguments: list[str]
) -> None:
    done = run_installed(installed, *arguments, cwd=tmp_path)
    assert (3, "") == (done.returncode, done.stdout)
    assert "pip install 'normcheck[report]'" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--version"], ["fixtures"], ["backends"], ["explain", "--method", "group"]], ids=" ".join
)
def test_every_command_works(installed: Path, tmp_path: Path, arguments: list[str]) -> None:
    done = run_installed(installed, *arguments, cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout


def test_the_wheel_holds_the_package_and_its_fixtures_and_nothing_else(installed: Path) -> None:
    (wheel,) = installed.parents[2].glob("normcheck-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names}
    assert {"normcheck"} == {root for root in roots if not root.endswith(".dist-info")}
    assert "normcheck/_fixtures/documents.json" in names
    templates = {
        f"normcheck/{path.relative_to(CHECKOUT / 'normcheck').as_posix()}"
        for path in (CHECKOUT / "normcheck").glob("*/templates/*")
    }
    assert len(templates) > 8
    assert templates <= set(names)
    assert [] == [name for name in names if _of_developers(name)]


def _of_developers(name: str) -> bool:
    *folders, file = name.split("/")
    return not {"tests", "__pycache__"}.isdisjoint(folders) or file.startswith(("test_", "conftest"))


def test_a_new_project_uses_it_in_pytest_in_three_lines(installed: Path, tmp_path: Path) -> None:
    """The plugin is there by its entry point; what the README shows is the test, of a function in norm.py."""
    norm = """
import numpy as np

def group_norm(x, weight, bias, *, eps, num_groups, channel_axis=1):
    x = np.moveaxis(x, channel_axis, 1)
    sets = x.reshape(len(x), num_groups, -1)
    sets = sets - sets.mean(-1, keepdims=True)
    y = (sets / np.sqrt(np.square(sets).mean(-1, keepdims=True) + eps)).reshape(x.shape)
    along = (-1, *(1,) * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(along)
    y = y if bias is None else y + bias.reshape(along)
    return np.moveaxis(y, 1, channel_axis)
"""
    (tmp_path / "norm.py").write_text(norm)
    three = (
        (CHECKOUT / "docs" / "pytest.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    )
    (tmp_path / "test_norm.py").write_text(f"from norm import group_norm\n{three}")
    arguments = ["-m", "pytest", "--normcheck-report", "json=found.json"]
    done = run_installed(installed, *arguments, cwd=tmp_path, command="python")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "plugins: normcheck-" in done.stdout
    assert "pass" == json.loads((tmp_path / "found.json").read_text())["summary"]["verdict"]
