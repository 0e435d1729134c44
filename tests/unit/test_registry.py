"""What follows from the registry of backends: extras, words for several backends, what CI runs."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from support import CHECKOUT

from normcheck import backends
from normcheck.backends import BUILTIN, DEFAULT

OF_USE = ("dev", "pytest", "report", "docs")  # the extras that are of no backend


def test_the_extras_are_those_of_the_registry() -> None:
    """`make docs` writes them."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {
        name: tuple(needs) for name, needs in project["optional-dependencies"].items() if name not in OF_USE
    }
    assert backends.extras() == found


def test_what_says_how_to_install_a_backend_names_an_extra() -> None:
    named = {
        name: entry.install.partition("[")[2].rstrip("]'")
        for name, entry in BUILTIN.items()
        if entry.requires != "numpy"
    }
    assert {} == {name: extra for name, extra in named.items() if extra not in backends.extras()}


def test_the_version_that_was_tested_is_written_down() -> None:
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].replace("tensorflow_cpu", "tensorflow") for line in lines}
    assert set() == {entry.requires for entry in BUILTIN.values()} - {"haiku"} - pinned


def test_all_are_all_but_those_that_are_run_by_hand() -> None:
    by_hand = {name for name, entry in BUILTIN.items() if entry.by_hand}
    assert set(BUILTIN) == {*backends.chosen("all"), *by_hand}
    assert set(DEFAULT) < set(backends.chosen("all"))


def test_scripts_get_names_one_a_line() -> None:
    command = [sys.executable, "-m", "normcheck.backends", "default, mlx"]
    assert [*DEFAULT, "mlx"] == subprocess.check_output(command, text=True).split()


def test_ci_and_make_name_no_backend() -> None:
    for path in ("Makefile", ".ci/run"):
        words = (CHECKOUT / path).read_text(encoding="utf-8").replace(",", " ").split()
        assert not set(BUILTIN) - {"torch", "jax"} & set(words), path
