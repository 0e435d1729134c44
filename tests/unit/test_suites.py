"""Suites of the configuration, and ``normcheck init`` that writes a first one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed

from normcheck.cli import compare
from normcheck.cli._suite import _ON_THE_COMMAND_LINE

Run = Callable[..., Completed]
OWN = """
from normcheck.backends.numpy import NumPy

def {name}(x, weight, bias, **params):
    return NumPy({{}}).METHODS["layer"](x, weight, {bias}, **params)
"""
SUITE = """
[suites.ci]
methods = ["layer"]
fixtures = ["nc", "x.npy"]
backends = ["mine=numpy:norm.py:right"]
dtypes = ["float64", "float32"]
gradients = false
normalized_ndim = 1
eps = 1e-3
max_backward_error = 40
conventions = {variance = "unbiased"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "norm.py").write_text(
        OWN.format(name="right", bias="bias") + OWN.format(name="wrong", bias=None)
    )
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((3, 4)).astype("float32"))
    return tmp_path


def written(folder: Path, text: str, name: str = "normcheck.toml") -> None:
    (folder / name).write_text(text.replace("[suites", "[tool.normcheck.suites") if "py" in name else text)


@pytest.mark.parametrize("name", ["normcheck.toml", "pyproject.toml"])
@pytest.mark.parametrize("below", ["", "src/deep"])
def test_a_suite_is_what_its_options_would_be(
    invoke: Run, parsed: Any, project: Path, name: str, below: str
) -> None:
    """Files are named from where the configuration is."""
    written(project, SUITE.replace("conventions = {", "# "), name)
    (project / below).mkdir(parents=True, exist_ok=True)
    up = "../" * len(Path(below).parts)
    typed = ["--method", "layer", "--fixture", "nc", "--fixture", f"{up}x.npy", "--no-gradients"]
    typed += ["--backend", f"mine=numpy:{up}norm.py:right", "--dtype", "float64", "--dtype", "float32"]
    typed += ["--normalized-ndim", "1", "--eps", "1e-3", "--max-backward-error", "40", "--format", "json"]
    by_hand = parsed(invoke("compare", "--no-config", *typed, cwd=project / below).stdout)
    done = invoke("compare", "--suite", "ci", "--format", "json", cwd=project / below)
    by_name = parsed(done.stdout)
    assert "ci" == by_name.pop("suite")
    for report in (by_hand, by_name):
        for result in report["results"]:
            del result["seconds"]
    assert by_hand == by_name
    assert 4 == by_name["summary"]["cases"]


def test_what_is_typed_counts_more(invoke: Run, parsed: Any, project: Path) -> None:
    written(project, SUITE)
    typed = ["--fixture", "nc", "--dtype", "float32", "--normalized-axes", "1", "--eps", "0.5", "--gradients"]
    done = invoke("compare", "--suite", "ci", *typed, "--backend", "numpy", "--format", "json")
    results = parsed(done.stdout)["results"]
    (case,) = {(r["case"], r["backend"]) for r in results}
    assert ("layer[eps=0.5;variance=unbiased]/nc/float32", "numpy") == case


def test_the_terminal_says_which_suite_it_was(invoke: Run, project: Path) -> None:
    written(project, SUITE)
    first, *_ = invoke("compare", "--suite", "ci").stdout.splitlines()
    assert first.endswith(" · --suite ci")


