"""The main job with the real command: every framework against the oracle and each other, and what is printed."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed, run_normcheck

from normcheck import fixtures
from normcheck.backends import DEFAULT
from normcheck.case import Method
from normcheck.methods import definition

# PyTorch cannot differentiate a group norm with a bias and no weight, which it says itself.
RAISES = ("torch", "group[num_groups=4]/past-64/float32", "unsupported")
shares_group_run = pytest.mark.xdist_group("group run")
QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--backend", "numpy", "--no-gradients"]


@pytest.fixture(scope="module")
def all_backends(requires: Callable[[str], None]) -> None:
    for name in DEFAULT:
        requires(name)


@pytest.fixture(scope="module")
def group_run(all_backends: None, tmp_path_factory: pytest.TempPathFactory) -> Completed:
    """``normcheck compare --method group --format json``, once for all tests."""
    return run_normcheck(
        "compare", "--method", "group", "--format", "json", cwd=tmp_path_factory.mktemp("group")
    )


@pytest.fixture(scope="module")
def group_report(group_run: Completed, parsed: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return parsed(group_run.stdout)


def y_of(report: dict[str, Any], part: str = "results") -> list[dict[str, Any]]:
    return [row for row in report[part] if row["output"] == "y"]


# --- the main job ------------------------------------------------------------------------------------------


@shares_group_run
def test_group_norm_passes_on_every_framework(group_run: Completed, group_report: dict[str, Any]) -> None:
    assert (0, "") == (group_run.returncode, group_run.stderr)
    left = [row for row in group_report["results"] if row["verdict"] != "pass"]
    assert {(*RAISES, output) for output in ("grad_x", "grad_bias")} == {
        (row["backend"], row["case"], row["verdict"], row["output"]) for row in left
    }
    assert all("docs/findings/torch-group-norm-bias-alone.py" in row["reason"] for row in left)
    summary = group_report["summary"]
    assert ("pass", summary["comparisons"] - 2, 2) == (
        summary["verdict"],
        summary["pass"],
        summary["unsupported"],
    )
    assert list(DEFAULT) == list(group_report["environment"]["backends"])


@shares_group_run
def test_every_core_case_is_compared_on_every_framework(group_report: dict[str, Any]) -> None:
    cases = {row["case"] for row in group_report["results"]}
    group = Method.GROUP
    core = [each for each in fixtures.select(["core"]) if not each.excludes(definition(group), group)]
    assert {fixture.name for fixture in core} == {row["fixture"] for row in group_report["results"]}
    assert "group[groups=0,1|2]/documents/float32" in cases
    expected = {(case, backend) for case in cases for backend in DEFAULT}
    assert expected == {(row["case"], row["backend"]) for row in y_of(group_report)}
    assert len(expected) == len(y_of(group_report))
    assert group_report["summary"]["cases"] == len(cases)


@shares_group_run
def test_every_two_frameworks_are_within_a_millionth_on_the_documents(group_report: dict[str, Any]) -> None:
    found = [pair for pair in y_of(group_report, "pairs") if "/documents/" in pair["case"]]
    cases = {pair["case"] for pair in found}
    expected = {(case, *pair) for case in cases for pair in itertools.combinations(DEFAULT, 2)}
    assert expected == {(pair["case"], *pair["backends"]) for pair in found}
    assert "group[groups=0,1|2]/documents/float32" in cases
    assert [] == [pair for pair in found if not pair["max_abs_diff"] < 1e-6]


@shares_group_run
def test_the_counts_of_the_summary_add_up(group_report: dict[str, Any]) -> None:
    summary = dict(group_report["summary"])
    summary.pop("verdict")
    summary.pop("cases")
    assert len(group_report["results"]) == summary.pop("comparisons") == sum(summary.values())


def test_the_table_names_every_backend_with_its_version_and_every_case(
    all_backends: None, run: Callable[..., Completed]
) -> None:
    done = run("compare", "--method", "group", "--fixture", "documents", "--no-gradients")
    assert 0 == done.returncode
    for name in DEFAULT:
        assert name in done.stdout.splitlines()[0]
    assert "documents  groups=0,1|2" in done.stdout
    assert re.search(r"max \|Δ\|.* between backends", done.stdout)
    assert done.stdout.splitlines()[-1].startswith("✓ pass  3 cases, 9 comparisons: 9 pass")


# --- what is printed where ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": ""}, {"TERM": "dumb"}], ids=str
)
def test_a_pipe_gets_no_escapes(run: Callable[..., Completed], environment: dict[str, str]) -> None:
    done = run(*QUICK, **environment)
    assert (0, "") == (done.returncode, done.stderr)
    assert "\x1b" not in done.stdout
    assert [] == [line for line in done.stdout.splitlines() if line != line.rstrip()]


def on_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """What the command writes to a terminal of 100 columns."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "normcheck", *arguments],
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert 0 == process.wait()
    return written.decode()


