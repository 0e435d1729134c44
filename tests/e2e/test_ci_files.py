"""What other repositories run: the steps of the GitHub Action, as its runner would, and the hook of pre-commit."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
import yaml
from support import CHECKOUT, Completed

from normcheck.cli.compare import command

NORM = """\
def layer_norm(x, weight, bias, *, eps):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / (var + eps) ** 0.5 * weight + bias
"""
CHOSEN = "--method layer --fixture nc --no-gradients --backend 'mine=numpy:norm.py:layer_norm'"
ACTION: dict[str, Any] = yaml.safe_load((CHECKOUT / "action.yml").read_text())
INSTALL, COMPARE = (step for step in ACTION["runs"]["steps"] if "run" in step)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A workspace with an implementation in a folder of it, and the file of the step's summary."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "norm.py").write_text(NORM)
    (tmp_path / "summary.md").touch()
    return tmp_path


def substituted(text: str, inputs: Mapping[str, str]) -> str:
    """``${{ inputs.NAME }}``, and nothing else."""
    given = {name: about["default"] for name, about in ACTION["inputs"].items()} | dict(inputs)
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)


def run_step(step: Mapping[str, Any], workspace: Path, bin_folder: Path, **inputs: str) -> Completed:
    """One step, as the runner runs bash."""
    inputs = {name.replace("_", "-"): value for name, value in inputs.items()}
    script = workspace / "step.sh"
    script.write_text(step["run"])
    assert "${{" not in step["run"], "what an input says would be run as a command"
    variables = {name: substituted(value, inputs) for name, value in step.get("env", {}).items()}
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        cwd=workspace / substituted(step["working-directory"], inputs),
        env={
            **os.environ,
            **variables,
            "PATH": path,
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_STEP_SUMMARY": str(workspace / "summary.md"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def compared(workspace: Path, args: str) -> Completed:
    return run_step(COMPARE, workspace, Path(sys.executable).parent, args=args, working_directory="code")


def test_the_action_passes_with_a_summary(repository: Path) -> None:
    done = compared(repository, CHOSEN)
    assert 0 == done.returncode, done.stderr
    assert "1 case, 1 comparison: 1 pass" in done.stdout
    assert "::notice title=normcheck%3A exit code 0::✓ pass" in done.stdout
    assert (repository / "summary.md").read_text().startswith("## normcheck: ✓ pass")


def test_the_action_fails_with_an_annotation_at_the_line(repository: Path) -> None:
    broken = NORM.replace("x.var", "2 * x.var").replace("def ", "\n\ndef ")
    (repository / "code" / "norm.py").write_text(broken)
    done = compared(repository, CHOSEN)
    assert 1 == done.returncode, done.stdout + done.stderr
    assert "::error file=code/norm.py,line=3,title=fail%3A mine%2C layer" in done.stdout
    assert "<b>✗ fail</b>" in (repository / "summary.md").read_text()


def test_the_exit_code_of_the_action_is_that_of_the_command(repository: Path) -> None:
    assert 2 == compared(repository, "--method lair").returncode
    assert 3 == compared(repository, "--fixture none.npy").returncode


@pytest.mark.parametrize("args", ["$(touch owned)", "`touch owned`", "; touch owned", "'\n touch owned\n'"])
def test_what_an_input_says_is_no_command(repository: Path, args: str) -> None:
    assert 0 != compared(repository, args).returncode
    assert [] == list(repository.rglob("owned"))


def test_the_action_installs_what_was_asked_for(repository: Path) -> None:
    """The command, with a python that says how it was called."""
    (repository / "bin").mkdir()
    (python := repository / "bin" / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    step = {**INSTALL, "env": {**INSTALL["env"], "SOURCE": "/path/to/the action"}}
    for inputs, expected in (
        ({}, ["/path/to/the action"]),
        ({"extras": "torch,jax"}, ["/path/to/the action[torch,jax]"]),
        ({"requirements": "my file.txt"}, ["/path/to/the action", "-r", "my file.txt"]),
    ):
        done = run_step(step, repository, python.parent, **inputs)
        assert ["-m", "pip", "install", *expected] == done.stdout.splitlines()


def test_every_input_is_used_and_described() -> None:
    text = (CHECKOUT / "action.yml").read_text()
    for name, about in ACTION["inputs"].items():
        assert f"inputs.{name} " in text
        assert about["description"]
    assert {"args", "extras", "requirements", "python-version", "working-directory"} == set(ACTION["inputs"])


def test_the_workflow_that_init_writes_runs_as_it_is(repository: Path) -> None:
    """Its step, on a suite of one backend."""
    suite = "backends = ['mine=numpy:code/norm.py:layer_norm']\nmethods = ['layer']\nfixtures = ['nc']\n"
    (repository / "normcheck.toml").write_text(f"[suites.ci]\n{suite}gradients = false\n")
    command = Path(sys.executable).with_name("normcheck")
    subprocess.run([command, "init"], cwd=repository, check=True, capture_output=True)
    workflow = yaml.safe_load((repository / ".github/workflows/normcheck.yml").read_text())
    (step,) = [each for each in workflow["jobs"]["normcheck"]["steps"] if each.get("name") == "Compare"]
    done = run_step({**step, "working-directory": "."}, repository, command.parent)
    assert 0 == done.returncode, done.stderr
    assert "::notice title=normcheck%3A exit code 0" in done.stdout
    assert (repository / "summary.md").read_text().startswith("## normcheck: ✓ pass")
    assert "mine" == fromstring((repository / "normcheck.xml").read_text())[0].get("name")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (CHECKOUT / "docs" / "ci.md").read_text(), re.DOTALL)


def test_what_the_page_says_of_them_is_so() -> None:
    """Its YAML is YAML, the inputs and the hook are there, and so is every option of its commands."""
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    uses = [step for each in found if "jobs" in each for step in each["jobs"]["numerics"]["steps"]]
    (action,) = [step for step in uses if "with" in step]
    assert set(action["with"]) <= set(ACTION["inputs"])
    (hook,) = [hook for each in found if "repos" in each for hook in each["repos"][0]["hooks"]]
    assert "normcheck" == hook["id"]
    options = {name for parameter in command.params for name in parameter.opts}
    page = (CHECKOUT / "docs" / "ci.md").read_text()
    assert (
        {"--report", "--baseline", "--save-baseline"} <= set(re.findall(r"--[a-z][a-z-]+", page)) <= options
    )


def test_the_hook_of_pre_commit_runs_the_command(repository: Path) -> None:
    """As pre-commit does it: the entry and the user's args, in the repository, without names of files."""
    (hook,) = yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text())
    assert ("normcheck", "python", False) == (hook["id"], hook["language"], hook["pass_filenames"])
    words = [*shlex.split(hook["entry"]), *shlex.split(CHOSEN)]
    words[0] = str(Path(sys.executable).with_name(words[0]))
    for source, code in ((NORM, 0), (NORM.replace("x.var", "2 * x.var"), 1)):
        (repository / "code" / "norm.py").write_text(source)
        done = subprocess.run(
            words, cwd=repository / "code", capture_output=True, text=True, check=False, timeout=240
        )
        assert code == done.returncode, done.stdout + done.stderr