def test_what_a_suite_knows_is_known_in_it_alone(invoke: Run, project: Path) -> None:
    known = "[[suites.ci.known]]\ncase='layer*'\nbackend='mine'\nverdict='fail'\nreason='no bias'\n"
    written(project, SUITE.replace(":right", ":wrong").replace("max", "# ").replace("conv", "# ") + known)
    wrong, right = (["--backend", f"mine=numpy:norm.py:{name}"] for name in ("wrong", "right"))
    done = invoke("compare", "--suite", "ci")
    assert (0, True) == (done.returncode, "no bias" in done.stdout)
    assert "ledger: normcheck.toml" in done.stdout
    assert "no longer gives fail" in invoke("compare", "--suite", "ci", *right).stdout
    alone = invoke("compare", "--method", "layer", "--fixture", "nc", "--no-gradients", *wrong)
    assert (1, False) == (alone.returncode, "ledger" in alone.stdout)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method = ['layer']", "unknown key 'method'. Did you mean 'methods'? Valid: backends, methods, "),
        ("format_name = 'json'", "unknown key 'format_name'."),
        ("methods = 'layer'", "methods is 'layer'; it must be an array of texts, and not empty"),
        ("fixtures = []", "fixtures is []; it must be an array of texts, and not empty"),
        ("dtypes = ['float31']", "dtypes: unknown dtype 'float31'. Did you mean 'float32'?"),
        ("strict = 'yes'", "strict is 'yes'; it must be true or false"),
        ("timeout = [3]", "timeout is [3]; it must be one value"),
        ("repeat = 'often'", "repeat: 'often' is not a valid integer"),
        ("eps = true", "eps is True; it must be one value"),
        ("groups = [0, 1]", "groups is [0, 1]; it must be the channels of each group, like '0,1|2'"),
        ("conventions = {variance = 3}", "conventions: "),
        ("momentum = 'much'", "momentum: "),
        ("[suites.ci.known]\nbackend='a'", "'known' must be an array of tables"),
        ("[[suites.ci.known]]\nbackend='a'", "suite 'ci', known entry 1: 'case' is missing"),
    ],
)
def test_a_suite_that_cannot_be_understood_is_refused_in_any_run(
    invoke: Run, project: Path, text: str, message: str
) -> None:
    written(project, f"[suites.other]\nmethods = ['layer']\n[suites.ci]\n{text}")
    done = invoke("compare", "--suite", "other", "--backend", "numpy")
    assert (message in done.stderr, done.stdout) == (True, ""), done.stderr
    assert done.returncode in (2, 3)


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("[suites.ci]\nmethods=['layer']", ["--suite", "ic"], 2, "unknown suite 'ic'. Did you mean 'ci'?"),
        ("known = []", ["--suite", "ci"], 2, "normcheck.toml has none; `normcheck init`"),
        ("[suites.ci]", ["--suite", "ci", "--no-config"], 2, "contradict each other"),
        ("suites = 3", [], 3, "'suites' must be tables by name"),
        ("[suites]\nci = 3", [], 3, "'suites' must be tables by name"),
    ],
)
def test_a_suite_that_is_not_there_is_refused(
    invoke: Run, tmp_path: Path, text: str, options: list[str], code: int, message: str
) -> None:
    written(tmp_path, text)
    done = invoke("compare", *options, "--backend", "numpy")
    assert (code, "") == (done.returncode, done.stdout)
    assert message in done.stderr


def test_every_option_that_says_what_is_run_can_stand_in_a_suite() -> None:
    names = {row.name for row in compare.command.params}
    assert names >= _ON_THE_COMMAND_LINE
    assert {
        "methods",
        "fixtures",
        "backends",
        "dtypes",
        "modes",
        "conventions",
        "eps",
    } <= names - _ON_THE_COMMAND_LINE


def test_a_start_is_written_and_runs_as_it_is(invoke: Run, tmp_path: Path) -> None:
    done = invoke("init")
    assert (0, "") == (done.returncode, done.stderr)
    stated = tomllib.loads((tmp_path / "normcheck.toml").read_text())
    assert "numpy" in stated["suites"]["ci"]["backends"]
    assert 0 == invoke("compare", "--suite", "ci", "--backend", "numpy", "--method", "rms").returncode
    assert "--suite ci" in (tmp_path / ".github/workflows/normcheck.yml").read_text()


def test_what_is_commented_out_in_the_start_can_be_used(invoke: Run, tmp_path: Path) -> None:
    invoke("init", "--no-workflow")
    file = tmp_path / "normcheck.toml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(re.sub(r"^# (?=\w+ = |\[\[)", "", line) for line in lines))
    done = invoke("compare", "--suite", "ci", "--backend", "numpy", "--method", "layer", "--fixture", "nc")
    assert (1, "") == (done.returncode, done.stderr)  # of the convention that NumPy does not have
    assert not (tmp_path / ".github").exists()


def test_what_is_there_is_kept(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "normcheck.toml").write_text("mine")
    assert "normcheck.toml: is there already, and was kept" in invoke("init").stdout
    assert "normcheck.yml: is there already, and was kept" in invoke("init").stdout
    assert "mine" == (tmp_path / "normcheck.toml").read_text()
    (tmp_path / "normcheck.toml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool.normcheck]")
    assert "pyproject.toml: has [tool.normcheck] already, and was kept" in invoke("init").stdout
    assert not (tmp_path / "normcheck.toml").exists()
    (tmp_path / "pyproject.toml").write_text("[tool")
    assert "normcheck.toml: written" in invoke("init").stdout


def test_a_start_that_cannot_be_written_is_an_error(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file")
    done = invoke("init")
    assert 3 == done.returncode
    assert "normcheck.yml cannot be written" in done.stderr