def test_a_terminal_gets_colour_unless_no_color_is_set(tmp_path: Path) -> None:
    coloured = on_terminal(*QUICK, cwd=tmp_path)
    assert "\x1b[32m" in coloured
    plain = on_terminal(*QUICK, cwd=tmp_path, NO_COLOR="1")
    assert [] == [code for code in ("\x1b[3", "\x1b[9", "\x1b[38") if code in plain]
    assert "✓" in plain


def test_a_locale_without_the_marks_is_no_reason_to_stop(run: Callable[..., Completed]) -> None:
    done = run(*QUICK, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert 0 == done.returncode
    assert "pass" in done.stdout


def test_output_writes_the_file_and_nothing_to_stdout(
    run: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    done = run(*QUICK, "--format", "json", "--output", "report.json")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert ["pass"] == [row["verdict"] for row in parsed((tmp_path / "report.json").read_text())["results"]]
    assert ["report.json"] == os.listdir(tmp_path)


def test_output_replaces_a_file_wholly(run: Callable[..., Completed], tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("old" * 10_000)
    run(*QUICK, "--output", "report.txt")
    written = (tmp_path / "report.txt").read_text()
    assert "old" not in written
    assert "✓ pass" in written
    assert "\x1b" not in written


def test_output_is_written_for_a_mismatch_too(
    run: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    (tmp_path / "f.py").write_text("def norm(x, weight, bias, *, eps):\n    return x\n")
    done = run(*QUICK, "--backend", "bad=numpy:f.py:norm", "--format", "json", "--output", "r.json")
    assert 1 == done.returncode
    assert "fail" == parsed((tmp_path / "r.json").read_text())["summary"]["verdict"]


def test_a_reader_that_hangs_up_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m normcheck {' '.join(QUICK)} --format json | head -c 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S602
    assert ("{", "") == (done.stdout, done.stderr)


# --- implementations of one's own ---------------------------------------------------------------------------

OWN = """
import torch

class Wrong(torch.nn.GroupNorm):
    def forward(self, x):
        return torch.nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, eps=1e-3)

right = torch.nn.GroupNorm(4, 8)
wrong = Wrong(4, 8)
"""


def test_ones_own_modules_are_judged_with_their_gradients(
    run: Callable[..., Completed], parsed: Any, requires: Callable[[str], None], tmp_path: Path
) -> None:
    """Named by a module's path, and by a file's."""
    requires("torch")
    (tmp_path / "norms").mkdir()
    (tmp_path / "norms" / "__init__.py").write_text("")
    (tmp_path / "norms" / "own.py").write_text(OWN)
    own = ["--backend", "right=torch:norms.own:right", "--backend", "wrong=torch:norms/own.py:wrong"]
    done = run("compare", *own, "--method", "group", "--fixture", "nchw", "--format", "json")
    found = {(r["backend"], r["output"]): r["verdict"] for r in parsed(done.stdout)["results"]}
    gradients = {output: found["right", output] for output in ("grad_x", "grad_weight", "grad_bias")}
    assert (1, "pass", "fail") == (done.returncode, found["right", "y"], found["wrong", "y"])
    assert {"pass"} == set(gradients.values())


# --- interruption ------------------------------------------------------------------------------------------


SLOW = """
import pathlib, time

def norm(x, weight, bias, *, eps):
    pathlib.Path("computing").touch()
    time.sleep(1000)
"""


def processes_with(marker: str) -> list[str]:
    """The command lines of all living processes whose environment holds ``marker``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                marker.encode() in (folder / "environ").read_bytes()
                and "Z" not in (folder / "stat").read_text().split(") ")[1][:1]
            ):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed outright"])
def test_no_worker_is_left_behind(tmp_path: Path, ending: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    marker = f"NORMCHECK_TEST={tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "normcheck", *QUICK, "--backend", "slow=numpy:slow.py:norm"],
        cwd=tmp_path,
        env={**os.environ, "NORMCHECK_TEST": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # what a shell runs in the background ignores Ctrl-C, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
    )
    wait_until((tmp_path / "computing").exists)
    assert len(processes_with(marker)) >= 2
    os.killpg(process.pid, ending)
    out, err = process.communicate(timeout=60)
    assert "" == out
    if ending is signal.SIGINT:
        assert (130, "normcheck: interrupted") == (process.returncode, err.strip())
        assert [] == list(tmp_path.glob("normcheck-*"))
    wait_until(lambda: processes_with(marker) == [])
