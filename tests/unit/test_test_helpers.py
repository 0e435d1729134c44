"""The helpers of the tests can fail: a backend that is required and missing is never skipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scheduling
import support
from commands import Commands
from in_process import host, judged

from normcheck import backends
from normcheck.verdict import Verdict
from normcheck.worker.compute import Worker


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backends, "missing", lambda name: "torch is not installed" if name == "torch" else None
    )


@pytest.mark.usefixtures("without_torch")
def test_a_missing_backend_skips(monkeypatch: pytest.MonkeyPatch, requires: Callable[[str], None]) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy, jax")
    with pytest.raises(pytest.skip.Exception, match="torch is not installed"):
        requires("torch")


@pytest.mark.usefixtures("without_torch")
def test_a_missing_backend_that_is_required_fails(
    monkeypatch: pytest.MonkeyPatch, requires: Callable[[str], None]
) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy, torch")
    with pytest.raises(pytest.fail.Exception, match="lists torch, but torch is not installed"):
        requires("torch")


@pytest.mark.usefixtures("without_torch")
def test_a_backend_that_is_there_does_neither(requires: Callable[[str], None]) -> None:
    requires("numpy")


def test_requiring_a_backend_that_does_not_exist_is_an_error(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy,pytorch")
    plugin = pytestconfig.pluginmanager.get_plugin(str(support.CHECKOUT / "tests" / "conftest.py"))
    assert plugin is not None
    with pytest.raises(pytest.UsageError, match="unknown backend pytorch"):
        plugin.pytest_configure(pytestconfig)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', "{", ""])
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not strict|Expect"):
        support.strict_json(text)


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(AssertionError, match="repeated"):
        support.strict_json('{"a": 1, "a": 2}')


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (1, "", "normcheck: no"),
        (2, "a report", "normcheck: no"),
        (2, "", "normcheck: no\nand more"),
        (2, "", "no"),
        (2, "", "normcheck: Traceback (most recent call last)"),
        (2, "", "normcheck: \x1b[31mno"),
    ],
    ids=["another code", "output", "two lines", "another start", "a traceback", "an escape"],
)
def test_what_is_no_refusal_is_seen(code: int, out: str, err: str) -> None:
    assert "normcheck: no" == support.refused(support.Completed([], 2, "", "normcheck: no\n"), 2)
    with pytest.raises((AssertionError, ValueError)):
        support.refused(support.Completed([], code, out, err), 2)


def test_an_implementation_that_is_wrong_fails_in_this_process_too() -> None:
    zeros = Worker(host("numpy"), lambda x, weight, bias, *, eps: 0 * x)
    assert [Verdict.FAIL] == [result.verdict for result in judged(zeros, gradients=False)]


def test_the_command_in_this_process_ends_with_its_code(
    invoke: Callable[..., support.Completed], tmp_path: Path
) -> None:
    (tmp_path / "f.py").write_text("import os\ndef norm(x, weight, bias, *, eps): return x * os.getpid()\n")
    options = ["--method", "layer", "--fixture", "nc", "--backend", "numpy:f.py:norm", "--no-gradients"]
    assert (1, "") == (invoke("compare", *options).returncode, invoke("--version").stderr)


def test_a_process_that_stays_ends_each_command_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("import sys\ndef norm(x, weight, bias, *, eps): print('junk'); return x\n")
    options = ["--method", "layer", "--fixture", "nc", "--backend", "numpy:f.py:norm", "--no-gradients"]
    commands = Commands()
    done = [commands.run(*words, cwd=tmp_path) for words in (["--version"], ["compare", *options])]
    commands.close()
    assert [0, 1] == [each.returncode for each in done]
    assert done[0].stdout.startswith("normcheck ")
    assert "FAIL" in done[1].stdout


class Item:
    """As much of a pytest.Item as scheduling looks at."""

    def __init__(self, path: str, *groups: str) -> None:
        self.nodeid, self.path, self.groups = path, Path(path), groups

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return pytest.mark.xdist_group(*self.groups).mark if self.groups else None


ITEMS: list[Any] = [Item("tests/unit/a.py"), Item("tests/e2e/b.py"), Item("tests/e2e/c.py", "run")]


def test_workers_say_which_tests_have_a_group(tmp_path: Path) -> None:
    scheduling.write_groups(ITEMS, str(tmp_path / "groups.json"))
    assert {"tests/e2e/c.py": "run"} == json.loads((tmp_path / "groups.json").read_text())


def test_shared_runs_start_before_other_tests_and_unit_tests_last() -> None:
    assert ITEMS[::-1] == sorted(ITEMS, key=scheduling.rank)


def test_tests_of_a_group_go_to_one_worker(tmp_path: Path) -> None:
    """Six tests that say where they ran, and would be dealt out one by one."""
    (tmp_path / "conftest.py").write_text((support.CHECKOUT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_group.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('n', range(6))\n"
        "def test_it(n): pathlib.Path(os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert 1 == len(list(tmp_path.glob("gw*")))
